/** Everything this package throws by itself. Aborting a call throws the reason of its signal. */
export abstract class GyreError extends Error {
  /**
   * Whether the same call may be made again without doing its work twice: the method only reads or
   * writes the same state again, the request has an idempotency key, or it never reached the method.
   */
  readonly retrySafe: boolean;

  constructor(message: string, retrySafe: boolean, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.retrySafe = retrySafe;
  }
}

/** The server carried the call to its end and says that it failed. There is a class for each code. */
export class ApiError extends GyreError {
  /** Number of the error. */
  readonly code: number;
  /** Name of the method that failed. */
  readonly method: string;

  constructor(code: number, message: string, method: string, retrySafe: boolean) {
    super(message, retrySafe);
    this.code = code;
    this.method = method;
  }
}

/** Makes the error of the class that belongs to a code. */
export type ApiErrorFactory = (code: number, message: string, method: string, retrySafe: boolean) => ApiError;

/** The call has no answer, so it is open what became of it unless `retrySafe` tells. */
export abstract class TransportError extends GyreError {}

/** The server was not reached, or the connection ended before the answer was complete. */
export class ConnectionError extends TransportError {}

/** The answer did not arrive in time. */
export class TimeoutError extends TransportError {}

/** The answer is no answer of the server API: it is not JSON or lacks what it must have. */
export class ResponseError extends TransportError {}

/** The server, or a proxy before it, answered with an HTTP status instead of a response. */
export class StatusError extends TransportError {
  /** HTTP status. */
  readonly status: number;

  constructor(status: number, message: string, retrySafe: boolean) {
    super(message, retrySafe);
    this.status = status;
  }
}

/** The API key is missing or wrong: status 401. */
export class UnauthorizedError extends StatusError {}

/** A request holds a value that cannot be sent. Nothing was sent. */
export class RequestError extends GyreError {
  constructor(message: string) {
    super(message, true);
  }
}
