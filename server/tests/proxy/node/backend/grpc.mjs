// The application over gRPC: payloads are JSON in bytes.

import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { join } from 'node:path';

const PROTO = join(import.meta.dirname, '../../../../../proto');
const definition = loadSync('proxy/proxy.proto', { includeDirs: [PROTO], keepCase: true, longs: Number });
const { CentrifugoProxy } = grpc.loadPackageDefinition(definition).centrifugal.centrifugo.proxy;

const METHODS = {
  Connect: 'connect',
  Refresh: 'refresh',
  RPC: 'rpc',
  Subscribe: 'subscribe',
  Publish: 'publish',
  SubRefresh: 'sub_refresh',
  NotifyCacheEmpty: 'cache_empty',
};
const PAYLOADS = ['data', 'info', 'meta'];

/** A message with values in place of payloads. */
function decoded(message) {
  const values = { ...message };
  for (const name of PAYLOADS) values[name] = message[name]?.length ? JSON.parse(message[name]) : undefined;
  return values;
}

/** An answer with payloads in place of values. */
function encoded(answer) {
  if (!answer.result) return answer;
  const result = { ...answer.result };
  for (const name of PAYLOADS) if (result[name] !== undefined) result[name] = Buffer.from(JSON.stringify(result[name]));
  return { ...answer, result };
}

/** Serves until `stop`; `endpoint()` is where the server asks. */
export async function serveGrpc(application, streams) {
  const unary = (event) => async (call, reply) => {
    try {
      reply(null, encoded(await application.answer(event, decoded(call.request), call.metadata.getMap())));
    } catch (error) {
      reply(error);
    }
  };
  const handlers = Object.fromEntries(Object.entries(METHODS).map(([method, event]) => [method, unary(event)]));
  const server = new grpc.Server();
  server.addService(CentrifugoProxy.service, {
    ...handlers,
    SubscribeUnidirectional: (call) => streams.ticks(call, decoded(call.request)),
    SubscribeBidirectional: (call) => streams.echo(call),
  });
  const credentials = grpc.ServerCredentials.createInsecure();
  const port = await new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound))),
  );
  return { endpoint: () => `grpc://127.0.0.1:${port}`, stop: async () => server.forceShutdown() };
}
