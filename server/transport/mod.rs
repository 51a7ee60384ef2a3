//! Bytes to frames and back, for each transport.

pub mod emulation;
pub mod framing;
pub mod grpc;
pub mod grpc_stream;
pub mod http_stream;
pub mod query;
pub mod sse;
pub mod streamed;
pub mod uni_grpc;
pub mod uni_http_stream;
pub mod uni_sse;
pub mod uni_websocket;
pub mod websocket;
pub mod webtransport;
