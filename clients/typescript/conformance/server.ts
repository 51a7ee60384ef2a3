import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { ApiClient, TransportError } from "../lib/index.js";

const START_MS = 30_000;

/** A server that scenarios run against. */
export interface Server {
  readonly url: string;
  readonly apiKey: string;
  /** Key that signs connection tokens. */
  readonly tokenSecret: string;
  stop(): Promise<void>;
}

/** Starts or finds the server that the environment names; `undefined` if it names none. */
export async function findServer(configuration: URL): Promise<Server | undefined> {
  const settings = JSON.parse(await readFile(configuration, "utf8")) as Settings;
  const apiKey = process.env["GYRE_API_KEY"] ?? settings.http_api.key;
  const tokenSecret = settings.client.token.hmac_secret_key;
  const url = process.env["GYRE_API_URL"];
  if (url) return { url, apiKey, tokenSecret, stop: async () => {} };
  const binary = process.env["GYRE_BIN"];
  if (!binary) return undefined;
  const directory = await mkdtemp(join(tmpdir(), "conformance-"));
  const port = await freePort();
  settings.http_server.port = port;
  const file = join(directory, "config.json");
  await writeFile(file, JSON.stringify(settings));
  const child = spawn(binary, ["-c", file], { stdio: ["ignore", "inherit", "inherit"] });
  const server = {
    url: `http://127.0.0.1:${port}`,
    apiKey: settings.http_api.key,
    tokenSecret,
    async stop() {
      await end(child);
      await rm(directory, { recursive: true });
    },
  };
  try {
    await answering(server, child);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

interface Settings {
  http_server: { port?: number };
  http_api: { key: string };
  client: { token: { hmac_secret_key: string } };
}

/** Resolves when the server answers calls. */
async function answering(server: Omit<Server, "stop">, child: ChildProcess): Promise<void> {
  const api = new ApiClient(server.url, { apiKey: server.apiKey, maxRetries: 0 });
  for (const deadline = Date.now() + START_MS; ; ) {
    if (child.exitCode !== null) throw new Error(`server ended with status ${child.exitCode}`);
    try {
      await api.info();
      return;
    } catch (error) {
      if (!(error instanceof TransportError) || Date.now() > deadline) throw error;
      await sleep(20);
    }
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
  await ended;
  clearTimeout(timer);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => (typeof address === "object" && address ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}
