// `WebSocket` on uni_websocket.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { numbers, payloads, suite } from '../harness/suite.mjs';

const listen = (page, url, request) =>
  page.evaluate(
    ([url, request]) => {
      const socket = new WebSocket(url);
      socket.onopen = () => request && socket.send(JSON.stringify(request));
      socket.onmessage = (event) => tell('message', JSON.parse(event.data));
      socket.onclose = ({ code, reason, wasClean }) => tell('close', { code, reason, wasClean });
    },
    [url, request],
  );

const config = { uni_websocket: { enabled: true, compression: true } };

suite('uni_websocket', config, (rig) => {
  test('gets everything that is published, in order, and the reason of the end', async () => {
    const channel = rig.channel('feed');
    const { page, events } = await rig.page();
    await listen(page, rig.url('/connection/uni_websocket', { scheme: 'ws' }), rig.request('ann', channel));
    assert.ok((await events.next('message')).connect);
    await rig.publishNumbers(channel, 1, 100, 'words '.repeat(100));
    await rig.server.api('disconnect', { user: 'ann' });
    const end = { code: 3503, reason: 'force disconnect' };
    assert.deepEqual(await events.next('close'), { ...end, wasClean: true });
    const told = events.all('message');
    assert.deepEqual(payloads(told), numbers(1, 100, 'words '.repeat(100)));
    assert.deepEqual(told.at(-1), { disconnect: end });
  });

  test('connects by its URL alone', async () => {
    const { page, events } = await rig.page();
    const query = { scheme: 'ws', cf_connect: rig.request('bea') };
    await listen(page, rig.url('/connection/uni_websocket', query));
    assert.ok((await events.next('message')).connect);
  });

  test('is refused to a page of another origin', async () => {
    const { page, events } = await rig.page({ host: 'localhost' });
    await listen(page, rig.url('/connection/uni_websocket', { scheme: 'ws' }), rig.request('cyd'));
    assert.equal((await events.next('close')).code, 1006);
  });
});
