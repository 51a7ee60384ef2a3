// A WebSocket that remembers what passed through it; given to the SDK as its constructor.

import WebSocket from 'ws';
import { Signal } from './events.mjs';

export class Traffic {
  sent = [];
  received = [];
  #changed = new Signal();

  /** The constructor to give to the SDK. */
  get WebSocket() {
    const traffic = this;
    return class extends WebSocket {
      constructor(...args) {
        super(...args);
        this.on('message', (data) => traffic.received.push(data));
      }

      send(data, ...rest) {
        traffic.sent.push(data);
        super.send(data, ...rest);
        traffic.#changed.tell();
      }
    };
  }

  /** Waits until `count()` reaches `least`; looked at whenever something was sent. */
  reach(least, count) {
    return this.#changed.until(() => count() >= least, () => `${count()} of ${least} frames`);
  }

  get receivedBytes() {
    return this.received.reduce((total, frame) => total + (frame.byteLength ?? frame.length), 0);
  }
}
