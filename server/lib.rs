//! The house plan of the server: one line per room, in the order a message flows.
//! `ARCHITECTURE.md` walks through them.

pub mod auth;
pub mod broker;
pub mod channel;
pub mod config;
pub mod node;
pub mod presence;
pub mod protocol;
pub mod reactor;
pub mod seams;
pub mod session;
pub mod transport;
