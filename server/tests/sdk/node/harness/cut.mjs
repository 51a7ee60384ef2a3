// A TCP proxy that can cut the connections through it and keep clients away.

import { once } from 'node:events';
import { createConnection, createServer } from 'node:net';

export class CuttableLink {
  #pairs = new Set();
  #open = true;
  #server;

  static async to(port) {
    const link = new CuttableLink();
    link.#server = createServer((client) => link.#join(client, port));
    link.#server.listen(0, '127.0.0.1');
    await once(link.#server, 'listening');
    return link;
  }

  get port() {
    return this.#server.address().port;
  }

  /** Cuts every connection without a farewell and refuses new ones until `mend`. */
  cut() {
    this.#open = false;
    this.cutOnce();
  }

  /** Cuts every connection; new ones are let through. */
  cutOnce() {
    for (const socket of this.#pairs) socket.resetAndDestroy();
    this.#pairs.clear();
  }

  /** Lets new connections through again. */
  mend() {
    this.#open = true;
  }

  async close() {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(client, port) {
    if (!this.#open) {
      client.resetAndDestroy();
      return;
    }
    const upstream = createConnection({ port, host: '127.0.0.1' });
    for (const [socket, other] of [[client, upstream], [upstream, client]]) {
      this.#pairs.add(socket);
      socket.pipe(other);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.#pairs.delete(socket);
        other.destroy();
      });
    }
  }
}
