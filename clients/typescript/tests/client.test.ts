import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";

import {
  ApiClient,
  ApiError,
  type ClientOptions,
  ConnectionError,
  NotAvailableError,
  RequestError,
  ResponseError,
  StatusError,
  TimeoutError,
  type Transport,
  type TransportRequest,
  type TransportResponse,
  UnauthorizedError,
  UnknownChannelError,
  Unreachable,
  command,
} from "../lib/index.js";

type Answer = string | Error | { status: number; body?: string; headers?: Record<string, string> };

/** Gives prepared answers and keeps what it was asked. */
class Script implements Transport {
  readonly requests: TransportRequest[] = [];
  readonly pauses: number[] = [];
  readonly #answers: Answer[];

  constructor(...answers: Answer[]) {
    this.#answers = answers;
  }

  async send(request: TransportRequest): Promise<TransportResponse> {
    this.requests.push(request);
    const answer = this.#answers.shift() ?? assert.fail("no answer left");
    if (answer instanceof Error) throw answer;
    const { status, body = "", headers = {} } = typeof answer === "string" ? { status: 200, body: answer } : answer;
    return { status, body, header: (name) => headers[name] ?? null };
  }

  async close(): Promise<void> {}

  client(options: ClientOptions = {}): ApiClient {
    const wait = async (ms: number) => void this.pauses.push(ms);
    const seams = { wait, random: () => 1, key: () => "made" };
    return new ApiClient("http://host/", { transport: this, seams, ...options });
  }

  body(at = 0): unknown {
    return JSON.parse(this.requests[at]?.body ?? "");
  }
}

describe("requests", () => {
  test("have the address, the key and the form of the api", async () => {
    const script = new Script('{"result":{"offset":3,"epoch":"e"}}');
    const api = script.client({ apiKey: "secret", maxRetries: 0, errorMode: "transport" });
    const result = await api.publish({ channel: "a", data: { x: 1 }, skipHistory: true, tags: { k: "v" } });
    assert.deepEqual(result, { offset: 3, epoch: "e" });
    assert.equal(script.requests[0]?.url, "http://host/api/publish");
    assert.equal(script.requests[0]?.headers["x-api-key"], "secret");
    assert.equal(script.requests[0]?.headers["x-centrifugo-error-mode"], "transport");
    assert.deepEqual(script.body(), { channel: "a", data: { x: 1 }, skip_history: true, tags: { k: "v" } });
  });

  test("go below another prefix", async () => {
    const script = new Script('{"result":{}}');
    await script.client({ pathPrefix: "/v1/" }).info();
    assert.equal(script.requests[0]?.url, "http://host/v1/info");
  });

  test("carry bytes as base64", async () => {
    const script = new Script('{"result":{}}');
    await script.client({ maxRetries: 0 }).publish({ channel: "a", data: new Uint8Array([255, 0]) });
    assert.deepEqual(script.body(), { channel: "a", b64data: "/wA=" });
  });

  test("keep null apart from absence", async () => {
    const script = new Script('{"result":{}}');
    await script.client({ maxRetries: 0 }).publish({ channel: "a", data: null, tags: undefined });
    assert.deepEqual(script.body(), { channel: "a", data: null });
  });

  test("write integers beyond 2^53 exactly", async () => {
    const script = new Script('{"result":{}}');
    const data = { at: 2n ** 60n, when: new Date(0), list: [1n, undefined] };
    await script.client({ maxRetries: 0 }).publish({ channel: "a", data, version: 1700000000000000001n });
    assert.equal(
      script.requests[0]?.body,
      '{"channel":"a","data":{"at":1152921504606846976,"when":"1970-01-01T00:00:00.000Z","list":[1,null]},' +
        '"version":1700000000000000001}',
    );
  });

  test("put optional scalars into objects", async () => {
    const script = new Script('{"result":{}}');
    await script.client().subscribe({ channel: "a", user: "u", override: { presence: false } });
    assert.deepEqual(script.body(), { channel: "a", user: "u", override: { presence: { value: false } } });
  });

  test("that cannot be sent are refused", async () => {
    const script = new Script();
    const api = script.client();
    await assert.rejects(api.rpc({ method: "m", params: new Uint8Array() }), RequestError);
    await assert.rejects(api.publish({ channel: 1 as never, data: 1 }), /publish\.channel: a number is no string/);
    await assert.rejects(api.publish({ channel: "a", data: 1, version: 2 ** 60 }), /publish\.version/);
    assert.equal(script.requests.length, 0);
  });
});

describe("results", () => {
  test("have zero values for absent fields", async () => {
    const script = new Script('{"result":{"publications":[{"data":null}],"epoch":"e","offset":1}}');
    const result = await script.client().history({ channel: "a", limit: 1 });
    const publication = { data: null, info: undefined, offset: 0, tags: {} };
    assert.deepEqual(result, { publications: [publication], epoch: "e", offset: 1 });
  });

  test("of a broadcast answer for each channel", async () => {
    const body = '{"result":{"responses":[{"result":{"offset":1}},{"error":{"code":102,"message":"unknown channel"}}]}}';
    const { responses } = await new Script(body).client().broadcast({ channels: ["a", "b"], data: 1 });
    assert.ok(responses[0]?.ok && responses[0].result.offset === 1);
    assert.ok(responses[1] && !responses[1].ok && responses[1].error instanceof UnknownChannelError);
  });

  test("of a batch have the types of their commands", async () => {
    const script = new Script('{"replies":[{"publish":{"offset":7}},{"error":{"code":108,"message":"not available"}}]}');
    const [published, history] = await script
      .client({ maxRetries: 0 })
      .batch([command.publish({ channel: "a", data: 1 }), command.history({ channel: "a" })], { parallel: true });
    assert.ok(published.ok);
    assert.equal(published.result.offset, 7);
    assert.ok(!history.ok && history.error instanceof NotAvailableError);
    const commands = [{ publish: { channel: "a", data: 1 } }, { history: { channel: "a" } }];
    assert.deepEqual(script.body(), { commands, parallel: true });
  });

  test("of all pages come one after another", async () => {
    const script = new Script(
      '{"result":{"entries":[{"key":"a"},{"key":"b"}],"cursor":"2"}}',
      '{"result":{"entries":[{"key":"c"}]}}',
    );
    const keys: string[] = [];
    for await (const entry of script.client().mapReadStateItems({ channel: "m", limit: 2 })) keys.push(entry.key);
    assert.deepEqual(keys, ["a", "b", "c"]);
    assert.deepEqual(script.body(1), { channel: "m", limit: 2, cursor: "2" });
  });

  test("that are none are refused", async () => {
    for (const body of ["<html>", "[]", '{"result":{"nodes":{}}}', '{"result":{"nodes":[{"uid":1}]}}']) {
      await assert.rejects(new Script(body).client().info(), ResponseError, body);
    }
    const rounded = '{"result":{"offset":9007199254740993}}';
    await assert.rejects(new Script(rounded).client().publish({ channel: "a", data: 1 }), ResponseError);
  });
});

describe("errors", () => {
  test("have a class for each code", async () => {
    const script = new Script('{"error":{"code":102,"message":"unknown channel"}}');
    const error = await script.client().publish({ channel: "a", data: 1 }).catch((error: unknown) => error);
    assert.ok(error instanceof UnknownChannelError);
    assert.equal(error.name, "UnknownChannelError");
    assert.equal(error.code, UnknownChannelError.code);
    assert.equal(error.message, "unknown channel");
    assert.equal(error.method, "publish");
  });

  test("of codes that are not known yet are plain", async () => {
    const error = await new Script('{"error":{"code":999,"message":"new"}}').client().info().catch((error: unknown) => error);
    assert.ok(error instanceof ApiError && error.constructor === ApiError && error.code === 999);
  });

  test("are the same as http statuses", async () => {
    const headers = { "content-type": "application/json" };
    const script = new Script({ status: 404, body: '{"code":102,"message":"unknown channel"}', headers });
    await assert.rejects(script.client().info(), UnknownChannelError);
  });

  test("of http are told apart", async () => {
    await assert.rejects(new Script({ status: 401 }).client().info(), UnauthorizedError);
    const page = { status: 404, body: "404 page not found", headers: { "content-type": "text/plain" } };
    await assert.rejects(
      new Script(page).client().rpc({ method: "m" }),
      (error) => error instanceof StatusError && error.status === 404 && error.retrySafe,
    );
  });
});

describe("repeating", () => {
  test("keeps one idempotency key over all attempts", async () => {
    const script = new Script(new Error("reset"), { status: 503 }, '{"result":{}}');
    await script.client().publish({ channel: "a", data: 1 });
    assert.deepEqual(script.requests.map((_, at) => (script.body(at) as { idempotency_key: string }).idempotency_key), [
      "made",
      "made",
      "made",
    ]);
    assert.deepEqual(script.pauses, [200, 400]);
  });

  test("leaves the caller's key alone", async () => {
    const script = new Script('{"result":{}}');
    await script.client().publish({ channel: "a", data: 1, idempotencyKey: "mine" });
    assert.equal((script.body() as { idempotency_key: string }).idempotency_key, "mine");
  });

  test("is not done for calls with an effect of their own", async () => {
    const script = new Script(new Error("reset"));
    await assert.rejects(
      script.client().rpc({ method: "m" }),
      (error) => error instanceof ConnectionError && !error.retrySafe,
    );
  });

  test("is done for any call that was not sent", async () => {
    const script = new Script(new Unreachable("refused"), '{"result":{"data":1}}');
    assert.deepEqual(await script.client().rpc({ method: "m" }), { data: 1 });
  });

  test("a batch is done when all of its commands may be", async () => {
    const commands = [command.publish({ channel: "a", data: 1 }), command.info()];
    const script = new Script({ status: 502 }, '{"replies":[{"publish":{}},{"info":{}}]}');
    await script.client().batch(commands);
    assert.equal(script.requests.length, 2);
    const once = new Script({ status: 502 });
    await assert.rejects(once.client().batch([...commands, command.rpc({ method: "m" })]), StatusError);
  });

  test("waits as long as the server asks", async () => {
    const script = new Script({ status: 429, headers: { "retry-after": "3" } }, '{"result":{}}');
    await script.client().info();
    assert.deepEqual(script.pauses, [3000]);
  });

  test("ends after the last attempt", async () => {
    const script = new Script({ status: 503 }, { status: 503 });
    await assert.rejects(script.client({ maxRetries: 1 }).info(), StatusError);
    assert.equal(script.requests.length, 2);
  });
});

describe("over http", () => {
  test("a call that takes too long times out", async () => {
    const server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const api = new ApiClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { timeoutMs: 30 });
    try {
      await assert.rejects(api.info(), (error) => error instanceof TimeoutError && error.retrySafe);
      const reason = new Error("enough");
      await assert.rejects(api.info({}, { signal: AbortSignal.abort(reason) }), reason);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test("an address where nobody listens is not reached", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const api = new ApiClient(`http://127.0.0.1:${port}`, { maxRetries: 0 });
    await assert.rejects(api.rpc({ method: "m" }), (error) => error instanceof ConnectionError && error.retrySafe);
  });
});
