//! The bidirectional WebSocket transport.

pub mod accept;
pub mod assembler;
pub mod deflate;
pub mod frame;
