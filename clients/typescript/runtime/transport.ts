/** One HTTP request of a call. */
export interface TransportRequest {
  /** Address with path. */
  readonly url: string;
  /** Headers, names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** JSON text. */
  readonly body: string;
  /** Fires when the answer is no longer wanted. */
  readonly signal: AbortSignal;
}

/** What came back. */
export interface TransportResponse {
  /** HTTP status. */
  readonly status: number;
  /** Value of a header by its name in lower case, `null` if it is absent. */
  header(name: string): string | null;
  /** Body as text. */
  readonly body: string;
}

/**
 * Carries requests to the server. Give your own to a client to go through another HTTP library, to
 * record calls, or to test without a server.
 */
export interface Transport {
  /**
   * Makes a POST request and resolves with whatever status the answer has. Rejects with
   * `Unreachable` if nothing was sent, and with any other error if that is not certain.
   */
  send(request: TransportRequest): Promise<TransportResponse>;
  /** Frees what the transport holds. It is not used again. */
  close(): Promise<void>;
}

/** The server was not reached: nothing of the request was sent. */
export class Unreachable extends Error {}

/** Errors of Node that come before the first byte of a request. */
const BEFORE_SENDING = new Set([
  "EAI_AGAIN",
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/** Uses `fetch`, which keeps connections open between calls. */
export class FetchTransport implements Transport {
  readonly #fetch: typeof fetch;

  constructor(fetchFunction: typeof fetch = globalThis.fetch) {
    this.#fetch = fetchFunction;
  }

  async send(request: TransportRequest): Promise<TransportResponse> {
    let response: Response;
    try {
      response = await this.#fetch(request.url, {
        method: "POST",
        headers: { ...request.headers },
        body: request.body,
        signal: request.signal,
      });
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined;
      if (cause instanceof Error && BEFORE_SENDING.has((cause as NodeJS.ErrnoException).code ?? "")) {
        throw new Unreachable(cause.message, { cause: error });
      }
      throw error;
    }
    const body = await response.text();
    return { status: response.status, header: (name) => response.headers.get(name), body };
  }

  async close(): Promise<void> {}
}
