// A subscriber whose stream went on without it is told, though nothing was ever sent.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suite } from '../harness/suite.mjs';
import { inSeconds, token } from '../harness/tokens.mjs';

// The stream of the namespace `brief` is forgotten a second after its last use: the periodic check finds another epoch.
const config = { client: { presence_update_interval: '1s', channel_position_check_delay: '3s' } };

suite('position', config, (rig) => {
  test('a positioned subscription is renewed with 2500 when its stream is another one', async () => {
    const channel = rig.channel('brief');
    const { client, events: connection } = await rig.connected();
    const { events, subscribed } = await rig.subscribed(client, channel);
    assert.equal(subscribed.positioned, true);
    assert.equal(subscribed.recoverable, false);
    await events.next('subscribing');
    const { code, reason } = await events.next('subscribing');
    assert.deepEqual({ code, reason }, { code: 2500, reason: 'insufficient state' });
    const again = await events.next('subscribed');
    assert.notEqual(again.streamPosition.epoch, subscribed.streamPosition.epoch);
    assert.equal(connection.all('connecting').length, 1);
    await rig.server.publish(channel, { n: 1 });
    await events.next('publication');
    assert.deepEqual(rig.values(events), [{ n: 1 }]);
  });

  test('a server-side subscription makes the client reconnect with 3010', async () => {
    const channel = rig.channel('brief');
    const { events } = await rig.connected({ token: token({ sub: 'alice', channels: [channel], exp: inSeconds(60) }) });
    assert.equal((await events.next('subscribed')).positioned, true);
    const [, lost] = await events.first(2, 'connecting');
    assert.equal(lost.code, 3010);
    await events.first(2, 'connected');
  });
});
