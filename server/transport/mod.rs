//! Bytes to frames and back, for each transport.

pub mod framing;
pub mod websocket;
