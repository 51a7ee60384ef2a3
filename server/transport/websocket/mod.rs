//! The bidirectional WebSocket transport.

pub mod assembler;
pub mod deflate;
pub mod frame;
