// The application over HTTP: one path per event.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';

const EVENTS = ['connect', 'refresh', 'rpc', 'subscribe', 'publish', 'sub_refresh', 'cache_empty'];

/** Serves until `stop`; `endpoint(event)` is where the server asks. */
export async function serveHttp(application) {
  const server = createServer(async (request, response) => {
    const event = request.url.slice(1);
    if (request.method !== 'POST' || !EVENTS.includes(event)) return response.writeHead(404).end();
    const answer = await application.answer(event, JSON.parse(await text(request)), request.headers);
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: (event) => `http://127.0.0.1:${server.address().port}/${event}`,
    async stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}
