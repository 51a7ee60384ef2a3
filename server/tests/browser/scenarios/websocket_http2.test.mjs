// `WebSocket` in a page that has an HTTP/2 connection to the server already.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suite } from '../harness/suite.mjs';

const config = {
  http_server: { http2_websocket: true },
  init: { enabled: true },
  prometheus: { enabled: true, instrument_http_handlers: true },
};

suite('websocket over http/2', config, { tls: true }, (rig) => {
  test('a page connects with a stream of that connection', async () => {
    const { page, events } = await rig.page();
    // Connections with and without cookies are kept apart; WebSockets have them.
    await page.evaluate(async (url) => (await fetch(url, { credentials: 'include' })).json(), rig.url('/connection/init'));
    await page.evaluate(
      ([url, connect]) => {
        const socket = new WebSocket(url);
        socket.onopen = () => socket.send(JSON.stringify({ id: 1, connect }));
        socket.onmessage = (event) => tell('message', JSON.parse(event.data));
        socket.onclose = ({ code, reason, wasClean }) => tell('close', { code, reason, wasClean });
      },
      [rig.url('/connection/websocket', { scheme: 'wss' }), { token: rig.request('ann').token }],
    );
    assert.ok((await events.next('message')).connect.client);
    const end = { code: 4001, reason: 'enough' };
    await rig.server.api('disconnect', { user: 'ann', disconnect: end });
    assert.deepEqual(await events.next('close'), { ...end, wasClean: true });
    const metrics = await (await fetch(`http://127.0.0.1:${rig.server.apiPort}/metrics`)).text();
    const connects = metrics.split('\n').filter((line) => line.includes('"/connection/websocket"'));
    assert.ok(connects.some((line) => line.includes('method="CONNECT"')), connects.join('\n'));
  });
});
