//! What travels between the generator and a server: payload stamps, WebSocket frames, commands and replies.
//!
//! Owns bytes only. Knows no socket, no scenario and no clock.

pub mod command;
pub mod payload;
pub mod reply;
pub mod websocket;

/// Encoding of the client protocol inside WebSocket frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// JSON messages, joined by newlines within a text frame.
    Json,
    /// Protobuf messages, each prefixed by its length, within a binary frame.
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
