import assert from "node:assert/strict";

import { ApiClient, ApiError, type Command, type Outcome, StatusError, command } from "../lib/index.js";
import { Connection } from "./connection.js";
import type { Server } from "./server.js";

/** A file of `clients/conformance/scenarios`. */
export interface Scenario {
  readonly about: string;
  readonly steps: readonly Step[];
}

type Form = { readonly [key: string]: unknown };

interface Step {
  readonly call?: string;
  readonly request?: Form;
  readonly batch?: readonly Form[];
  readonly parallel?: boolean;
  readonly outcomes?: readonly unknown[];
  readonly result?: unknown;
  readonly error?: Form;
  readonly status?: number;
  readonly save?: { readonly [name: string]: readonly string[] };
  readonly connect?: string;
  readonly channels?: readonly string[];
  readonly receive?: string;
  readonly push?: Form;
  readonly close?: Form;
  readonly disconnect?: string;
}

/** Runs a scenario; rejects at the first step that does not come out as it must. */
export async function run(scenario: Scenario, api: ApiClient, server: Server, id: string): Promise<void> {
  const names = new Map([["run", id]]);
  const connections = new Map<string, Connection>();
  const find = (name: string) => connections.get(name) ?? assert.fail(`no connection ${name}`);
  try {
    for (const [at, written] of scenario.steps.entries()) {
      const step = fill(written, names) as Step;
      const where = `step ${at + 1}`;
      if (step.call !== undefined) {
        await call(api, step, names, where);
      } else if (step.batch !== undefined) {
        const commands = step.batch.flatMap((item) => Object.entries(item)).map(([name, form]) => toCommand(name, form));
        const outcomes = await api.batch(commands, { parallel: step.parallel });
        match(outcomes.map(plain), step.outcomes, where);
      } else if (step.connect !== undefined) {
        const connection = await Connection.open(server, step.connect, step.channels ?? []);
        connections.set(step.connect, connection);
        names.set(step.connect, connection.client);
      } else if (step.receive !== undefined) {
        const kind = step.push ? "push" : "close";
        match(await find(step.receive).receive(kind), step[kind], where);
      } else if (step.disconnect !== undefined) {
        find(step.disconnect).close();
      } else {
        assert.fail(`${where} is of no known kind`);
      }
    }
  } finally {
    for (const connection of connections.values()) connection.close();
  }
}

async function call(api: ApiClient, step: Step, names: Map<string, string>, where: string): Promise<void> {
  const method = api[camel(step.call ?? "") as "publish"].bind(api) as (request: unknown) => Promise<unknown>;
  const request = toRequest(step.request);
  if (step.error) {
    const error = await method(request).then(() => assert.fail(`${where}: no error`), (error: unknown) => error);
    assert.ok(error instanceof ApiError, `${where}: ${String(error)}`);
    assert.equal(error.method, step.call);
    return match(plainError(error), step.error, where);
  }
  if (step.status !== undefined) {
    await assert.rejects(method(request), (error) => error instanceof StatusError && error.status === step.status, where);
    return;
  }
  const result = await method(request);
  match(plain(result), step.result, where);
  for (const [name, path] of Object.entries(step.save ?? {})) {
    const value = path.reduce<unknown>((value, key) => (value as Form)[camel(key)], result);
    names.set(name, String(value));
  }
}

function toCommand(name: string, form: unknown): Command<unknown> {
  return (command[camel(name) as "publish"] as (request: never) => Command<unknown>)(toRequest(form) as never);
}

/** Puts names in place of `${name}`. */
function fill(value: unknown, names: ReadonlyMap<string, string>): unknown {
  const text = (text: string) =>
    text.replace(/\$\{([^}]+)\}/g, (_, name: string) => names.get(name) ?? assert.fail(`no ${name}`));
  if (typeof value === "string") return text(value);
  if (Array.isArray(value)) return value.map((item) => fill(item, names));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [text(key), fill(item, names)]));
}

/** A request with the names of this language. Data in scenarios has no underscores in its keys. */
function toRequest(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toRequest);
  if (typeof value !== "object" || value === null) return value;
  const { $base64: encoded } = value as { $base64?: string };
  if (encoded !== undefined) return new Uint8Array(Buffer.from(encoded, "base64"));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [camel(key), toRequest(item)]));
}

/** A result whose outcomes look as they do in scenarios. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  if ("ok" in value) {
    const outcome = value as Outcome<unknown>;
    return outcome.ok ? { result: plain(outcome.result) } : { error: plainError(outcome.error) };
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

function plainError({ code, name, message }: ApiError): Form {
  return { code, name, message };
}

/** Checks that a value has all that is expected of it. */
function match(value: unknown, expected: unknown, where: string): void {
  if (Array.isArray(expected)) {
    assert.ok(Array.isArray(value), `${where}: no list`);
    assert.equal(value.length, expected.length, `${where}: length`);
    expected.forEach((item, at) => match(value[at], item, `${where}[${at}]`));
  } else if (typeof expected === "object" && expected !== null) {
    assert.ok(typeof value === "object" && value !== null, `${where}: no object`);
    for (const [key, item] of Object.entries(expected)) {
      if (key === "$size") assert.equal(Object.keys(value).length, item, `${where}: size`);
      else match((value as Form)[key] ?? (value as Form)[camel(key)], item ?? undefined, `${where}.${key}`);
    }
  } else {
    assert.equal(value ?? undefined, expected ?? undefined, where);
  }
}

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
