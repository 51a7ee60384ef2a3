// The published centrifuge-js in a page, over each transport.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { numbers, suite } from '../harness/suite.mjs';

const dist = (build) => fileURLToPath(new URL(`../node_modules/centrifuge/dist/${build}`, import.meta.url));
const TEXT = 'größer als 一个字 \u2028 "quoted" 🎈';

const WAYS = [
  { transport: 'websocket', build: 'centrifuge.js' },
  { transport: 'websocket', build: 'centrifuge.protobuf.js' },
  { transport: 'http_stream', build: 'centrifuge.js' },
  { transport: 'http_stream', build: 'centrifuge.protobuf.js' },
  { transport: 'sse', build: 'centrifuge.js' },
  { transport: 'webtransport', build: 'centrifuge.js', tls: true },
  { transport: 'webtransport', build: 'centrifuge.protobuf.js', tls: true },
];

const PLAIN = { http_stream: { enabled: true }, sse: { enabled: true } };
const ENCRYPTED = { http_server: { http3: { enabled: true } }, webtransport: { enabled: true } };

/** Connects and subscribes in a page, which tells what the SDK tells; `client` and `sub` stay there. */
async function enter(rig, { transport, build }, user, channel, where) {
  const { page, events } = await rig.page(where);
  await page.addScriptTag({ path: dist(build) });
  const settings = {
    endpoint: rig.url(`/connection/${transport}`, transport === 'websocket' ? { scheme: 'ws' } : {}),
    emulationEndpoint: rig.url('/emulation'),
    binary: build.includes('protobuf'),
    token: rig.request(user).token,
    transport,
    channel,
  };
  await page.evaluate(({ transport, endpoint, emulationEndpoint, binary, token, channel }) => {
    const decode = (data) => (binary ? JSON.parse(new TextDecoder().decode(data)) : data);
    window.encode = (value) => (binary ? new TextEncoder().encode(JSON.stringify(value)) : value);
    const options = { emulationEndpoint, token, minReconnectDelay: 10, maxReconnectDelay: 100 };
    window.client = new Centrifuge([{ transport, endpoint }], options);
    client.on('connected', (connected) => (window.transport = connected.transport));
    client.on('error', ({ error }) => tell('error', error.code));
    client.on('disconnected', ({ code }) => tell('close', code));
    window.sub = client.newSubscription(channel, { minResubscribeDelay: 10, maxResubscribeDelay: 100 });
    sub.on('subscribed', ({ recovered }) => tell('open', { transport: window.transport, recovered }));
    sub.on('publication', ({ data }) => tell('message', decode(data)));
    sub.subscribe();
    client.connect();
  }, settings);
  return { page, events };
}

for (const way of WAYS) {
  const [config, options] = way.tls ? [ENCRYPTED, { tls: true }] : [PLAIN, {}];
  suite(`centrifuge-js (${way.transport}, ${way.build})`, config, options, (rig) => {
    test('publishes, and gets everything that is published', async () => {
      const channel = rig.channel('talk');
      const { page, events } = await enter(rig, way, 'ann', channel);
      assert.deepEqual(await events.next('open'), { transport: way.transport, recovered: false });
      await page.evaluate(() => sub.publish(encode({ n: 0, text: 'from the page' })));
      await rig.publishNumbers(channel, 1, 100, TEXT);
      await events.first(101, 'message');
      assert.deepEqual(events.all('message'), [{ n: 0, text: 'from the page' }, ...numbers(1, 100, TEXT)]);
    });

    test('recovers what was published while it was away', async () => {
      const channel = rig.channel('feed');
      const { events } = await enter(rig, way, 'bea', channel);
      await events.next('open');
      const publishing = rig.publishNumbers(channel, 1, 150, TEXT);
      for (let round = 1; round <= 3; round += 1) {
        await rig.server.api('disconnect', { user: 'bea', disconnect: { code: 3011, reason: 'force reconnect' } });
        await events.first(round + 1, 'open');
      }
      await publishing;
      await events.first(150, 'message');
      assert.deepEqual(events.all('open').map(({ recovered }) => recovered), [false, true, true, true]);
      assert.deepEqual(events.all('message'), numbers(1, 150, TEXT));
    });

    test('a page of a foreign origin is not let in', async () => {
      const { events } = await enter(rig, way, 'cyd', rig.channel('talk'), { host: 'localhost' });
      await events.first(2, 'error');
      assert.deepEqual(events.all('open'), []);
    });
  });
}
