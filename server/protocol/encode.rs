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
    encode(reply, encoding, out)
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
    if unidirectional {
        return encode(&push, encoding, out);
    }
    encode(&client::Reply { push: Some(Box::new(push)), ..Default::default() }, encoding, out)
}

/// Appends a ping: an empty reply or push.
pub fn encode_ping(encoding: Encoding, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Json => out.extend_from_slice(b"{}"),
        Encoding::Protobuf => out.push(0),
    }
}

fn encode(
    message: &(impl Message + JsonEncode),
    encoding: Encoding,
    out: &mut Vec<u8>,
) -> Result<(), NotJson> {
    match encoding {
        Encoding::Json => message.try_encode_json(out).map_err(|_| NotJson),
        Encoding::Protobuf => {
            let length = message.encoded_len();
            out.reserve(length + prost::length_delimiter_len(length));
            // A vector grows as needed, so there is no failure to report.
            let written = message.encode_length_delimited(out);
            debug_assert!(written.is_ok());
            Ok(())
        }
    }
}
