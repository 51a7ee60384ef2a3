// `EventSource` on uni_sse.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { numbers, payloads, suite } from '../harness/suite.mjs';

const CONNECTING = 0;
const CLOSED = 2;
const TEXT = 'größer als 一个字 \u2028 "quoted" 🎈';

const listen = (page, url) =>
  page.evaluate((url) => {
    window.source = new EventSource(url, { withCredentials: true });
    source.onopen = () => tell('open');
    source.onmessage = (event) => tell('message', JSON.parse(event.data));
    source.onerror = () => tell('error', source.readyState);
  }, url);

suite('uni_sse', { uni_sse: { enabled: true }, client: { ping_interval: '1s', pong_timeout: '500ms' } }, (rig) => {
  test('gets everything that is published, in order', async () => {
    const channel = rig.channel('feed');
    const { page, events } = await rig.page();
    await listen(page, rig.url('/connection/uni_sse', { cf_connect: rig.request('ann', channel) }));
    const { connect } = await events.next('message');
    assert.deepEqual(Object.keys(connect.subs), [channel]);
    await rig.publishNumbers(channel, 1, 200, TEXT);
    await rig.server.api('unsubscribe', { user: 'ann', channel });
    // Pings come in between.
    for (let message = await events.next('message'); !message.unsubscribe; ) message = await events.next('message');
    assert.deepEqual(payloads(events.all('message')), numbers(1, 200, TEXT));
    assert.deepEqual(events.all('error'), []);
  });

  test('gets pings as empty messages', async () => {
    const { page, events } = await rig.page();
    await listen(page, rig.url('/connection/uni_sse', { cf_connect: rig.request('bea') }));
    const { connect } = await events.next('message');
    assert.equal(connect.ping, 1);
    assert.deepEqual(await events.next('message'), {});
    assert.deepEqual(await events.next('message'), {});
  });

  test('connects again by itself after a disconnect', async () => {
    const { page, events } = await rig.page();
    await listen(page, rig.url('/connection/uni_sse', { cf_connect: rig.request('cyd') }));
    const first = await events.next('message');
    await rig.server.api('disconnect', { user: 'cyd' });
    assert.equal(await events.next('error'), CONNECTING);
    await events.first(2, 'open');
    const told = events.all('message');
    assert.deepEqual(told.find(({ disconnect }) => disconnect).disconnect, { code: 3503, reason: 'force disconnect' });
    let second = await events.next('message');
    while (!second.connect) second = await events.next('message');
    assert.notEqual(second.connect.client, first.connect.client);
  });

  test('leaves when the page closes it', async () => {
    const channel = rig.channel('seen');
    const watching = await rig.page();
    await listen(watching.page, rig.url('/connection/uni_sse', { cf_connect: rig.request('dan', channel) }));
    const { page, events } = await rig.page();
    await listen(page, rig.url('/connection/uni_sse', { cf_connect: rig.request('eve', channel) }));
    await events.next('message');
    await page.evaluate(() => source.close());
    let message = await watching.events.next('message');
    while (!message.leave) message = await watching.events.next('message');
    assert.equal(message.leave.info.user, 'eve');
  });

  test('tells a page of another origin nothing', async () => {
    const { page, events } = await rig.page({ host: 'localhost' });
    await listen(page, rig.url('/connection/uni_sse', { cf_connect: rig.request('fay') }));
    assert.equal(await events.next('error'), CLOSED);
    assert.deepEqual(events.all('message'), []);
  });
});

const refusing = {
  enabled: true,
  connect_code_to_http_response: { enabled: true, transforms: [{ code: 3500, to: { status_code: 403 } }] },
};

suite('uni_sse with responses for refusals', { uni_sse: refusing }, (rig) => {
  test('is given up when refused', async () => {
    const { page, events } = await rig.page();
    await listen(page, rig.url('/connection/uni_sse', { cf_connect: { token: 'wrong' } }));
    assert.equal(await events.next('error'), CLOSED);
  });

  test('works when not refused', async () => {
    const channel = rig.channel('plain');
    const { page, events } = await rig.page();
    await listen(page, rig.url('/connection/uni_sse', { cf_connect: rig.request('gus', channel) }));
    assert.ok((await events.next('message')).connect);
    await rig.server.publish(channel, 1);
    assert.equal((await events.next('message')).pub.data, 1);
  });
});
