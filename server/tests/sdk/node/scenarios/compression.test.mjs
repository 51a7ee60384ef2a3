// permessage-deflate, which the WebSocket of the test offers by itself.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';
import { numbers, overWebSocket } from '../harness/suite.mjs';

overWebSocket('compression', { websocket: { compression: true } }, (rig) => {
  // Remembers the extensions agreed upon, and how many bytes came over TCP.
  const sockets = () => {
    const opened = [];
    const Socket = class extends WebSocket {
      constructor(...args) {
        super(...args);
        opened.push(this);
      }
    };
    return { opened, Socket };
  };

  test('is agreed upon, shrinks what is sent, and changes nothing else', async () => {
    const channel = rig.channel('room');
    const { opened, Socket } = sockets();
    const { client } = await rig.connected({ websocket: Socket });
    assert.match(opened[0].extensions, /permessage-deflate/);
    const { sub, events } = await rig.subscribed(client, channel);
    const before = opened[0]._socket.bytesRead;
    const text = 'the same words again and again, '.repeat(200);
    for (let n = 1; n <= 10; n += 1) await sub.publish(rig.encode({ n, text }));
    await events.first(10, 'publication');
    assert.deepEqual(rig.values(events), numbers(1, 10).map(({ n }) => ({ n, text })));
    const received = opened[0]._socket.bytesRead - before;
    assert.ok(received < text.length * 2, `${received} bytes for ${text.length * 10}`);
  });

  test('reaches each subscriber of a channel, with and without it', async () => {
    const channel = rig.channel('feed');
    const Plain = class extends WebSocket {
      constructor(url, protocols) {
        super(url, protocols, { perMessageDeflate: false });
      }
    };
    const subscribers = [];
    for (const websocket of [WebSocket, Plain, WebSocket, Plain]) {
      const { client } = await rig.connected({ websocket });
      subscribers.push(await rig.subscribed(client, channel));
    }
    await rig.publishNumbers(channel, 1, 50);
    for (const { events } of subscribers) {
      await events.first(50, 'publication');
      assert.deepEqual(rig.values(events), numbers(1, 50));
    }
  });
});
