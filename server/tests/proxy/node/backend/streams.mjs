// Subscriptions whose publications the application streams; only over gRPC.

import { EventEmitter } from 'node:events';

const publication = (value) => ({ publication: { data: Buffer.from(JSON.stringify(value)) } });

/** Emits `cancelled` when the server gives a stream up. */
export class Streams extends EventEmitter {
  /** Counts to three and ends, or goes on for ever. */
  ticks(call, { data }) {
    call.on('cancelled', () => this.emit('cancelled'));
    call.write({ subscribe_response: { result: { data: Buffer.from('{"from":1}') } } });
    for (const n of [1, 2, 3]) call.write(publication(n));
    if (data !== 'for ever') call.end();
  }

  /** Gives back what the client publishes, louder. */
  echo(call) {
    call.on('cancelled', () => this.emit('cancelled'));
    call.on('end', () => call.end());
    call.on('data', ({ subscribe_request, publication: published }) => {
      if (subscribe_request) return call.write({ subscribe_response: {} });
      call.write(publication(JSON.parse(published.data).toUpperCase()));
    });
  }
}
