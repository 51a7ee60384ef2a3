//! The house plan of the server: one line per room, in the order a message flows.
//! `ARCHITECTURE.md` walks through them.

pub mod auth;
pub mod broker;
pub mod channel;
pub mod node;
pub mod presence;
pub mod seams;
