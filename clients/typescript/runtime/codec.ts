import { ApiError, type ApiErrorFactory } from "./errors.js";

/**
 * Application data. A `Uint8Array` is sent as bytes, where the method accepts bytes; anything else
 * is sent as JSON.
 */
export type Payload = string | number | boolean | null | object;

/** An integer of up to 64 bits. Use `bigint` beyond 2^53, where numbers are not exact. */
export type Integer = number | bigint;

/** What became of one of several calls made together. */
export type Outcome<T> =
  | { readonly ok: true; readonly result: T }
  | { readonly ok: false; readonly error: ApiError };

/** A value that does not have the form it must have. */
export class FormError extends Error {}

/** What decoding needs to know of the call. */
export interface DecodeContext {
  readonly apiError: ApiErrorFactory;
  readonly method: string;
  readonly retrySafe: boolean;
}

/** Turns values of type `T` into their JSON form and back. */
export interface Codec<T> {
  /** JSON form of a value; may hold `bigint`. */
  encode(value: T, path: string): unknown;
  /** Value of a JSON form. */
  decode(json: unknown, path: string, context: DecodeContext): T;
  /** What an absent field means. */
  zero(): T | undefined;
}

function scalar<T>(name: string, zero: T, accepts: (value: unknown) => boolean): Codec<T> {
  const check = (value: unknown, path: string): T => {
    if (!accepts(value)) throw new FormError(`${path}: ${describe(value)} is no ${name}`);
    return value as T;
  };
  return { encode: check, decode: check, zero: () => zero };
}

export const bool = scalar<boolean>("boolean", false, (value) => typeof value === "boolean");
export const text = scalar<string>("string", "", (value) => typeof value === "string");
export const float = scalar<number>("number", 0, (value) => typeof value === "number" && Number.isFinite(value));

/** An integer of 32 bits. */
export const int = scalar<number>("integer", 0, (value) => Number.isSafeInteger(value));

/** An integer of 64 bits. One that came rounded out of `JSON.parse` is refused. */
export const long: Codec<number> & Codec<Integer> = scalar<never>(
  "integer that a number holds exactly",
  0 as never,
  (value) => typeof value === "bigint" || Number.isSafeInteger(value),
) as never;

/** Bytes as base64. */
export const bytes: Codec<Uint8Array> = {
  encode: (value) => base64(value),
  decode: (json, path, context) => new Uint8Array(Buffer.from(text.decode(json, path, context), "base64")),
  zero: () => new Uint8Array(),
};

/** Any JSON value. Bytes are refused: this place has no form for them. */
export const payload: Codec<unknown> = {
  encode(value, path) {
    if (value instanceof Uint8Array) throw new FormError(`${path}: bytes cannot be sent here, only JSON`);
    return value;
  },
  decode: (json) => json,
  zero: () => undefined,
};

export function list<T>(element: Codec<T>): Codec<readonly T[]> {
  return {
    encode: (values, path) => array(values, path).map((value, at) => element.encode(value as T, `${path}[${at}]`)),
    decode: (json, path, context) =>
      array(json, path).map((value, at) => element.decode(value, `${path}[${at}]`, context)),
    zero: () => [],
  };
}

export function map<T>(element: Codec<T>): Codec<Readonly<Record<string, T>>> {
  const each = <A, B>(value: unknown, path: string, change: (value: A, path: string) => B) =>
    // A null prototype: keys are data and may be called anything.
    Object.assign(
      Object.create(null) as Record<string, B>,
      Object.fromEntries(
        Object.entries(object(value, path)).map(([key, item]) => [key, change(item as A, `${path}.${key}`)]),
      ),
    );
  return {
    encode: (values, path) => each<T, unknown>(values, path, (value, at) => element.encode(value, at)),
    decode: (json, path, context) => each<unknown, T>(json, path, (value, at) => element.decode(value, at, context)),
    zero: () => ({}),
  };
}

/** A scalar that can be absent, in an object of its own. */
export function boxed<T>(element: Codec<T>): Codec<T | undefined> {
  return {
    encode: (value, path) => ({ value: element.encode(value as T, path) }),
    decode(json, path, context) {
      const value = object(json, path)["value"];
      return value === undefined ? element.zero() : element.decode(value, `${path}.value`, context);
    },
    zero: () => undefined,
  };
}

/** An error or a result. */
export function outcome<T>(result: Codec<T>): Codec<Outcome<T>> {
  return {
    encode() {
      throw new FormError("outcomes are not sent");
    },
    decode(json, path, context) {
      const fields = object(json, path);
      if (fields["error"] != null) return { ok: false, error: decodeError(fields["error"], `${path}.error`, context) };
      return { ok: true, result: result.decode(fields["result"] ?? {}, `${path}.result`, context) };
    },
    zero: () => undefined,
  };
}

/** How one field of a record is carried. */
export interface FieldCodec {
  /** Property of the object. */
  readonly name: string;
  /** Key in JSON. */
  readonly wire: string;
  readonly codec: Codec<unknown>;
  /** Key for bytes as base64, instead of `wire`. */
  readonly base64?: string;
}

/** A message. Takes its fields when first used, as messages may contain themselves. */
export function record<T>(fields: () => readonly FieldCodec[]): Codec<T> {
  return {
    encode(value, path) {
      const source = object(value, path);
      const json: Record<string, unknown> = {};
      for (const { name, wire, codec, base64: twin } of fields()) {
        const item = source[name];
        if (item === undefined) continue;
        if (twin !== undefined && item instanceof Uint8Array) json[twin] = base64(item);
        else json[wire] = codec.encode(item, `${path}.${name}`);
      }
      return json;
    },
    decode(json, path, context) {
      const source = object(json, path);
      const value: Record<string, unknown> = {};
      for (const { name, wire, codec, base64: twin } of fields()) {
        const item = source[wire];
        const encoded = twin === undefined ? undefined : source[twin];
        if (typeof encoded === "string" && encoded !== "") value[name] = new Uint8Array(Buffer.from(encoded, "base64"));
        else if (item === undefined) value[name] = codec.zero();
        else if (item === null && codec !== payload) value[name] = codec.zero();
        else value[name] = codec.decode(item, `${path}.${wire}`, context);
      }
      return value as T;
    },
    zero: () => undefined,
  };
}

/** The error of a call or of a part of it. */
export function decodeError(json: unknown, path: string, context: DecodeContext): ApiError {
  const fields = object(json, path);
  const code = int.decode(fields["code"] ?? 0, `${path}.code`, context);
  const message = text.decode(fields["message"] ?? "", `${path}.message`, context);
  return context.apiError(code, message, context.method, context.retrySafe);
}

/** JSON text of a value, `bigint` written as a number. */
export function stringify(value: unknown): string {
  return write(value, "") ?? "null";
}

function write(value: unknown, key: string): string | undefined {
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null) return JSON.stringify(value) as string | undefined;
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === "function") return write(toJSON.call(value, key), key);
  if (Array.isArray(value)) return `[${value.map((item, at) => write(item, String(at)) ?? "null").join(",")}]`;
  if (value instanceof Number || value instanceof String || value instanceof Boolean) return JSON.stringify(value);
  const members: string[] = [];
  for (const [name, item] of Object.entries(value)) {
    const written = write(item, name);
    if (written !== undefined) members.push(`${JSON.stringify(name)}:${written}`);
  }
  return `{${members.join(",")}}`;
}

export function object(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FormError(`${path}: ${describe(value)} is no object`);
  }
  return value as Record<string, unknown>;
}

export function array(value: unknown, path: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new FormError(`${path}: ${describe(value)} is no list`);
  return value;
}

function base64(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
}

/** Names a value without showing it: payloads do not belong into messages. */
function describe(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
