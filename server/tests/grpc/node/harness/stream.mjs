// A call whose messages are waited for.

import grpc from '@grpc/grpc-js';

const PATIENCE = 10_000;

export class Stream {
  #call;
  #messages = [];
  #waiting;
  #status;

  constructor(call) {
    this.#call = call;
    call.on('data', (message) => {
      this.#messages.push(message);
      this.#waiting?.();
    });
    call.on('status', (status) => {
      this.#status = status;
      this.#waiting?.();
    });
    // The status says the same.
    call.on('error', () => {});
  }

  write(message) {
    this.#call.write(message);
  }

  /** Ends the client's side. */
  finish() {
    this.#call.end();
  }

  cancel() {
    this.#call.cancel();
  }

  /** Waits for the next message for which `wanted` holds and drops those before it. */
  async next(wanted = () => true) {
    for (;;) {
      while (this.#messages.length > 0) {
        const message = this.#messages.shift();
        if (wanted(message)) return message;
      }
      if (this.#status) throw new Error(`the call ended with ${grpc.status[this.#status.code]}`);
      await this.#change();
    }
  }

  /** Waits for the end: `{ status, code, reason }`. */
  async end() {
    while (!this.#status) await this.#change();
    const trailer = (name) => this.#status.metadata.get(name)[0];
    return {
      status: grpc.status[this.#status.code],
      code: trailer('gyre-disconnect-code'),
      reason: trailer('gyre-disconnect-reason'),
    };
  }

  #change() {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('nothing came in time')), PATIENCE);
      this.#waiting = () => {
        clearTimeout(timer);
        this.#waiting = undefined;
        resolve();
      };
    });
  }
}
