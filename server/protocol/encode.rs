//! Replies and pushes as bytes.
//!
//! Source: protocol documentation, «Client protocol»; JSON messages carry no newline, Protobuf messages are
//! preceded by their length.

use gyre_proto::client;
use gyre_proto::json::JsonEncode;
use prost::Message;

/// How messages of one connection are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// One JSON object for each message.
    #[default]
    Json,
    /// Length-prefixed Protobuf.
    Protobuf,
}

/// A message holds bytes that are no JSON, for a peer that reads JSON (disconnect 3506).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message would not be valid json")]
pub struct NotJson;

/// Appends a reply.
///
/// # Errors
/// [`NotJson`] when a payload in it is no JSON; `out` is then as before.
pub fn encode_reply(reply: &client::Reply, encoding: Encoding, out: &mut Vec<u8>) -> Result<(), NotJson> {
    match encoding {
        Encoding::Json => {
            let start = out.len();
            reply.encode_json(out);
            check(out, start, carries_payload(reply))
        }
        Encoding::Protobuf => {
            write_delimited(reply, out);
            Ok(())
        }
    }
}

/// Appends a push: bare for unidirectional connections, wrapped in a reply for others.
///
/// # Errors
/// [`NotJson`] when a payload in it is no JSON; `out` is then as before.
pub fn encode_push(
    push: client::Push,
    encoding: Encoding,
    unidirectional: bool,
    out: &mut Vec<u8>,
) -> Result<(), NotJson> {
    if !unidirectional {
        let reply = client::Reply { push: Some(Box::new(push)), ..Default::default() };
        return encode_reply(&reply, encoding, out);
    }
    match encoding {
        Encoding::Json => {
            let start = out.len();
            push.encode_json(out);
            check(out, start, true)
        }
        Encoding::Protobuf => {
            write_delimited(&push, out);
            Ok(())
        }
    }
}

/// Appends a ping: an empty reply or push.
pub fn encode_ping(encoding: Encoding, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Json => out.extend_from_slice(b"{}"),
        Encoding::Protobuf => out.push(0),
    }
}

fn write_delimited(message: &impl Message, out: &mut Vec<u8>) {
    let length = message.encoded_len();
    out.reserve(length + 5);
    // A vector grows as needed, so neither call can fail for want of room.
    prost::encoding::encode_varint(length as u64, out);
    message.encode_raw(out);
}

/// Whether bytes from elsewhere are spliced into the message, so that it must be validated.
fn carries_payload(reply: &client::Reply) -> bool {
    reply.push.is_some()
        || reply.connect.is_some()
        || reply.subscribe.is_some()
        || reply.presence.is_some()
        || reply.history.is_some()
        || reply.rpc.is_some()
}

fn check(out: &mut Vec<u8>, start: usize, needed: bool) -> Result<(), NotJson> {
    if needed && serde_json::from_slice::<serde::de::IgnoredAny>(&out[start..]).is_err() {
        out.truncate(start);
        return Err(NotJson);
    }
    Ok(())
}
