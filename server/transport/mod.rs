//! Bytes to frames and back, for each transport.

pub mod websocket;
