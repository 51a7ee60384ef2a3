// Nothing is lost, doubled or reordered when connections break.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { numbers, suite } from '../harness/suite.mjs';

suite('recovery', {}, (rig) => {
  test('brings every publication missed during a cut, once and in order', async () => {
    const channel = rig.channel('feed');
    const link = await rig.link();
    const { client, events: connection } = await rig.connected({ link });
    const { events } = await rig.subscribed(client, channel);
    await rig.publishNumbers(channel, 1, 10);
    await events.first(10, 'publication');

    link.cut();
    await connection.first(2, 'connecting');
    await rig.publishNumbers(channel, 11, 110);
    link.mend();

    const [, again] = await events.first(2, 'subscribed');
    assert.equal(again.wasRecovering, true);
    assert.equal(again.recovered, true);
    await events.first(110, 'publication');
    await rig.publishNumbers(channel, 111, 120);
    await events.first(120, 'publication');
    assert.deepEqual(rig.values(events), numbers(1, 120));
    assert.deepEqual(events.all('publication').map(({ offset }) => offset), numbers(1, 120).map(({ n }) => n));
  });

  test('brings every publication while connections break again and again under load', async () => {
    const channels = [rig.channel('feed'), rig.channel('feed'), rig.channel('feed')];
    const link = await rig.link();
    const { client, events: connection } = await rig.connected({ link });
    const subscriptions = await Promise.all(channels.map((channel) => rig.subscribed(client, channel)));
    const published = Promise.all(channels.map((channel) => rig.publishNumbers(channel, 1, 250)));
    for (let round = 1; round <= 5; round += 1) {
      link.cutOnce();
      await connection.first(round + 1, 'connected');
    }
    await published;
    for (const { events } of subscriptions) {
      await events.first(250, 'publication');
      assert.deepEqual(rig.values(events), numbers(1, 250));
      assert.ok(events.all('subscribed').slice(1).every(({ recovered }) => recovered));
    }
  });

  test('brings every publication when the server forces a reconnect', async () => {
    const channel = rig.channel('feed');
    const { client, events: connection } = await rig.connected({ user: 'forced' });
    const { events } = await rig.subscribed(client, channel);
    const published = rig.publishNumbers(channel, 1, 100);
    for (let round = 1; round <= 3; round += 1) {
      await rig.server.api('disconnect', { user: 'forced', disconnect: { code: 3011, reason: 'force reconnect' } });
      await connection.first(round + 1, 'connected');
    }
    await published;
    await events.first(100, 'publication');
    assert.deepEqual(rig.values(events), numbers(1, 100));
    assert.ok(connection.all('connecting').slice(1).every(({ code }) => code === 3011));
  });

  test('brings what was missed between unsubscribing and subscribing', async () => {
    const channel = rig.channel('feed');
    const { client } = await rig.connected();
    const { sub, events } = await rig.subscribed(client, channel);
    await rig.publishNumbers(channel, 1, 3);
    await events.first(3, 'publication');
    sub.unsubscribe();
    await rig.publishNumbers(channel, 4, 6);
    sub.subscribe();
    await events.first(6, 'publication');
    assert.deepEqual(rig.values(events), numbers(1, 6));
  });

  test('starts from a position known from elsewhere', async () => {
    const channel = rig.channel('feed');
    await rig.publishNumbers(channel, 1, 5);
    const { offset, epoch } = await rig.server.api('history', { channel });
    const { client } = await rig.connected();
    const { events, subscribed } = await rig.subscribed(client, channel, { since: { offset: offset - 2, epoch } });
    assert.equal(subscribed.recovered, true);
    await events.first(2, 'publication');
    assert.deepEqual(rig.values(events), numbers(4, 5));
  });

  test('says so when history no longer holds what was missed', async () => {
    const channel = rig.channel('short');
    const link = await rig.link();
    const { client, events: connection } = await rig.connected({ link });
    const { events, subscribed } = await rig.subscribed(client, channel);
    await rig.publishNumbers(channel, 1, 2);
    await events.first(2, 'publication');
    link.cut();
    await connection.first(2, 'connecting');
    await rig.publishNumbers(channel, 3, 12);
    link.mend();
    const [, again] = await events.first(2, 'subscribed');
    assert.equal(again.wasRecovering, true);
    assert.equal(again.recovered, false);
    assert.deepEqual(again.streamPosition, { offset: 12, epoch: subscribed.streamPosition.epoch });
    await rig.publishNumbers(channel, 13, 13);
    await events.first(3, 'publication');
    assert.deepEqual(rig.values(events), [...numbers(1, 2), ...numbers(13, 13)]);
  });

  test('says so when the position is of another epoch, and asks for the state when there is a way', async () => {
    const channel = rig.channel('feed');
    await rig.publishNumbers(channel, 1, 3);
    const { client } = await rig.connected();
    const { subscribed } = await rig.subscribed(client, channel, { since: { offset: 1, epoch: 'another' } });
    assert.equal(subscribed.wasRecovering, true);
    assert.equal(subscribed.recovered, false);

    let asked = 0;
    const { epoch } = subscribed.streamPosition;
    const other = await rig.connected();
    const { events } = await rig.subscribed(other.client, channel, {
      getState: async () => {
        asked += 1;
        return { offset: 1, epoch: asked === 1 ? 'another' : epoch };
      },
    });
    await events.first(2, 'publication');
    assert.equal(asked, 2);
    assert.deepEqual(rig.values(events), numbers(2, 3));
  });

  test('in cache mode brings the newest publication alone', async () => {
    const channel = rig.channel('latest');
    const link = await rig.link();
    const { client, events: connection } = await rig.connected({ link });
    const { events } = await rig.subscribed(client, channel);
    await rig.publishNumbers(channel, 1, 1);
    await events.next('publication');
    link.cut();
    await connection.first(2, 'connecting');
    await rig.publishNumbers(channel, 2, 30);
    link.mend();
    const [, again] = await events.first(2, 'subscribed');
    assert.equal(again.recovered, true);
    await events.first(2, 'publication');
    await rig.publishNumbers(channel, 31, 31);
    await events.first(3, 'publication');
    assert.deepEqual(rig.values(events), [{ n: 1 }, { n: 30 }, { n: 31 }]);
  });

  test('grants recovery and positioning to those who ask where they may', async () => {
    const { client } = await rig.connected();
    const flags = async (channel, options) => {
      const { subscribed } = await rig.subscribed(client, channel, options);
      return [subscribed.recoverable, subscribed.positioned];
    };
    assert.deepEqual(await flags(rig.channel('wish'), {}), [false, false]);
    assert.deepEqual(await flags(rig.channel('wish'), { positioned: true }), [false, true]);
    assert.deepEqual(await flags(rig.channel('wish'), { recoverable: true }), [true, true]);
    assert.deepEqual(await flags(rig.channel('plain'), { recoverable: true, positioned: true }), [false, false]);
    assert.deepEqual(await flags(rig.channel('feed'), {}), [true, true]);
  });
});
