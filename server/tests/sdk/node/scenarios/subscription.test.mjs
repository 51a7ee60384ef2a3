// Channels: publications, history, presence, joins and leaves, and what is refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { overWebSocket, suite } from '../harness/suite.mjs';
import { inSeconds, token } from '../harness/tokens.mjs';

suite('subscription', { client: { channel_limit: 20 } }, (rig) => {
  test('delivers what subscribers publish, with who published it', async () => {
    const channel = rig.channel('room');
    const bob = await rig.connected({ token: token({ sub: 'bob', info: { name: 'Bob' }, exp: inSeconds(60) }) });
    const alice = await rig.connected();
    const { sub: bobs, events: bobEvents } = await rig.subscribed(bob.client, channel);
    const { events } = await rig.subscribed(alice.client, channel);
    await bobs.publish(rig.encode({ text: 'Grüße <&> 🎈', list: [1, 2.5, null, true] }));
    for (const seen of [events, bobEvents]) {
      const publication = await seen.next('publication');
      assert.deepEqual(rig.decode(publication.data), { text: 'Grüße <&> 🎈', list: [1, 2.5, null, true] });
      assert.equal(publication.channel, channel);
      assert.equal(publication.info.user, 'bob');
      assert.equal(publication.info.client, bob.id);
      assert.deepEqual(rig.decode(publication.info.connInfo), { name: 'Bob' });
    }
  });

  test('delivers what the server API publishes, with its tags', async () => {
    const channel = rig.channel('plain');
    const { client } = await rig.connected();
    const { events } = await rig.subscribed(client, channel);
    await rig.server.publish(channel, { from: 'backend' }, { tags: { kind: 'news' } });
    const publication = await events.next('publication');
    assert.deepEqual(rig.decode(publication.data), { from: 'backend' });
    assert.deepEqual({ ...publication.tags }, { kind: 'news' });
    assert.equal(publication.info, undefined);
  });

  test('delivers a broadcast once to each of its channels', async () => {
    const channels = [rig.channel('plain'), rig.channel('room'), rig.channel('plain')];
    const { client } = await rig.connected();
    const subscriptions = await Promise.all(channels.map((channel) => rig.subscribed(client, channel)));
    const { responses } = await rig.server.api('broadcast', { channels, data: { to: 'all' } });
    assert.equal(responses.length, 3);
    for (const { events } of subscriptions) {
      await events.next('publication');
      assert.deepEqual(rig.values(events), [{ to: 'all' }]);
    }
  });

  test('delivers a publication with an idempotency key once', async () => {
    const channel = rig.channel('room');
    const { client } = await rig.connected();
    const { events } = await rig.subscribed(client, channel);
    const first = await rig.server.publish(channel, { n: 1 }, { idempotency_key: 'once' });
    const second = await rig.server.publish(channel, { n: 1 }, { idempotency_key: 'once' });
    assert.deepEqual(second, first);
    await rig.server.publish(channel, { n: 2 });
    await events.first(2, 'publication');
    assert.deepEqual(rig.values(events), [{ n: 1 }, { n: 2 }]);
  });

  test('delivers nothing after unsubscribing', async () => {
    const channel = rig.channel('room');
    const { client } = await rig.connected();
    const { sub, events } = await rig.subscribed(client, channel);
    sub.unsubscribe();
    assert.equal((await events.next('unsubscribed')).code, 0);
    const witness = await rig.connected();
    const { events: seen } = await rig.subscribed(witness.client, channel);
    await rig.server.publish(channel, { n: 1 });
    await seen.next('publication');
    await client.rpc('ping', rig.encode({}));
    assert.deepEqual(events.all('publication'), []);
    sub.subscribe();
    await events.first(2, 'subscribed');
  });

  test('is ended with 2000 by the unsubscribe of the server API', async () => {
    const channel = rig.channel('room');
    const { client } = await rig.connected({ user: 'removed' });
    const { events } = await rig.subscribed(client, channel);
    await rig.server.api('unsubscribe', { user: 'removed', channel });
    const { code, reason } = await events.next('unsubscribed');
    assert.deepEqual({ code, reason }, { code: 2000, reason: 'server unsubscribe' });
  });

  test('reads history forwards, backwards, after a position, and its top alone', async () => {
    const channel = rig.channel('room');
    const { client } = await rig.connected();
    const { sub } = await rig.subscribed(client, channel);
    await rig.publishNumbers(channel, 1, 5);
    const read = async (options) => {
      const { publications, ...position } = await sub.history(options);
      return { ...position, values: publications.map(({ data, offset }) => [offset, rig.decode(data).n]) };
    };
    const { epoch, ...top } = await read({ limit: 0 });
    assert.deepEqual(top, { offset: 5, values: [] });
    assert.match(epoch, /^\w+$/);
    assert.deepEqual((await read({ limit: 2 })).values, [[1, 1], [2, 2]]);
    assert.deepEqual((await read({ limit: -1 })).values, [[1, 1], [2, 2], [3, 3], [4, 4], [5, 5]]);
    assert.deepEqual((await read({ limit: 2, reverse: true })).values, [[5, 5], [4, 4]]);
    assert.deepEqual((await read({ limit: 10, since: { offset: 3, epoch } })).values, [[4, 4], [5, 5]]);
    assert.deepEqual((await read({ limit: 10, since: { offset: 3, epoch }, reverse: true })).values, [[2, 2], [1, 1]]);
    await assert.rejects(sub.history({ limit: 10, since: { offset: 3, epoch: 'gone' } }), { code: 112 });
  });

  test('reads an empty history', async () => {
    const { client } = await rig.connected();
    const { sub } = await rig.subscribed(client, rig.channel('room'));
    const { publications, offset, epoch } = await sub.history({ limit: 10 });
    assert.deepEqual({ publications, offset }, { publications: [], offset: 0 });
    assert.match(epoch, /^\w+$/);
  });

  test('tells who is present, and how many', async () => {
    const channel = rig.channel('room');
    const alice = await rig.connected({ token: token({ sub: 'alice', info: { name: 'Alice' }, exp: inSeconds(60) }) });
    const bobs = [await rig.connected({ user: 'bob' }), await rig.connected({ user: 'bob' })];
    const { sub } = await rig.subscribed(alice.client, channel);
    for (const { client } of bobs) await rig.subscribed(client, channel);
    const { clients } = await sub.presence();
    assert.deepEqual(Object.keys(clients).sort(), [alice.id, bobs[0].id, bobs[1].id].sort());
    assert.equal(clients[alice.id].user, 'alice');
    assert.deepEqual(rig.decode(clients[alice.id].connInfo), { name: 'Alice' });
    assert.equal(clients[bobs[0].id].user, 'bob');
    const { numClients, numUsers } = await sub.presenceStats();
    assert.deepEqual({ numClients, numUsers }, { numClients: 3, numUsers: 2 });
  });

  test('tells of joins and leaves, however the others leave', async () => {
    const channel = rig.channel('room');
    const watcher = await rig.connected({ user: 'watcher' });
    const { sub, events } = await rig.subscribed(watcher.client, channel, { joinLeave: true });
    assert.equal((await events.next('join')).info.client, watcher.id);
    const link = await rig.link();
    const leavers = [
      { ...(await rig.connected({ user: 'unsubscriber' })), leave: ({ subscription }) => subscription.unsubscribe() },
      { ...(await rig.connected({ user: 'disconnecter' })), leave: ({ client }) => client.disconnect() },
      { ...(await rig.connected({ user: 'victim', link })), leave: () => link.cut() },
    ];
    for (const leaver of leavers) {
      leaver.subscription = (await rig.subscribed(leaver.client, channel)).sub;
      assert.equal((await events.next('join')).info.client, leaver.id);
    }
    for (const leaver of leavers) {
      leaver.leave(leaver);
      assert.equal((await events.next('leave')).info.client, leaver.id);
    }
    assert.deepEqual(Object.keys((await sub.presence()).clients), [watcher.id]);
  });

  test('sends joins and leaves only to those who asked', async () => {
    const channel = rig.channel('room');
    const deaf = await rig.connected();
    const { events } = await rig.subscribed(deaf.client, channel);
    const other = await rig.connected();
    await rig.subscribed(other.client, channel);
    await deaf.client.rpc('ping', rig.encode({}));
    assert.deepEqual(events.all('join'), []);
  });

  const refusals = [
    ['unknown namespace', 'nowhere:x', 102],
    ['namespace that allows nothing', 'closed:x', 103],
    ['private channel without a token', '$room:x', 103],
    ['name longer than the limit', `room:${'x'.repeat(255)}`, 107],
    ['name beyond ASCII', 'room:ü', 107],
  ];
  for (const [what, channel, code] of refusals) {
    test(`refuses a subscription for good: ${what}`, async () => {
      const { client } = await rig.connected();
      const { events } = rig.subscription(client, channel);
      assert.equal((await events.next('unsubscribed')).code, code);
      assert.deepEqual(events.all('subscribed'), []);
    });
  }

  test('refuses one channel more than the limit and keeps the others', async () => {
    const { client, events: connection } = await rig.connected();
    const within = await Promise.all(Array.from({ length: 20 }, () => rig.subscribed(client, rig.channel('room'))));
    const { events } = rig.subscription(client, rig.channel('room'));
    assert.equal((await events.next('unsubscribed')).code, 106);
    within[0].sub.unsubscribe();
    // Over streamed transports each command is a request of its own, and the next may come first.
    const { channel } = within[0].sub;
    while ((await rig.server.api('presence_stats', { channel })).num_clients > 0);
    await rig.subscribed(client, rig.channel('room'));
    assert.equal(connection.all('connecting').length, 1);
  });

  test('refuses what the namespace does not allow, and stays subscribed', async () => {
    const { client } = await rig.connected();
    const { sub, events } = await rig.subscribed(client, rig.channel('plain'));
    await assert.rejects(sub.publish(rig.encode({})), { code: 103, message: 'permission denied' });
    await assert.rejects(sub.presence(), { code: 108, message: 'not available' });
    await assert.rejects(sub.presenceStats(), { code: 108 });
    await assert.rejects(sub.history({ limit: 1 }), { code: 108 });
    await assert.rejects(client.publish('nowhere:x', rig.encode({})), { code: 102, message: 'unknown channel' });
    await assert.rejects(client.publish(rig.channel('room'), rig.encode({})), { code: 103 });
    await assert.rejects(client.presence(rig.channel('room')), { code: 103 });
    await assert.rejects(client.history(rig.channel('room'), { limit: 1 }), { code: 103 });
    assert.deepEqual(events.all('unsubscribed'), []);
  });

  test('subscribes, unsubscribes and subscribes again in one breath', async () => {
    const { client } = await rig.connected();
    const channel = rig.channel('room');
    const { sub, events } = rig.subscription(client, channel);
    for (let round = 0; round < 10; round += 1) {
      sub.unsubscribe();
      sub.subscribe();
    }
    await sub.ready(10_000);
    await rig.server.publish(channel, { n: 1 });
    await events.next('publication');
    await client.rpc('ping', rig.encode({}));
    assert.deepEqual(rig.values(events), [{ n: 1 }]);
  });

  test('carries large publications in both directions', async () => {
    const { client } = await rig.connected();
    const { sub, events } = await rig.subscribed(client, rig.channel('room'));
    const text = 'x'.repeat(60_000);
    await sub.publish(rig.encode({ text }));
    assert.equal(rig.decode((await events.next('publication')).data).text, text);
  });
});

// Streamed transports carry commands in requests of their own: one that is refused ends no connection.
overWebSocket('limit of messages', {}, (rig) => {
  test('is told when a message is larger than the limit', async () => {
    const { client, events: connection } = await rig.connected();
    const { sub } = await rig.subscribed(client, rig.channel('room'));
    sub.publish(rig.encode({ text: 'x'.repeat(70_000) })).catch(() => {});
    assert.equal((await connection.next('disconnected')).code, 3);
  });
});
