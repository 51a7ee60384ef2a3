//! What stands around a message, for each kind of stream messages are sent on.
//!
//! Messages of one delivery are encoded once for each framing, so a framing must not depend on the connection.

use super::websocket::frame::{self, Opcode};
use crate::protocol::Encoding;

/// Bytes an encoder leaves free before a message, so that header and message end up side by side.
pub const HEADROOM: usize = frame::MAX_HEADER;

/// How messages are told apart on a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Each message is a WebSocket frame.
    #[default]
    WebSocket,
    /// JSON messages are lines, Protobuf messages follow their length.
    Lines,
    /// Server-sent events without names; JSON only.
    Events,
    /// gRPC messages, which hold a Protobuf message without its length.
    Grpc,
}

impl Framing {
    /// Encloses the message that stands in `buffer` behind [`HEADROOM`] bytes, and says where in `buffer`
    /// the frame begins. `compressed` is for WebSocket alone.
    pub fn enclose(self, encoding: Encoding, compressed: bool, buffer: &mut Vec<u8>) -> usize {
        match (self, encoding) {
            (Self::WebSocket, Encoding::Json) => frame::enclose(Opcode::Text, compressed, buffer),
            (Self::WebSocket, Encoding::Protobuf) => frame::enclose(Opcode::Binary, compressed, buffer),
            (Self::Lines, Encoding::Json) => {
                buffer.push(b'\n');
                HEADROOM
            }
            (Self::Lines, Encoding::Protobuf) => HEADROOM,
            (Self::Events, _) => enclose_event(buffer),
            (Self::Grpc, Encoding::Protobuf) => {
                let length = length_of_prefix(&buffer[HEADROOM..]);
                enclose_grpc(HEADROOM + length, buffer)
            }
            (Self::Grpc, Encoding::Json) => enclose_grpc(HEADROOM, buffer),
        }
    }
}

const EVENT_START: &[u8] = b"data: ";
const EVENT_END: &[u8] = b"\n\n";

/// Makes a server-sent event.
///
/// A carriage return ends a line for readers of events, so a payload that holds one could forge events. In JSON
/// it can only stand between tokens, where a space means the same; encoders leave no newline.
fn enclose_event(buffer: &mut Vec<u8>) -> usize {
    let message = &mut buffer[HEADROOM..];
    while let Some(at) = memchr::memchr(b'\r', message) {
        message[at] = b' ';
    }
    let start = HEADROOM - EVENT_START.len();
    buffer[start..HEADROOM].copy_from_slice(EVENT_START);
    buffer.extend_from_slice(EVENT_END);
    start
}

/// Bytes of the length before a Protobuf message.
fn length_of_prefix(message: &[u8]) -> usize {
    message.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1
}

/// Flag byte and length before a gRPC message.
const GRPC_HEADER: usize = 5;

/// Makes an uncompressed gRPC message of what begins at `at`.
///
/// Source: gRPC over HTTP2, «Length-Prefixed-Message».
fn enclose_grpc(at: usize, buffer: &mut [u8]) -> usize {
    let length = (buffer.len() - at) as u32;
    let start = at - GRPC_HEADER;
    buffer[start] = 0;
    buffer[start + 1..at].copy_from_slice(&length.to_be_bytes());
    start
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol;
    use gyre_proto::client;
    use prost::Message;

    fn framed(framing: Framing, encoding: Encoding, message: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0; HEADROOM];
        buffer.extend_from_slice(message);
        let start = framing.enclose(encoding, false, &mut buffer);
        buffer.split_off(start)
    }

    #[test]
    fn each_framing_has_its_bytes() {
        assert_eq!(framed(Framing::WebSocket, Encoding::Json, b"{}"), b"\x81\x02{}");
        assert_eq!(framed(Framing::WebSocket, Encoding::Protobuf, b"\0"), b"\x82\x01\0");
        assert_eq!(framed(Framing::Lines, Encoding::Json, b"{}"), b"{}\n");
        assert_eq!(framed(Framing::Lines, Encoding::Protobuf, b"\0"), b"\0");
        assert_eq!(framed(Framing::Events, Encoding::Json, b"{}"), b"data: {}\n\n");
        assert_eq!(framed(Framing::Grpc, Encoding::Protobuf, b"\0"), b"\0\0\0\0\0");
        assert_eq!(framed(Framing::Grpc, Encoding::Json, b"{}"), b"\0\0\0\0\x02{}");
    }

    #[test]
    fn grpc_messages_lose_the_length_of_their_own() {
        for size in [1, 100, 200, 70_000] {
            let connect = client::Connect { client: "x".repeat(size), ..Default::default() };
            let push = client::Push { connect: Some(Box::new(connect)), ..Default::default() };
            let mut encoded = Vec::new();
            protocol::encode_push(push.clone(), Encoding::Protobuf, true, &mut encoded).unwrap();
            let frame = framed(Framing::Grpc, Encoding::Protobuf, &encoded);
            let (header, message) = frame.split_at(GRPC_HEADER);
            assert_eq!(header[1..], (message.len() as u32).to_be_bytes());
            assert_eq!(client::Push::decode(message), Ok(push));
        }
    }

    #[test]
    fn payloads_cannot_forge_events() {
        let message = b"{\"data\":[1,\r\rdata: {}\r\r2]}";
        let event = framed(Framing::Events, Encoding::Json, message);
        assert!(!event.contains(&b'\r'));
        assert_eq!(event.iter().filter(|byte| **byte == b'\n').count(), EVENT_END.len());
    }
}
