//! Attacks on a server process: none may hurt others, none may cost more memory than its bound.
//!
//! Tokens and frames that are refused one by one are in `tests/wire/scenarios/attacks.yaml`; here is what
//! needs many connections, much data, or a look at the process.

mod answers;
mod bodies;
mod frames;
mod http;
mod memory;
mod peer;
mod process;
mod proxy;
mod quic;
mod readers;
mod smuggling;
