// Connecting, staying connected, and being told to go.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Calls } from '../harness/events.mjs';
import { overWebSocket, suite } from '../harness/suite.mjs';
import { inSeconds, token } from '../harness/tokens.mjs';
import { Traffic } from '../harness/traffic.mjs';

const config = { client: { ping_interval: '3s', pong_timeout: '2s' } };

suite('connection', config, (rig) => {
  test('connects with a token and disconnects', async () => {
    const { client, events, id } = await rig.connected();
    assert.match(id, /^[0-9a-f-]{36}$/);
    assert.equal(events.all('connected')[0].transport, rig.transport);
    client.disconnect();
    assert.equal((await events.next('disconnected')).code, 0);
  });

  test('calls getToken at connect and again before each expiry, without losing the connection', async () => {
    const calls = new Calls();
    const { events } = await rig.connected({
      getToken: async () => {
        calls.add();
        return token({ sub: 'alice', exp: inSeconds(2) });
      },
    });
    // The third and fourth call follow from the expiry the server told in its refresh replies.
    await calls.reach(4);
    assert.equal(events.all('connecting').length, 1);
    assert.deepEqual(events.all('disconnected'), []);
    assert.deepEqual(events.all('error'), []);
  });

  test('asks for a new token when the first one has expired', async () => {
    const calls = new Calls();
    const { client, events } = rig.client({
      token: token({ sub: 'alice', exp: inSeconds(-10) }),
      getToken: async () => {
        calls.add();
        return token({ sub: 'alice', exp: inSeconds(600) });
      },
    });
    client.connect();
    await events.next('connected');
    assert.equal(calls.count, 1);
    assert.equal(events.all('error')[0].error.code, 109);
  });

  test('ends for good with 3500 for a token of another secret', async () => {
    const { client, events } = rig.client({ token: token({ sub: 'alice' }, 'another secret') });
    client.connect();
    const { code, reason } = await events.next('disconnected');
    assert.deepEqual({ code, reason }, { code: 3500, reason: 'invalid token' });
  });

  test('ends for good with 3501 without a token', async () => {
    const { client, events } = rig.client({ token: '' });
    client.connect();
    assert.equal((await events.next('disconnected')).code, 3501);
  });

  test('ends for good with 3503 when the server API disconnects the user', async () => {
    const { events } = await rig.connected({ user: 'leaver' });
    const other = await rig.connected({ user: 'stayer' });
    await rig.server.api('disconnect', { user: 'leaver' });
    const { code, reason } = await events.next('disconnected');
    assert.deepEqual({ code, reason }, { code: 3503, reason: 'force disconnect' });
    await other.client.rpc('ping', rig.encode({}));
    assert.deepEqual(other.events.all('disconnected'), []);
  });

  test('spares the clients of the whitelist', async () => {
    const first = await rig.connected({ user: 'twin' });
    const second = await rig.connected({ user: 'twin' });
    await rig.server.api('disconnect', { user: 'twin', whitelist: [second.id] });
    assert.equal((await first.events.next('disconnected')).code, 3503);
    await second.client.rpc('ping', rig.encode({}));
    assert.deepEqual(second.events.all('disconnected'), []);
  });

  for (const code of [3011, 3499, 4000, 4499]) {
    test(`reconnects after code ${code}`, async () => {
      const { events } = await rig.connected({ user: `u${code}` });
      await rig.server.api('disconnect', { user: `u${code}`, disconnect: { code, reason: 'come back' } });
      await events.next('connecting');
      assert.deepEqual(await events.next('connecting'), { code, reason: 'come back' });
      await events.next('connected');
      assert.deepEqual(events.all('disconnected'), []);
    });
  }

  for (const code of [3999, 4500, 4999]) {
    test(`stays away after code ${code}`, async () => {
      const { events } = await rig.connected({ user: `u${code}` });
      await rig.server.api('disconnect', { user: `u${code}`, disconnect: { code, reason: 'stay away' } });
      assert.deepEqual(await events.next('disconnected'), { code, reason: 'stay away' });
      assert.equal(events.all('connecting').length, 1);
    });
  }

  test('reconnects after its token was declared expired by the server API', async () => {
    const calls = new Calls();
    const { events } = await rig.connected({
      getToken: async () => {
        calls.add();
        return token({ sub: 'refreshed', exp: inSeconds(600) });
      },
    });
    await rig.server.api('refresh', { user: 'refreshed', expired: true });
    await events.first(2, 'connected');
    assert.equal(events.all('connecting')[1].code, 3005);
  });

  test('is closed with 3508 after a message no handler waits for', async () => {
    const { client, events } = await rig.connected();
    await client.send(rig.encode({ any: 'thing' }));
    assert.equal((await events.next('disconnected')).code, 3508);
  });

  test('answers the ping of rpc and knows no other method', async () => {
    const { client } = await rig.connected();
    await client.rpc('ping', rig.encode({}));
    await assert.rejects(client.rpc('pong', rig.encode({})), { code: 104, message: 'method not found' });
  });

  test('takes commands issued before the connection is up', async () => {
    const { client } = rig.client();
    const answer = client.rpc('ping', rig.encode({}));
    client.connect();
    await answer;
  });
});

overWebSocket('frames', config, (rig) => {
  test('answers pings and is kept', async () => {
    const traffic = new Traffic();
    const { events } = await rig.connected({ websocket: traffic.WebSocket });
    // The second ping comes only to a client that has answered the first.
    await traffic.reach(2, () => traffic.sent.filter(isPong).length);
    assert.equal(events.all('connecting').length, 1);
  });

  test('sends batched commands in one frame and answers all of them in order', async () => {
    const traffic = new Traffic();
    const { client } = await rig.connected({ websocket: traffic.WebSocket });
    const channel = rig.channel('room');
    const { sub, events } = await rig.subscribed(client, channel);
    const frames = traffic.sent.length;
    client.startBatching();
    const published = Array.from({ length: 50 }, (_, n) => sub.publish(rig.encode({ n })));
    client.stopBatching();
    await Promise.all(published);
    assert.equal(traffic.sent.length, frames + 1);
    await events.first(50, 'publication');
    assert.deepEqual(rig.values(events), Array.from({ length: 50 }, (_, n) => ({ n })));
  });
});

const isPong = (frame) => frame === '{}' || (frame.length === 1 && frame[0] === 0);
