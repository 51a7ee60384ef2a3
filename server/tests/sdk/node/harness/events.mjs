// What an emitter of the SDK has told, in order, and waiting for what it will tell.

import assert from 'node:assert/strict';

const DEADLINE = 15_000;

/** Something that changes now and then, and those who wait for it to be right. */
export class Signal {
  #waiting = new Set();

  /** Lets those who wait look again. */
  tell() {
    for (const look of this.#waiting) look();
  }

  /** Resolves once `condition` holds; after the deadline fails with what `state` says. */
  until(condition, state) {
    if (condition()) return Promise.resolve();
    return new Promise((done, fail) => {
      const look = () => {
        if (!condition()) return;
        this.#waiting.delete(look);
        clearTimeout(timer);
        done();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        fail(new assert.AssertionError({ message: `waited in vain: ${state()}` }));
      }, DEADLINE);
      this.#waiting.add(look);
    });
  }
}

/** Events of an emitter. */
export class Events {
  #seen = [];
  #taken = new Map();
  #changed = new Signal();

  constructor(emitter, names) {
    for (const name of names) {
      emitter.on(name, (context) => {
        this.#seen.push({ name, context });
        this.#changed.tell();
      });
    }
  }

  /** Contexts of all events of this name so far. */
  all(name) {
    return this.#seen.filter((event) => event.name === name).map((event) => event.context);
  }

  /** The next event of this name that no earlier call returned. */
  async next(name) {
    const position = this.#taken.get(name) ?? 0;
    this.#taken.set(name, position + 1);
    return (await this.first(position + 1, name))[position];
  }

  /** Contexts of the first `count` events of this name, once there are as many. */
  async first(count, name) {
    const enough = () => this.all(name).length >= count;
    await this.#changed.until(enough, () => `${count} of ${name}, seen:\n${this.#recent()}`);
    return this.all(name).slice(0, count);
  }

  #recent() {
    const line = ({ name, context }) => `${name} ${JSON.stringify(context)}`;
    return this.#seen.slice(-20).map(line).join('\n');
  }
}

/** Counts the calls of a callback the test gives to the SDK. */
export class Calls {
  #changed = new Signal();
  count = 0;

  add() {
    this.count += 1;
    this.#changed.tell();
  }

  /** Resolves at the `least`th call. */
  reach(least) {
    return this.#changed.until(() => this.count >= least, () => `${this.count} of ${least} calls`);
  }
}
