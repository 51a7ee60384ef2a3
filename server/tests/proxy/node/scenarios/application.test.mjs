// An application decides about everything; what clients see of it.

import { Centrifuge } from 'centrifuge';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { Server } from '../../../sdk/node/harness/server.mjs';
import { Application } from '../backend/application.mjs';
import { serveGrpc } from '../backend/grpc.mjs';
import { serveHttp } from '../backend/http.mjs';
import { Streams } from '../backend/streams.mjs';

const PATIENCE = 10_000;

/** The server's configuration with these endpoints; streams only when the application has them. */
function configuration(endpoint, withStreams) {
  const read = (file) => readFileSync(join(import.meta.dirname, '../..', file), 'utf8');
  const config = JSON.parse(read('server.json').replace(/\$\{(\w+)\}/g, (_, event) => endpoint(event)));
  if (withStreams) config.channel.namespaces.push(...JSON.parse(read('streams.json')).channel.namespaces);
  return config;
}

/** The next event of this name. */
const next = async (emitter, name) => (await once(emitter, name, { signal: AbortSignal.timeout(PATIENCE) }))[0];

/** Asks until the answer is as wanted. */
async function eventually(ask, wanted) {
  for (const deadline = Date.now() + PATIENCE; ; ) {
    const answer = await ask();
    if (wanted(answer)) return;
    assert.ok(Date.now() < deadline, `still ${JSON.stringify(answer)}`);
  }
}

for (const protocol of ['http', 'grpc']) {
  describe(`an application over ${protocol}`, () => {
    const streams = new Streams();
    const clients = [];
    let server;
    let backend;

    before(async () => {
      const application = new Application((channel, data) => server.publish(channel, data));
      backend = await (protocol === 'grpc' ? serveGrpc(application, streams) : serveHttp(application));
      server = await Server.start(configuration(backend.endpoint, protocol === 'grpc'));
    });
    after(async () => {
      clients.forEach((client) => client.disconnect());
      await server.stop();
      await backend.stop();
    });

    const client = (session, options = {}) => {
      const made = new Centrifuge(server.endpoints('websocket').endpoint, {
        websocket: WebSocket,
        data: { session },
        ...options,
      });
      clients.push(made);
      return made;
    };
    const connected = async (session, options) => {
      const made = client(session, options);
      made.connect();
      const context = await next(made, 'connected');
      return { client: made, context };
    };
    const subscribed = async (made, channel, data) => {
      const subscription = made.newSubscription(channel, { data });
      subscription.subscribe();
      return { subscription, context: await next(subscription, 'subscribed') };
    };

    test('says who connects and what it starts with', async () => {
      const made = client('session-alice');
      const lobby = next(made, 'subscribed');
      made.connect();
      const { data } = await next(made, 'connected');
      assert.deepEqual(data, { hello: 'alice' });
      assert.equal((await lobby).channel, 'lobby:alice');
      const publication = next(made, 'publication');
      await server.publish('lobby:alice', { n: 1 });
      assert.deepEqual((await publication).data, { n: 1 });
      assert.deepEqual((await made.rpc('who', null)).data, { user: 'alice', role: 'admin' });
    });

    test('sends strangers away', async () => {
      const made = client('nobody');
      made.connect();
      const { code, reason } = await next(made, 'disconnected');
      assert.deepEqual({ code, reason }, { code: 4501, reason: 'unknown session' });
    });

    test('answers calls', async () => {
      const { client: made } = await connected('session-bob', { headers: { 'X-Locale': 'de' } });
      assert.equal((await made.rpc('sum', [1, 2, 39])).data, 42);
      assert.equal((await made.rpc('locale', null)).data, 'de');
      await assert.rejects(made.rpc('nothing', null), { code: 1404, message: 'no such method' });
    });

    test('decides who may subscribe', async () => {
      const { client: made } = await connected('session-bob');
      const { context } = await subscribed(made, 'team:bob', { q: 1 });
      assert.deepEqual(context.data, { asked: { q: 1 } });
      const refused = made.newSubscription('team:alice');
      refused.subscribe();
      assert.equal((await next(refused, 'unsubscribed')).code, 1403);
    });

    test('changes and refuses publications', async () => {
      const { client: made } = await connected('session-alice');
      const { subscription } = await subscribed(made, 'team:words');
      const publication = next(subscription, 'publication');
      await subscription.publish({ text: 'darn it' });
      const { data, info } = await publication;
      assert.deepEqual(data, { by: 'alice', text: '**** it' });
      assert.deepEqual(info.connInfo, { name: 'ALICE' });
      await assert.rejects(subscription.publish({ text: '' }), { code: 1400 });
    });

    test('lets connections and subscriptions live on', async () => {
      const { client: made } = await connected('session-brief');
      await subscribed(made, 'team:brief', { brief: true });
      const asked = (event) => async () => (await made.rpc('asked', event)).data;
      await eventually(asked('refresh'), (times) => times > 0);
      await eventually(asked('sub_refresh'), (times) => times > 0);
      assert.equal((await made.rpc('who', null)).data.user, 'brief');
    });

    test('fills channels that are empty', async () => {
      const { client: made } = await connected('session-alice');
      const subscription = made.newSubscription('latest:prices');
      const publication = next(subscription, 'publication');
      subscription.subscribe();
      assert.deepEqual((await publication).data, { from: 'database' });
    });

    if (protocol !== 'grpc') return;

    test('streams publications until it has said everything', async () => {
      const { client: made } = await connected('session-alice');
      const subscription = made.newSubscription('ticks:a');
      const values = [];
      subscription.on('publication', ({ data }) => values.push(data));
      const end = next(subscription, 'unsubscribed');
      subscription.subscribe();
      assert.deepEqual((await next(subscription, 'subscribed')).data, { from: 1 });
      assert.equal((await end).code, 2000);
      assert.deepEqual(values, [1, 2, 3]);
    });

    test('learns that a stream is not wanted any more', async () => {
      const { client: made } = await connected('session-alice');
      const { subscription } = await subscribed(made, 'ticks:b', 'for ever');
      const cancelled = next(streams, 'cancelled');
      subscription.unsubscribe();
      await cancelled;
    });

    test('talks with its subscriber', async () => {
      const { client: made } = await connected('session-alice');
      const { subscription } = await subscribed(made, 'echo:a');
      const publication = next(subscription, 'publication');
      await subscription.publish('hello');
      assert.equal((await publication).data, 'HELLO');
    });
  });
}
