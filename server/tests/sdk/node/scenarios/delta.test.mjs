// Fossil deltas: fewer bytes, the same publications.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { overWebSocket, suite } from '../harness/suite.mjs';
import { Traffic } from '../harness/traffic.mjs';

const FILLER = 'Lorem ipsum dolor sit amet, consectetur adipiscing elit. '.repeat(40);
const document = (n) => ({ head: n, text: FILLER, tail: `é${n}` });
const documents = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => document(from + i));

/** Publishes documents with these numbers, one after the other. */
const publish = async (rig, channel, from, to) => {
  for (const value of documents(from, to)) await rig.server.publish(channel, value);
};

overWebSocket('bytes of deltas', {}, (rig) => {
  test('delivers the same publications in a fraction of the bytes', async () => {
    const channel = rig.channel('delta');
    const whole = new Traffic();
    const patched = new Traffic();
    const plain = await rig.connected({ websocket: whole.WebSocket });
    const frugal = await rig.connected({ websocket: patched.WebSocket });
    const { events: expected } = await rig.subscribed(plain.client, channel);
    const { events } = await rig.subscribed(frugal.client, channel, { delta: 'fossil' });
    await publish(rig, channel, 1, 20);
    await Promise.all([events.first(20, 'publication'), expected.first(20, 'publication')]);
    assert.deepEqual(rig.values(events), documents(1, 20));
    assert.deepEqual(rig.values(expected), documents(1, 20));
    assert.ok(patched.receivedBytes * 5 < whole.receivedBytes, `${patched.receivedBytes} of ${whole.receivedBytes}`);
  });
});

suite('delta', {}, (rig) => {
  test('goes on across a cut connection', async () => {
    const channel = rig.channel('delta');
    const link = await rig.link();
    const { client, events: connection } = await rig.connected({ link });
    const { events } = await rig.subscribed(client, channel, { delta: 'fossil' });
    await publish(rig, channel, 1, 3);
    await events.first(3, 'publication');
    link.cut();
    await connection.first(2, 'connecting');
    await publish(rig, channel, 4, 9);
    link.mend();
    await events.first(9, 'publication');
    await publish(rig, channel, 10, 12);
    await events.first(12, 'publication');
    assert.deepEqual(rig.values(events), documents(1, 12));
  });

  test('delivers unlike publications whole', async () => {
    const channel = rig.channel('delta');
    const { client } = await rig.connected();
    const { events } = await rig.subscribed(client, channel, { delta: 'fossil' });
    const values = [{ a: 1 }, ['entirely', 'different'], 'text', 42, { a: 'é'.repeat(500) }, { a: 'é'.repeat(501) }];
    for (const value of values) await rig.server.publish(channel, value);
    await events.first(values.length, 'publication');
    assert.deepEqual(rig.values(events), values);
  });

  test('is not granted where the namespace does not allow it, and publications arrive whole', async () => {
    const channel = rig.channel('feed');
    const { client } = await rig.connected();
    const { events } = await rig.subscribed(client, channel, { delta: 'fossil' });
    await publish(rig, channel, 1, 3);
    await events.first(3, 'publication');
    assert.deepEqual(rig.values(events), documents(1, 3));
  });
});
