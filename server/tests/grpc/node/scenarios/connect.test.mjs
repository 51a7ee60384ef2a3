// `Realtime.Connect` by a client made at run time from the contracts.

import grpc from '@grpc/grpc-js';
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server } from '../../../sdk/node/harness/server.mjs';
import { inSeconds, token } from '../../../sdk/node/harness/tokens.mjs';
import { Realtime } from '../harness/contracts.mjs';
import { Stream } from '../harness/stream.mjs';

describe('the client protocol over gRPC', () => {
  let server;
  let client;
  before(async () => {
    server = await Server.start({ grpc_stream: { enabled: true } });
    client = new Realtime(`127.0.0.1:${server.port}`, grpc.credentials.createInsecure());
  });
  after(async () => {
    client.close();
    await server.stop();
  });

  const open = async (user) => {
    const stream = new Stream(client.connect());
    stream.write({ id: 1, connect: { token: token({ sub: user, exp: inSeconds(600) }) } });
    const { connect } = await stream.next(({ id }) => id === 1);
    return { stream, connect };
  };

  test('commands are answered and publications arrive', async () => {
    const { stream, connect } = await open('alice');
    assert.equal(connect.client.length, 36);
    stream.write({ id: 2, subscribe: { channel: 'room:a' } });
    const { subscribe, error } = await stream.next(({ id }) => id === 2);
    assert.ok(subscribe && !error);
    const data = Buffer.from([0, 255, 10]);
    stream.write({ id: 3, publish: { channel: 'room:a', data } });
    const { push } = await stream.next((reply) => reply.push?.pub);
    assert.deepEqual(push.pub.data, data);
    assert.equal(push.pub.info.user, 'alice');
    stream.write({ id: 4, history: { channel: 'room:a', limit: 10 } });
    const { history } = await stream.next(({ id }) => id === 4);
    assert.deepEqual(history.publications.map(({ offset }) => offset), [1]);
    stream.write({ id: 5, subscribe: { channel: 'closed:a' } });
    assert.equal((await stream.next(({ id }) => id === 5)).error.code, 103);
    stream.finish();
    assert.equal((await stream.end()).status, 'OK');
  });

  test('what was missed is recovered', async () => {
    const { stream } = await open('bob');
    stream.write({ id: 2, subscribe: { channel: 'feed:a' } });
    const { subscribe } = await stream.next(({ id }) => id === 2);
    stream.cancel();
    for (const n of [1, 2, 3]) await server.publish('feed:a', { n });
    const again = await open('bob');
    again.stream.write({ id: 2, subscribe: { channel: 'feed:a', recover: true, offset: 1, epoch: subscribe.epoch } });
    const { subscribe: recovered } = await again.stream.next(({ id }) => id === 2);
    assert.equal(recovered.recovered, true);
    assert.deepEqual(recovered.publications.map(({ data }) => JSON.parse(data)), [{ n: 2 }, { n: 3 }]);
    again.stream.cancel();
  });

  test('the end says whether to come back', async () => {
    for (const [code, status] of [[4000, 'UNAVAILABLE'], [4500, 'ABORTED']]) {
      const user = `leaver${code}`;
      const { stream } = await open(user);
      await server.api('disconnect', { user, disconnect: { code, reason: 'go now' } });
      const { push } = await stream.next((reply) => reply.push?.disconnect);
      assert.equal(push.disconnect.code, code);
      assert.deepEqual(await stream.end(), { status, code: String(code), reason: 'go%20now' });
    }
  });
});
