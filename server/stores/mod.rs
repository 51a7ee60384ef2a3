//! Connections to stores that several engines share: who answers, where it is now, and how to get back to it.
//!
//! Knows what a server can be asked and nothing of what is kept there; channels, publications and clients are
//! words of the engines above.

pub mod nats;
pub mod redis;
