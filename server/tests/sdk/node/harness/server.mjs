// The server under test: one process with its own configuration, port and log.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

const HERE = import.meta.dirname;
const BINARY = resolve(process.env.GYRE_BIN ?? join(HERE, '../../../../../target/debug/gyre'));
const BASE = JSON.parse(readFileSync(join(HERE, '../../server.json'), 'utf8'));

// Below the ephemeral range, so that no client socket takes a port between its choice and its use.
const PORTS = { from: 15_000, to: 32_000 };
const START_DEADLINE = 20_000;
const STOP_DEADLINE = 20_000;
// Between two looks at a starting process.
const START_POLL = 10;

const PROBLEM = /"level":\s*"(warn|error|fatal)"|\b(WARN|ERROR|panicked)\b/i;
// Configuration comes from the file alone: both servers also read their keys from variables with these names.
const ENVIRONMENT = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(GYRE|CENTRIFUGO)_/.test(name)));
// Another server's log follows other rules.
const CHECKS_LOG = basename(BINARY).startsWith('gyre');

export class Server {
  #child;
  #directory;
  #log = [];

  constructor(config, port, apiPort) {
    this.config = config;
    this.port = port;
    this.apiPort = apiPort;
  }

  /**
   * Starts the server with `overrides` laid over the common configuration, and waits until it answers. The server API
   * is on a port of its own when clients use TLS.
   */
  static async start(overrides = {}) {
    const port = await freePort();
    const encrypted = overrides.http_server?.tls?.enabled === true;
    const apiPort = encrypted ? await freePort() : port;
    const ports = { port: String(port), ...(encrypted && { internal_port: String(apiPort), tls_external: true }) };
    const server = new Server(merged(merged(BASE, overrides), { http_server: ports }), port, apiPort);
    await server.run();
    return server;
  }

  /** Starts the process; also used to bring a stopped server back on the same port. */
  async run() {
    this.#directory = await mkdtemp(join(tmpdir(), 'gyre-sdk-'));
    const path = join(this.#directory, 'config.json');
    await writeFile(path, JSON.stringify(this.config));
    const options = { cwd: this.#directory, env: ENVIRONMENT, stdio: ['ignore', 'pipe', 'pipe'] };
    const child = spawn(BINARY, ['-c', path], options);
    this.#child = child;
    // Should the test process end before its hooks ran.
    process.once('exit', () => child.kill('SIGKILL'));
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => this.#log.push(line));
    }
    let failure;
    child.once('error', (error) => (failure = error));
    for (const deadline = Date.now() + START_DEADLINE; !(await answers(this.port)); await pause(START_POLL)) {
      if (failure) throw failure;
      if (child.exitCode !== null) throw new Error(`server ended with ${child.exitCode}:\n${this.#log.join('\n')}`);
      if (Date.now() > deadline) throw new Error(`server did not answer:\n${this.#log.join('\n')}`);
    }
  }

  /** Where clients of a transport go, at `port` of this server or of a proxy before it. */
  endpoints(transport, port = this.port) {
    const scheme = transport === 'websocket' ? 'ws' : 'http';
    return {
      endpoint: `${scheme}://127.0.0.1:${port}/connection/${transport}`,
      emulationEndpoint: `http://127.0.0.1:${port}/emulation`,
    };
  }

  /** Calls a method of the server API and returns its result. */
  async api(method, params) {
    const response = await fetch(`http://127.0.0.1:${this.apiPort}/api/${method}`, {
      method: 'POST',
      headers: { 'X-API-Key': BASE.http_api.key },
      body: JSON.stringify(params),
    });
    assert.equal(response.status, 200, `${method} answers ${response.status}`);
    const { result, error } = await response.json();
    assert.equal(error, undefined, `${method} ${JSON.stringify(params)}`);
    return result;
  }

  publish(channel, data, options = {}) {
    return this.api('publish', { channel, data, ...options });
  }

  /** Asks the process to end and waits for it; fails on warnings and errors in its log. */
  async stop() {
    const child = this.#child;
    if (child.exitCode === null && child.signalCode === null) {
      const end = once(child, 'close');
      child.kill('SIGTERM');
      const killer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE);
      await end;
      clearTimeout(killer);
    }
    await rm(this.#directory, { recursive: true, force: true });
    assert.equal(child.signalCode, null, 'the server ended when asked to');
    if (CHECKS_LOG) {
      assert.deepEqual(this.#log.filter((line) => PROBLEM.test(line)), [], 'warnings and errors in the log');
    }
  }
}

/** `over` laid over `base`: objects are joined, everything else is replaced. */
function merged(base, over) {
  const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isObject(base) || !isObject(over)) return over;
  const result = { ...base };
  for (const [key, value] of Object.entries(over)) result[key] = key in base ? merged(base[key], value) : value;
  return result;
}

async function freePort() {
  for (;;) {
    const port = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from));
    const probe = createServer();
    const free = await new Promise((done) => {
      probe.once('error', () => done(false));
      probe.listen(port, '127.0.0.1', () => probe.close(() => done(true)));
    });
    if (free) return port;
  }
}

function answers(port) {
  return new Promise((done) => {
    const socket = createConnection({ port, host: '127.0.0.1' });
    socket.once('connect', () => done(true)).once('error', () => done(false));
    socket.once('connect', () => socket.destroy());
  });
}
