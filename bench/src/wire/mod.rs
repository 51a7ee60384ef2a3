//! What travels between the generator and a server: payload stamps, frames, chunks and events, commands and replies.
//!
//! Owns bytes only. Knows no socket, no scenario and no clock.

pub mod command;
pub mod fossil;
pub mod http1;
pub mod inflate;
pub mod payload;
pub mod reply;
pub mod stream;
pub mod websocket;

/// Encoding of the client protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// JSON messages, joined by newlines.
    Json,
    /// Protobuf messages, each prefixed by its length.
    Protobuf,
}

impl Protocol {
    /// Name used in tables and scenario labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Protobuf => "protobuf",
        }
    }
}
