export { ApiClient, command } from "../gen/api.js";
export * from "../gen/errors.js";
export type * from "../gen/types.js";
export type { CallOptions, ClientOptions, Command, Seams } from "../runtime/caller.js";
export type { Integer, Outcome, Payload } from "../runtime/codec.js";
export {
  ApiError,
  ConnectionError,
  GyreError,
  RequestError,
  ResponseError,
  StatusError,
  TimeoutError,
  TransportError,
  UnauthorizedError,
} from "../runtime/errors.js";
export { FetchTransport, Unreachable } from "../runtime/transport.js";
export type { Transport, TransportRequest, TransportResponse } from "../runtime/transport.js";
