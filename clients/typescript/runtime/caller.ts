import { type Codec, type DecodeContext, FormError, type Outcome, array, decodeError, object, outcome, stringify } from "./codec.js";
import {
  ApiError,
  type ApiErrorFactory,
  ConnectionError,
  GyreError,
  RequestError,
  ResponseError,
  StatusError,
  TimeoutError,
  UnauthorizedError,
} from "./errors.js";
import { FetchTransport, type Transport, type TransportResponse, Unreachable } from "./transport.js";

/** Settings of a client. */
export interface ClientOptions {
  /** Key of the server API, setting `http_api.key` of the server. Sent as `X-API-Key`. */
  apiKey?: string;
  /** Path before the names of methods, setting `http_api.handler_prefix` of the server. */
  pathPrefix?: string;
  /** Bound of a call with all its attempts, in milliseconds; 5000 by default, 0 for none. */
  timeoutMs?: number;
  /**
   * How often a call is repeated after it got no answer or a status that asks to try again (429,
   * 502, 503, 504); 2 by default. Only calls that are safe to repeat are. Those that need an
   * idempotency key for it get one unless they have theirs; with 0 none is made.
   */
  maxRetries?: number;
  /**
   * Where the server puts errors. With `transport` failed calls have an HTTP status of their own,
   * so that what stands between sees them. What is thrown is the same.
   */
  errorMode?: "response" | "transport";
  /** Headers of all requests, for what stands before the server. */
  headers?: Record<string, string>;
  /** Carries requests; one that uses `fetch` by default. */
  transport?: Transport;
  /** Sources of time and chance, for tests. */
  seams?: Partial<Seams>;
}

/** Settings of one call. */
export interface CallOptions {
  /** Bound of this call in milliseconds, instead of the client's; 0 for none. */
  timeoutMs?: number;
  /** Ends the call; it rejects with the reason of the signal. */
  signal?: AbortSignal;
}

/** What a client takes from its surroundings. */
export interface Seams {
  /** Waits, in milliseconds; rejects when the signal fires. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
  /** A number from 0 up to 1. */
  random(): number;
  /** A new idempotency key. */
  key(): string;
}

/** A method of the server API. */
export interface Method<Request, Result> {
  /** Name in paths and batches. */
  readonly name: string;
  readonly request: Codec<Request>;
  readonly result: Codec<Result>;
  /** Whether a repeated call equals one call: always, with a key, or not at all. */
  readonly repeatable: "always" | "with-key" | "never";
}

/** A call to make as part of a batch. */
export interface Command<Result> {
  readonly method: Method<unknown, Result>;
  readonly request: unknown;
}

/** Names of fields that batches use. */
export interface BatchForm {
  readonly name: string;
  readonly commands: string;
  readonly replies: string;
}

const RETRIED = new Set([429, 502, 503, 504]);
/** Statuses given before a method runs. */
const NOT_RUN = new Set([400, 401, 403, 404, 405, 411, 413, 415, 429]);
const FIRST_BACKOFF_MS = 200;
const LAST_BACKOFF_MS = 5000;
const KEY_FIELD = "idempotencyKey";

/** Makes calls: writes requests, repeats them where that is safe, reads answers. */
export class Caller {
  readonly #base: string;
  readonly #headers: Record<string, string>;
  readonly #transport: Transport;
  readonly #timeoutMs: number;
  readonly #maxRetries: number;
  readonly #apiError: ApiErrorFactory;
  readonly #seams: Seams;

  constructor(address: string, defaultPrefix: string, apiError: ApiErrorFactory, options: ClientOptions) {
    this.#base = address.replace(/\/+$/, "") + (options.pathPrefix ?? defaultPrefix).replace(/\/+$/, "");
    this.#headers = { ...options.headers, "content-type": "application/json" };
    if (options.apiKey) this.#headers["x-api-key"] = options.apiKey;
    if (options.errorMode === "transport") this.#headers["x-centrifugo-error-mode"] = "transport";
    this.#transport = options.transport ?? new FetchTransport();
    this.#timeoutMs = options.timeoutMs ?? 5000;
    this.#maxRetries = options.maxRetries ?? 2;
    this.#apiError = apiError;
    this.#seams = { wait, random: Math.random, key: () => crypto.randomUUID(), ...options.seams };
  }

  /** Makes one call. */
  async call<Request, Result>(
    method: Method<Request, Result>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Result> {
    const keyed = this.#withKey(method, request);
    const context = this.#context(method.name, isRepeatable(method, keyed));
    const body = encode(() => method.request.encode(keyed, method.name));
    const response = await this.#exchange(context, body, options);
    const answer = decode(context, () => outcome(method.result).decode(response, method.name, context));
    if (!answer.ok) throw answer.error;
    return answer.result;
  }

  /** Makes several calls in one request. */
  async batch(
    form: BatchForm,
    commands: readonly Command<unknown>[],
    flags: Record<string, unknown>,
    options: CallOptions = {},
  ): Promise<Outcome<unknown>[]> {
    const requests = commands.map(({ method, request }) => this.#withKey(method, request));
    const repeatable = commands.every(({ method }, at) => isRepeatable(method, requests[at]));
    const context = this.#context(form.name, repeatable);
    const body = encode(() => ({
      [form.commands]: commands.map(({ method }, at) => ({
        [method.name]: method.request.encode(requests[at], `${form.name}[${at}].${method.name}`),
      })),
      ...flags,
    }));
    const response = await this.#exchange(context, body, options);
    return decode(context, () => {
      const fields = object(response, form.name);
      if (fields["error"] != null) throw decodeError(fields["error"], form.name, context);
      const replies = array(fields[form.replies] ?? [], form.replies);
      if (replies.length !== commands.length) {
        throw new FormError(`${form.name}: ${replies.length} replies to ${commands.length} commands`);
      }
      return commands.map(({ method }, at) => {
        const reply = object(replies[at], `${form.replies}[${at}]`);
        const part = this.#context(method.name, isRepeatable(method, requests[at]));
        const envelope = { error: reply["error"], result: reply[method.name] };
        return outcome(method.result).decode(envelope, `${form.replies}[${at}]`, part);
      });
    });
  }

  /** Frees what the client holds. */
  async close(): Promise<void> {
    await this.#transport.close();
  }

  #context(method: string, retrySafe: boolean): DecodeContext {
    return { apiError: this.#apiError, method, retrySafe };
  }

  /** Adds an idempotency key where it makes a call repeatable. It stays over all attempts. */
  #withKey<Request>(method: Method<unknown, unknown>, request: Request): Request {
    if (method.repeatable !== "with-key" || this.#maxRetries === 0 || hasKey(request)) return request;
    return { ...request, [KEY_FIELD]: this.#seams.key() };
  }

  /** Sends a request until it is answered; gives the JSON of the response. */
  async #exchange(context: DecodeContext, body: string, options: CallOptions): Promise<unknown> {
    const timeoutMs = options.timeoutMs ?? this.#timeoutMs;
    const timeout = timeoutMs > 0 ? AbortSignal.timeout(timeoutMs) : undefined;
    const signal = AbortSignal.any([timeout, options.signal].filter((signal) => signal !== undefined));
    for (let attempt = 0; ; attempt++) {
      let failure: GyreError;
      let pause: number | undefined;
      try {
        signal.throwIfAborted();
        const response = await this.#transport.send({
          url: `${this.#base}/${context.method}`,
          headers: this.#headers,
          body,
          signal,
        });
        if (response.status === 200) return decode(context, () => parse(response.body));
        failure = refusal(response, context);
        pause = retryAfterMs(response);
        if (!RETRIED.has(response.status)) throw failure;
      } catch (error) {
        if (error instanceof GyreError) throw error;
        if (options.signal?.aborted) throw options.signal.reason;
        if (timeout?.aborted) {
          throw new TimeoutError(`${context.method}: no answer in ${timeoutMs} ms`, context.retrySafe, { cause: error });
        }
        const safe = context.retrySafe || error instanceof Unreachable;
        const reason = error instanceof Error ? error.message : String(error);
        failure = new ConnectionError(`${context.method}: ${reason}`, safe, { cause: error });
      }
      if (!failure.retrySafe || attempt >= this.#maxRetries) throw failure;
      try {
        await this.#seams.wait(pause ?? this.#backoffMs(attempt), signal);
      } catch {
        if (options.signal?.aborted) throw options.signal.reason;
        throw failure;
      }
    }
  }

  /** Random, so that many clients do not come back together. */
  #backoffMs(attempt: number): number {
    const bound = Math.min(LAST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** attempt);
    return bound / 2 + (this.#seams.random() * bound) / 2;
  }
}

function hasKey(request: unknown): boolean {
  const key = (request as Record<string, unknown>)[KEY_FIELD];
  return key !== undefined && key !== "";
}

function isRepeatable(method: Method<unknown, unknown>, request: unknown): boolean {
  return method.repeatable === "always" || (method.repeatable === "with-key" && hasKey(request));
}

function encode(form: () => unknown): string {
  try {
    return stringify(form());
  } catch (error) {
    if (error instanceof FormError) throw new RequestError(error.message);
    throw error;
  }
}

function decode<T>(context: DecodeContext, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof FormError) {
      throw new ResponseError(error.message, context.retrySafe, { cause: error });
    }
    throw error;
  }
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body) as unknown;
  } catch (error) {
    throw new FormError("the response is not JSON", { cause: error });
  }
}

/** The error of an answer that is not 200: the API's own in transport error mode, or the status. */
function refusal(response: TransportResponse, context: DecodeContext): GyreError {
  const error = apiErrorOf(response, context);
  if (error) return error;
  const { status } = response;
  const safe = context.retrySafe || NOT_RUN.has(status);
  if (status === 401) return new UnauthorizedError(status, `${context.method}: api key refused`, safe);
  return new StatusError(status, `${context.method}: status ${status}`, safe);
}

function apiErrorOf(response: TransportResponse, context: DecodeContext): ApiError | undefined {
  if (!response.header("content-type")?.startsWith("application/json")) return undefined;
  try {
    const error = decodeError(parse(response.body), "error", context);
    return error.code > 0 ? error : undefined;
  } catch (error) {
    if (error instanceof FormError) return undefined;
    throw error;
  }
}

function retryAfterMs(response: TransportResponse): number | undefined {
  const header = response.header("retry-after");
  const seconds = header === null || header.trim() === "" ? Number.NaN : Number(header);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}
