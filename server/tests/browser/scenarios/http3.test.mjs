// HTTP/3 and WebTransport as pages see them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suite } from '../harness/suite.mjs';

const config = { http_server: { http3: { enabled: true } }, webtransport: { enabled: true }, init: { enabled: true } };

/** Opens a session and its stream in a page, which tells each line that comes. */
const listen = (page, url) =>
  page.evaluate(async (url) => {
    const session = new WebTransport(url);
    session.closed.then(
      ({ closeCode, reason }) => tell('close', { closeCode, reason }),
      (error) => tell('error', String(error)),
    );
    await session.ready.catch(() => undefined);
    const stream = await session.createBidirectionalStream();
    const writer = stream.writable.getWriter();
    window.send = (command) => writer.write(new TextEncoder().encode(`${JSON.stringify(command)}\n`));
    (async () => {
      let text = '';
      for await (const piece of stream.readable.pipeThrough(new TextDecoderStream())) {
        text += piece;
        const lines = text.split('\n');
        text = lines.pop();
        for (const line of lines) tell('message', JSON.parse(line));
      }
      tell('end', text);
    })().catch((error) => tell('error', String(error)));
  }, url);

suite('http/3', config, { tls: true }, (rig) => {
  test('a page comes over HTTP/3', async () => {
    const { page } = await rig.page();
    await page.goto(rig.url('/connection/init'));
    const protocol = await page.evaluate(() => performance.getEntriesByType('navigation')[0].nextHopProtocol);
    assert.equal(protocol, 'h3');
    assert.equal(await page.evaluate(() => document.body.innerText), '{}');
  });

  test('a session ends with what the server says', async () => {
    const { page, events } = await rig.page();
    await listen(page, rig.url('/connection/webtransport'));
    await page.evaluate((connect) => send({ id: 1, connect }), { token: rig.request('ann').token });
    assert.ok((await events.next('message')).connect.client);
    const end = { code: 4001, reason: 'genug für heute' };
    await rig.server.api('disconnect', { user: 'ann', disconnect: end });
    assert.deepEqual((await events.next('message')).push, { disconnect: end });
    assert.equal(await events.next('end'), '');
    assert.deepEqual(await events.next('close'), { closeCode: end.code, reason: end.reason });
  });

  test('a session of a foreign page is refused', async () => {
    const { page, events } = await rig.page({ host: 'localhost' });
    await listen(page, rig.url('/connection/webtransport')).catch(() => undefined);
    assert.match(await events.next('error'), /WebTransportError/);
  });
});
