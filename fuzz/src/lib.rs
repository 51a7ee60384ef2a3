//! What each fuzz target does with its input. A target fails by panicking.
//!
//! The bodies stand apart from libFuzzer so that `server/tests/corpus_replay.rs` can run the kept inputs
//! with an ordinary compiler on every change.

mod config;
mod delta;
mod messages;
mod patterns;
mod tags;
mod tokens;
mod websocket;

pub use config::config;
pub use delta::delta;
pub use messages::{api_json, json_commands, legacy_api, protobuf_commands, replies};
pub use patterns::patterns;
pub use tags::tags_filter;
pub use tokens::tokens;
pub use websocket::{inflate, websocket};

/// A target: its name, which is also the folder of its inputs, and what it does with one.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 12] = [
    ("websocket", websocket),
    ("inflate", inflate),
    ("json_commands", json_commands),
    ("protobuf_commands", protobuf_commands),
    ("replies", replies),
    ("api_json", api_json),
    ("legacy_api", legacy_api),
    ("tokens", tokens),
    ("tags_filter", tags_filter),
    ("delta", delta),
    ("config", config),
    ("patterns", patterns),
];

/// Splits an input at its first byte 0; the second part is empty without one.
fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}
