// Runs scenarios over each transport in JSON and in Protobuf, each time against a server of its own.

import { Centrifuge as JsonCentrifuge } from 'centrifuge';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';
import { EventSource } from 'eventsource';
import { after, afterEach, before, describe } from 'node:test';
import WebSocket from 'ws';
import { CuttableLink } from './cut.mjs';
import { Events } from './events.mjs';
import { Server } from './server.mjs';
import { inSeconds, token } from './tokens.mjs';

const CLIENT_EVENTS = [
  'connecting', 'connected', 'disconnected', 'error',
  'subscribing', 'subscribed', 'unsubscribed', 'publication', 'join', 'leave',
];
const SUBSCRIPTION_EVENTS = ['subscribing', 'subscribed', 'unsubscribed', 'publication', 'join', 'leave', 'error'];

const FORMATS = [
  {
    name: 'JSON',
    Centrifuge: JsonCentrifuge,
    encode: (value) => value,
    decode: (data) => data,
  },
  {
    name: 'Protobuf',
    Centrifuge: ProtobufCentrifuge,
    encode: (value) => new TextEncoder().encode(JSON.stringify(value)),
    decode: (data) => JSON.parse(new TextDecoder().decode(data)),
  },
];

const [JSON_FORMAT, PROTOBUF] = FORMATS;

/** Transports of the SDK and the formats it speaks over them; the page's `fetch` and `EventSource` are those of Node. */
const WAYS = [
  { transport: 'websocket', format: JSON_FORMAT },
  { transport: 'websocket', format: PROTOBUF },
  { transport: 'http_stream', format: JSON_FORMAT },
  { transport: 'http_stream', format: PROTOBUF },
  { transport: 'sse', format: JSON_FORMAT },
];

/** As `suite`, for scenarios that look into frames. */
export const overWebSocket = (name, config, body) => declare(name, config, body, WAYS.slice(0, 2));

/** Declares the scenarios of `body(rig)` over all transports, with `config` laid over the server's. */
export const suite = (name, config, body) => declare(name, config, body, WAYS);

function declare(name, config, body, ways) {
  for (const { transport, format } of ways) {
    describe(`${name} (${transport}, ${format.name})`, () => {
      const rig = new Rig(transport, format);
      before(async () => (rig.server = await Server.start(config)));
      afterEach(() => rig.release());
      after(() => rig.server.stop());
      body(rig);
    });
  }
}

/** A server, and the clients and links of the scenario that runs. */
class Rig {
  #format;
  #clients = [];
  #links = [];
  #channels = 0;

  constructor(transport, format) {
    this.transport = transport;
    this.#format = format;
  }

  /** A value as the SDK's callers pass it in this format. */
  encode(value) {
    return this.#format.encode(value);
  }

  /** The value of what the SDK delivered. */
  decode(data) {
    return this.#format.decode(data);
  }

  /** Values of the publications an emitter has told of. */
  values(events) {
    return events.all('publication').map((publication) => this.decode(publication.data));
  }

  /** A channel of this namespace no other scenario uses. */
  channel(namespace) {
    this.#channels += 1;
    return `${namespace}:c${this.#channels}`;
  }

  /** A client that is not connected yet: `{ client, events }`. */
  client({ link, user = 'alice', ...options } = {}) {
    const identity = 'token' in options || 'getToken' in options ? {} : { token: token({ sub: user, exp: inSeconds(600) }) };
    const { endpoint, emulationEndpoint } = this.server.endpoints(this.transport, link?.port);
    const client = new this.#format.Centrifuge([{ transport: this.transport, endpoint }], {
      emulationEndpoint,
      websocket: WebSocket,
      eventsource: EventSource,
      minReconnectDelay: 10,
      maxReconnectDelay: 100,
      timeout: 10_000,
      ...identity,
      ...options,
    });
    this.#clients.push(client);
    return { client, events: new Events(client, CLIENT_EVENTS) };
  }

  /** A connected client: `{ client, events, id }`. */
  async connected(options) {
    const { client, events } = this.client(options);
    client.connect();
    const { client: id } = await events.next('connected');
    return { client, events, id };
  }

  /** A subscription that was asked for: `{ sub, events }`. */
  subscription(client, channel, options) {
    const sub = client.newSubscription(channel, { minResubscribeDelay: 10, maxResubscribeDelay: 100, ...options });
    const events = new Events(sub, SUBSCRIPTION_EVENTS);
    sub.subscribe();
    return { sub, events };
  }

  /** A subscription in force: `{ sub, events, subscribed }`. */
  async subscribed(client, channel, options) {
    const { sub, events } = this.subscription(client, channel, options);
    return { sub, events, subscribed: await events.next('subscribed') };
  }

  /** A link to the server that can be cut. */
  async link() {
    const link = await CuttableLink.to(this.server.port);
    this.#links.push(link);
    return link;
  }

  /** Publishes `{ n }` for each number through the server API, one after the other. */
  async publishNumbers(channel, from, to) {
    for (let n = from; n <= to; n += 1) await this.server.publish(channel, { n });
  }

  async release() {
    for (const client of this.#clients.splice(0)) client.disconnect();
    for (const link of this.#links.splice(0)) await link.close();
  }
}

/** Whole numbers from `from` to `to`, as published by `publishNumbers`. */
export const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => ({ n: from + i }));
