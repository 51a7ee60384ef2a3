// The program of the documentation does what the page says.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Server } from '../../../sdk/node/harness/server.mjs';
import { inSeconds, token } from '../../../sdk/node/harness/tokens.mjs';
import { PROTO } from '../harness/contracts.mjs';

const PAGE = join(import.meta.dirname, '../../../../../docs/grpc-stream.md');
// Beside node_modules, where the program finds its packages.
const PROGRAM = join(import.meta.dirname, '../node_modules/.follow.mjs');

test('the example follows a channel', { timeout: 60_000 }, async (context) => {
  const [, program] = readFileSync(PAGE, 'utf8').match(/```js\n([^]*?)```/);
  await writeFile(PROGRAM, program);
  const server = await Server.start({ grpc_stream: { enabled: true } });
  const channel = 'room:example';
  const child = spawn(process.execPath, [PROGRAM], {
    env: {
      ...process.env,
      PROTO,
      ADDRESS: `127.0.0.1:${server.port}`,
      TOKEN: token({ sub: 'reader', exp: inSeconds(600) }),
      CHANNEL: channel,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  context.after(async () => {
    child.kill();
    await server.stop();
    await rm(PROGRAM);
  });
  const ended = once(child, 'exit');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => (await lines.next()).value;
  while ((await server.api('presence_stats', { channel })).num_clients === 0) await pause(10);
  await server.publish(channel, { a: 1 });
  assert.equal(await line(), `${channel} {"a":1}`);
  await server.api('disconnect', { user: 'reader' });
  assert.equal(await line(), 'ended ABORTED 3503');
  assert.deepEqual(await ended, [0, null]);
});
