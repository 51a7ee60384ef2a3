//! The house plan of the server: one line per room, in the order a message flows.
//! `ARCHITECTURE.md` walks through them.

pub mod api;
pub mod app;
pub mod auth;
pub mod broker;
pub mod channel;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod net;
pub mod node;
pub mod observability;
pub mod presence;
pub mod protocol;
pub mod proxy;
pub mod reactor;
pub mod seams;
pub mod session;
pub mod stores;
#[cfg(test)]
mod testing;
pub mod transport;

/// Version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
