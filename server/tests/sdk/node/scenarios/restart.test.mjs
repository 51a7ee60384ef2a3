// A server that shuts down says so, and clients come back to its successor.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suite } from '../harness/suite.mjs';

suite('restart', {}, (rig) => {
  test('tells clients 3001; they return, and learn that the stream is another one', async () => {
    const channel = rig.channel('feed');
    const { client, events: connection } = await rig.connected();
    const { events, subscribed } = await rig.subscribed(client, channel);
    await rig.publishNumbers(channel, 1, 3);
    await events.first(3, 'publication');

    await rig.server.stop();
    const [, lost] = await connection.first(2, 'connecting');
    assert.deepEqual(lost, { code: 3001, reason: 'shutdown' });
    await rig.server.run();

    await connection.first(2, 'connected');
    const [, again] = await events.first(2, 'subscribed');
    assert.equal(again.wasRecovering, true);
    assert.equal(again.recovered, false);
    assert.notEqual(again.streamPosition.epoch, subscribed.streamPosition.epoch);
    await rig.publishNumbers(channel, 1, 2);
    await events.first(5, 'publication');
    assert.deepEqual(rig.values(events).map(({ n }) => n), [1, 2, 3, 1, 2]);
  });
});
