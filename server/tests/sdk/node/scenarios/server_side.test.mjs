// Subscriptions the server decides on: from tokens, from the server API, and personal channels.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { numbers, suite } from '../harness/suite.mjs';
import { inSeconds, token } from '../harness/tokens.mjs';

suite('server-side subscriptions', {}, (rig) => {
  const granting = (claims) => ({ token: token({ sub: 'alice', exp: inSeconds(600), ...claims }) });

  test('come from the channels of the token', async () => {
    const channels = [rig.channel('closed'), rig.channel('feed')];
    const { client, events } = await rig.connected(granting({ channels }));
    const subscribed = await events.first(2, 'subscribed');
    const recoverable = Object.fromEntries(subscribed.map((context) => [context.channel, context.recoverable]));
    assert.deepEqual(recoverable, { [channels[0]]: false, [channels[1]]: true });
    for (const channel of channels) await rig.server.publish(channel, { to: channel });
    const publications = await events.first(2, 'publication');
    assert.deepEqual(publications.map(({ channel, data }) => [channel, rig.decode(data)]), channels.map((to) => [to, { to }]));
    assert.deepEqual(Object.keys((await client.presence(channels[0])).clients), [events.all('connected')[0].client]);
  });

  test('come from the subs of the token, with info, data and options of their own', async () => {
    const channel = rig.channel('closed');
    const override = { force_recovery: { value: true }, force_push_join_leave: { value: true }, join_leave: { value: true } };
    const subs = { [channel]: { info: { seat: 7 }, data: { hello: 'you' }, override } };
    const { client, events, id } = await rig.connected(granting({ subs }));
    const subscribed = await events.next('subscribed');
    assert.equal(subscribed.channel, channel);
    assert.equal(subscribed.recoverable, true);
    assert.deepEqual(rig.decode(subscribed.data), { hello: 'you' });
    const { info } = await events.next('join');
    assert.equal(info.client, id);
    assert.deepEqual(rig.decode(info.chanInfo), { seat: 7 });
    const { clients } = await client.presence(channel);
    assert.deepEqual(rig.decode(clients[id].chanInfo), { seat: 7 });
  });

  test('bring every publication missed during a cut, once and in order', async () => {
    const channel = rig.channel('feed');
    const link = await rig.link();
    const { events } = await rig.connected({ link, ...granting({ channels: [channel] }) });
    await rig.publishNumbers(channel, 1, 5);
    await events.first(5, 'publication');
    link.cut();
    await events.first(2, 'connecting');
    await rig.publishNumbers(channel, 6, 60);
    link.mend();
    const [, again] = await events.first(2, 'subscribed');
    assert.equal(again.wasRecovering, true);
    assert.equal(again.recovered, true);
    await events.first(60, 'publication');
    await rig.publishNumbers(channel, 61, 65);
    await events.first(65, 'publication');
    assert.deepEqual(rig.values(events), numbers(1, 65));
  });

  test('begin and end by the server API', async () => {
    const channel = rig.channel('feed');
    const { client, events } = await rig.connected({ user: 'guest' });
    await rig.server.api('subscribe', { user: 'guest', channel, data: { welcome: true }, info: { seat: 1 } });
    const subscribed = await events.next('subscribed');
    assert.equal(subscribed.channel, channel);
    assert.equal(subscribed.recoverable, true);
    assert.deepEqual(rig.decode(subscribed.data), { welcome: true });
    await rig.publishNumbers(channel, 1, 2);
    await events.first(2, 'publication');
    await rig.server.api('unsubscribe', { user: 'guest', channel });
    assert.equal((await events.next('unsubscribed')).channel, channel);
    await rig.publishNumbers(channel, 3, 3);
    await client.rpc('ping', rig.encode({}));
    assert.deepEqual(rig.values(events), numbers(1, 2));
  });

  test('concern one connection of the user where the server API names it', async () => {
    const channel = rig.channel('feed');
    const first = await rig.connected({ user: 'double' });
    const second = await rig.connected({ user: 'double' });
    await rig.server.api('subscribe', { user: 'double', channel, client: first.id });
    await first.events.next('subscribed');
    await second.client.rpc('ping', rig.encode({}));
    assert.deepEqual(second.events.all('subscribed'), []);
  });

  test('fail the connection when the channel of the token does not exist', async () => {
    const { client, events } = rig.client(granting({ channels: ['nowhere:x'] }));
    client.connect();
    assert.equal((await events.next('disconnected')).code, 102);
  });
});

const personal = { enabled: true, personal_channel_namespace: 'personal' };

suite('personal channel', { client: { subscribe_to_user_personal_channel: personal } }, (rig) => {
  test('reaches every connection of its user and nobody else', async () => {
    const mine = [await rig.connected({ user: 'me' }), await rig.connected({ user: 'me' })];
    const other = await rig.connected({ user: 'you' });
    await rig.publishNumbers('personal:#me', 1, 3);
    for (const { events } of mine) {
      assert.equal((await events.next('subscribed')).channel, 'personal:#me');
      await events.first(3, 'publication');
      assert.deepEqual(rig.values(events), numbers(1, 3));
    }
    await other.client.rpc('ping', rig.encode({}));
    assert.equal((await other.events.next('subscribed')).channel, 'personal:#you');
    assert.deepEqual(rig.values(other.events), []);
  });

  test('recovers across a cut', async () => {
    const link = await rig.link();
    const { events } = await rig.connected({ user: 'cut', link });
    link.cut();
    await events.first(2, 'connecting');
    await rig.publishNumbers('personal:#cut', 1, 3);
    link.mend();
    await events.first(3, 'publication');
    assert.deepEqual(rig.values(events), numbers(1, 3));
  });
});

const single = { client: { subscribe_to_user_personal_channel: { ...personal, single_connection: true } } };

suite('personal channel of a single connection', single, (rig) => {
  test('ends the older connection of the user with 3504', async () => {
    const older = await rig.connected({ user: 'only' });
    const other = await rig.connected({ user: 'another' });
    const newer = await rig.connected({ user: 'only' });
    assert.equal((await older.events.next('disconnected')).code, 3504);
    await newer.client.rpc('ping', rig.encode({}));
    await other.client.rpc('ping', rig.encode({}));
    assert.deepEqual(newer.events.all('disconnected'), []);
    assert.deepEqual(other.events.all('disconnected'), []);
  });
});
