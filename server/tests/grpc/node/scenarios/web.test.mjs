// gRPC-Web as a page would call it, with nothing but fetch.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server } from '../../../sdk/node/harness/server.mjs';
import { inSeconds, token } from '../../../sdk/node/harness/tokens.mjs';
import { CentrifugoUniStream, Realtime } from '../harness/contracts.mjs';

const ORIGIN = 'https://page.example';
const TRAILERS = 0x80;

/** A message behind flag and length. */
function framed(message) {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Reads frames of a streamed body; text ones are base64 in pieces that end where they like. */
async function* frames(body, text) {
  let buffer = Buffer.alloc(0);
  let encoded = '';
  for await (const chunk of body) {
    if (text) {
      encoded += Buffer.from(chunk).toString();
      const whole = encoded.length - (encoded.length % 4);
      // Each piece is padded by itself.
      for (const piece of encoded.slice(0, whole).match(/[^=]+=*/g) ?? []) {
        buffer = Buffer.concat([buffer, Buffer.from(piece, 'base64')]);
      }
      encoded = encoded.slice(whole);
    } else {
      buffer = Buffer.concat([buffer, chunk]);
    }
    while (buffer.length >= 5 && buffer.length >= 5 + buffer.readUInt32BE(1)) {
      const end = 5 + buffer.readUInt32BE(1);
      yield { flag: buffer[0], payload: buffer.subarray(5, end) };
      buffer = buffer.subarray(end);
    }
  }
}

describe('gRPC-Web', () => {
  let server;
  let uniPort;
  before(async () => {
    // Any free port will do; two servers of one suite do not run at once.
    uniPort = 32_000 + Math.floor(Math.random() * 700);
    server = await Server.start({
      client: { allowed_origins: [ORIGIN] },
      grpc_stream: { enabled: true },
      uni_grpc: { enabled: true, address: '127.0.0.1', port: uniPort },
    });
  });
  after(() => server.stop());

  const call = (port, method, request, headers = {}) =>
    fetch(`http://127.0.0.1:${port}${method.path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/grpc-web+proto', origin: ORIGIN, 'x-grpc-web': '1', ...headers },
      body: request,
    });

  for (const text of [false, true]) {
    for (const name of ['grpc_stream', 'uni_grpc']) {
      test(`pushes and the end over ${name}, ${text ? 'as text' : 'binary'}`, { timeout: 20_000 }, async () => {
        const uni = name === 'uni_grpc';
        const method = (uni ? CentrifugoUniStream : Realtime).service.Consume;
        const user = `${name}${text}`;
        const channel = `plain:${user}`;
        const identity = token({ sub: user, exp: inSeconds(600) });
        const message = framed(method.requestSerialize({ token: identity, subs: { [channel]: {} } }));
        const type = text ? 'application/grpc-web-text+proto' : 'application/grpc-web+proto';
        const body = text ? message.toString('base64') : message;
        const response = await call(uni ? uniPort : server.port, method, body, { 'content-type': type, accept: type });
        assert.equal(response.status, 200);
        assert.equal(response.headers.get('access-control-allow-origin'), ORIGIN);
        assert.match(response.headers.get('content-type'), /^application\/grpc-web/);
        const received = frames(response.body, text);
        const push = async () => method.responseDeserialize((await received.next()).value.payload);
        assert.deepEqual(Object.keys((await push()).connect.subs), [channel]);
        await server.publish(channel, { a: 1 });
        assert.deepEqual(JSON.parse((await push()).pub.data), { a: 1 });
        await server.api('disconnect', { user, disconnect: { code: 4500, reason: 'over' } });
        assert.equal((await push()).disconnect.code, 4500);
        const { value: last } = await received.next();
        assert.equal(last.flag, TRAILERS);
        const trailers = last.payload.toString();
        assert.match(trailers, new RegExp(`grpc-status: ?${uni ? 0 : 10}\\r\\n`));
        assert.match(trailers, /gyre-disconnect-code: ?4500\r\n/);
        assert.equal((await received.next()).done, true);
      });
    }
  }

  test('pages of other origins are refused', async () => {
    const { Consume } = Realtime.service;
    const response = await call(server.port, Consume, framed(Consume.requestSerialize({})), { origin: 'https://evil.example' });
    assert.equal(response.headers.get('grpc-status'), '7');
    assert.equal(response.headers.get('access-control-allow-origin'), null);
    await response.arrayBuffer();
  });

  test('preflight requests are answered', async () => {
    const response = await fetch(`http://127.0.0.1:${server.port}${Realtime.service.Consume.path}`, {
      method: 'OPTIONS',
      headers: { origin: ORIGIN, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type,x-grpc-web' },
    });
    assert.equal(response.status, 204);
    assert.equal(response.headers.get('access-control-allow-origin'), ORIGIN);
    assert.equal(response.headers.get('access-control-allow-headers'), 'content-type,x-grpc-web');
    assert.equal(response.headers.get('access-control-allow-methods'), 'POST');
  });

  test('streams in both directions are not for pages', async () => {
    const { Connect } = Realtime.service;
    const response = await call(server.port, Connect, framed(Connect.requestSerialize({ id: 1, connect: {} })));
    assert.equal(response.headers.get('grpc-status'), '12');
    await response.arrayBuffer();
  });

  test('requests of another type are refused', async () => {
    const response = await call(server.port, Realtime.service.Consume, '{}', { 'content-type': 'application/json' });
    assert.equal(response.status, 415);
    await response.arrayBuffer();
  });
});
