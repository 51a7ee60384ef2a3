// `fetch` with a streamed response on uni_http_stream.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { numbers, payloads, suite } from '../harness/suite.mjs';

const listen = (page, url, request) =>
  page.evaluate(
    ([url, request]) => {
      const lines = async (response) => {
        let rest = '';
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        for (;;) {
          const { done, value } = await reader.read();
          if (done) return tell('end', rest);
          const parts = (rest + value).split('\n');
          rest = parts.pop();
          for (const line of parts) await tell('message', JSON.parse(line));
        }
      };
      window.controller = new AbortController();
      fetch(url, {
        method: 'POST',
        // Not among the types a page may send unasked, so that the browser asks first.
        headers: { 'Content-Type': 'application/json' },
        credentials: 'include',
        body: JSON.stringify(request),
        signal: controller.signal,
      })
        .then(async (response) => {
          tell('open', response.status);
          return response.ok ? lines(response) : tell('message', await response.text());
        })
        .catch((error) => tell('error', error.name));
    },
    [url, request],
  );

suite('uni_http_stream', { uni_http_stream: { enabled: true } }, (rig) => {
  const endpoint = () => rig.url('/connection/uni_http_stream');

  test('gets everything that is published, in order, and the reason of the end', async () => {
    const channel = rig.channel('feed');
    const text = 'ü一🎈'.repeat(2_000);
    const { page, events } = await rig.page();
    await listen(page, endpoint(), rig.request('ann', channel));
    assert.equal(await events.next('open'), 200);
    assert.deepEqual(Object.keys((await events.next('message')).connect.subs), [channel]);
    await rig.publishNumbers(channel, 1, 100, text);
    await rig.server.api('disconnect', { user: 'ann' });
    assert.equal(await events.next('end'), '', 'nothing is left behind the last line');
    const told = events.all('message');
    assert.deepEqual(payloads(told), numbers(1, 100, text));
    assert.deepEqual(told.at(-1), { disconnect: { code: 3503, reason: 'force disconnect' } });
  });

  test('leaves when the page aborts it', async () => {
    const channel = rig.channel('seen');
    const watching = await rig.page();
    await listen(watching.page, endpoint(), rig.request('bea', channel));
    const { page, events } = await rig.page();
    await listen(page, endpoint(), rig.request('cyd', channel));
    await events.next('message');
    await page.evaluate(() => controller.abort());
    assert.equal(await events.next('error'), 'AbortError');
    let message = await watching.events.next('message');
    while (!message.leave) message = await watching.events.next('message');
    assert.equal(message.leave.info.user, 'cyd');
  });

  test('is refused to a page of another origin', async () => {
    const { page, events } = await rig.page({ host: 'localhost' });
    await listen(page, endpoint(), rig.request('dan'));
    assert.equal(await events.next('error'), 'TypeError');
    assert.deepEqual(events.all('open'), []);
  });
});

const refusing = {
  enabled: true,
  connect_code_to_http_response: {
    enabled: true,
    transforms: [{ code: 3500, to: { status_code: 403, body: 'come back with a token' } }],
  },
};

suite('uni_http_stream with responses for refusals', { uni_http_stream: refusing }, (rig) => {
  test('tells the page why', async () => {
    const { page, events } = await rig.page();
    await listen(page, rig.url('/connection/uni_http_stream'), { token: 'wrong' });
    assert.equal(await events.next('open'), 403);
    assert.equal(await events.next('message'), 'come back with a token');
  });
});
