// Channels that need a token, and its renewal.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Calls } from '../harness/events.mjs';
import { suite } from '../harness/suite.mjs';
import { inSeconds, token } from '../harness/tokens.mjs';

const grant = (channel, claims = {}) => token({ sub: 'alice', channel, exp: inSeconds(600), ...claims });

suite('subscription token', {}, (rig) => {
  for (const prefix of ['', '$']) {
    test(`opens the channel ${prefix}closed:… with info and data`, async () => {
      const channel = prefix + rig.channel('closed');
      const { client, id } = await rig.connected();
      const asked = [];
      const { sub, events, subscribed } = await rig.subscribed(client, channel, {
        getToken: async (context) => {
          asked.push(context.channel);
          return grant(channel, { info: { role: 'guest' }, data: { hello: 'you' } });
        },
      });
      assert.deepEqual(asked, [channel]);
      assert.deepEqual(rig.decode(subscribed.data), { hello: 'you' });
      const { clients } = await sub.presence();
      assert.deepEqual(rig.decode(clients[id].chanInfo), { role: 'guest' });
      await rig.server.publish(channel, { n: 1 });
      await events.next('publication');
    });
  }

  test('may override options of the namespace', async () => {
    const channel = rig.channel('closed');
    const { client } = await rig.connected();
    const { subscribed } = await rig.subscribed(client, channel, {
      token: grant(channel, { override: { force_recovery: { value: true } } }),
    });
    assert.equal(subscribed.recoverable, true);
  });

  test('is renewed before each expiry, without losing the subscription', async () => {
    const channel = rig.channel('closed');
    const { client } = await rig.connected();
    const calls = new Calls();
    const { events } = await rig.subscribed(client, channel, {
      getToken: async () => {
        calls.add();
        return grant(channel, { exp: inSeconds(2) });
      },
    });
    await calls.reach(4);
    await rig.server.publish(channel, { n: 1 });
    await events.next('publication');
    assert.equal(events.all('subscribing').length, 1);
    assert.deepEqual(events.all('error'), []);
  });

  test('is asked for again when the first one has expired', async () => {
    const channel = rig.channel('closed');
    const { client } = await rig.connected();
    const { events } = await rig.subscribed(client, channel, {
      token: grant(channel, { exp: inSeconds(-10) }),
      getToken: async () => grant(channel),
    });
    assert.equal(events.all('error')[0].error.code, 109);
  });

  test('is refused with 103 when it is of another secret', async () => {
    const channel = rig.channel('closed');
    const { client } = await rig.connected();
    const { events } = rig.subscription(client, channel, { token: token({ sub: 'alice', channel }, 'another secret') });
    assert.equal((await events.next('unsubscribed')).code, 103);
  });

  for (const [what, claims] of [['user', { sub: 'bob' }], ['channel', { channel: 'closed:other' }]]) {
    test(`ends the connection with 3500 when it is for another ${what}`, async () => {
      const channel = rig.channel('closed');
      const { client, events: connection } = await rig.connected();
      rig.subscription(client, channel, { token: grant(channel, claims) });
      assert.equal((await connection.next('disconnected')).code, 3500);
    });
  }

  test('ends the subscription when the application has none', async () => {
    const { client, events: connection } = await rig.connected();
    const { events } = rig.subscription(client, rig.channel('closed'), { getToken: async () => '' });
    assert.equal((await events.next('unsubscribed')).code, 1);
    assert.equal(connection.all('connecting').length, 1);
  });
});

const impatient = { client: { presence_update_interval: '1s', expired_sub_close_delay: '1s', expired_close_delay: '1s' } };

suite('token that is not renewed', impatient, (rig) => {
  test('makes the subscription begin anew with 2501', async () => {
    const channel = rig.channel('closed');
    const { client } = await rig.connected();
    // The renewal hangs: the subscription outlives its token.
    const answers = [grant(channel, { exp: inSeconds(2) }), new Promise(() => {}), grant(channel)];
    const { events } = await rig.subscribed(client, channel, { getToken: async () => answers.shift() });
    const [, renewed] = await events.first(2, 'subscribing');
    assert.deepEqual({ ...renewed, channel: undefined }, { channel: undefined, code: 2501, reason: 'subscription expired' });
    await events.first(2, 'subscribed');
  });

  test('makes the connection begin anew with 3005', async () => {
    const user = (exp) => token({ sub: 'alice', exp: inSeconds(exp) });
    const answers = [user(2), new Promise(() => {}), user(600)];
    const { events } = await rig.connected({ getToken: async () => answers.shift() });
    const [, renewed] = await events.first(2, 'connecting');
    assert.deepEqual(renewed, { code: 3005, reason: 'connection expired' });
    await events.first(2, 'connected');
  });
});
