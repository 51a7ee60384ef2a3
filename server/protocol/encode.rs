//! Replies and pushes as bytes.
//!
//! Source: protocol documentation, «Client protocol»; JSON messages carry no newline, Protobuf messages are
//! preceded by their length.

use gyre_proto::client;
use gyre_proto::json::JsonEncode;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, string};

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
    match &reply.connect {
        Some(connect) if encoding == Encoding::Protobuf && connect.subs.values().any(is_empty) => {
            encode_with_empty_subscriptions(reply, connect, out);
            Ok(())
        }
        _ => encode(reply, encoding, out),
    }
}

fn is_empty(subscription: &client::SubscribeResult) -> bool {
    *subscription == client::SubscribeResult::default()
}

/// Field `connect` of a reply.
const REPLY_CONNECT: u32 = 5;
/// Field `subs` of a connect result.
const CONNECT_SUBS: u32 = 6;
/// Field `value` of each map entry, as key of an embedded message, and the length of an empty one.
const EMPTY_VALUE: [u8; 2] = [2 << 3 | WireType::LengthDelimited as u8, 0];

/// Appends a reply to connect that has subscriptions without any property.
///
/// prost leaves the value of a map entry out when it is the default. centrifuge-js then reads null instead of an
/// empty message and fails, so these entries are written in full; the order of fields has no meaning.
fn encode_with_empty_subscriptions(
    reply: &client::Reply,
    connect: &client::ConnectResult,
    out: &mut Vec<u8>,
) {
    let mut full = connect.clone();
    full.subs.retain(|_, subscription| !is_empty(subscription));
    let mut connected = full.encode_to_vec();
    for (channel, _) in connect.subs.iter().filter(|(_, subscription)| is_empty(subscription)) {
        encode_key(CONNECT_SUBS, WireType::LengthDelimited, &mut connected);
        encode_varint((string::encoded_len(1, channel) + EMPTY_VALUE.len()) as u64, &mut connected);
        string::encode(1, channel, &mut connected);
        connected.extend_from_slice(&EMPTY_VALUE);
    }
    let mut head = client::Reply { connect: None, ..reply.clone() }.encode_to_vec();
    encode_key(REPLY_CONNECT, WireType::LengthDelimited, &mut head);
    encode_varint(connected.len() as u64, &mut head);
    out.reserve(head.len() + connected.len() + encoded_len_varint(u64::MAX));
    encode_varint((head.len() + connected.len()) as u64, out);
    out.extend_from_slice(&head);
    out.extend_from_slice(&connected);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn entries_of_empty_subscriptions_hold_a_value() {
        let positioned = client::SubscribeResult { positioned: true, offset: 3, ..Default::default() };
        let subs = BTreeMap::from([
            ("a".to_owned(), client::SubscribeResult::default()),
            ("b".to_owned(), positioned),
            ("c".to_owned(), client::SubscribeResult::default()),
        ]);
        let connect = client::ConnectResult { client: "id".into(), subs, ping: 25, ..Default::default() };
        let reply = client::Reply { id: 7, connect: Some(Box::new(connect)), ..Default::default() };
        let mut out = b"earlier".to_vec();
        assert_eq!(encode_reply(&reply, Encoding::Protobuf, &mut out), Ok(()));
        let frame = &out[b"earlier".len()..];
        assert_eq!(client::Reply::decode_length_delimited(frame), Ok(reply));
        for channel in [b'a', b'c'] {
            // Field 6 of 5 bytes: key (field 1) of one byte, value (field 2) of none.
            let entry = [0x32, 5, 0x0a, 1, channel, 0x12, 0];
            assert!(frame.windows(entry.len()).any(|window| window == entry), "{frame:x?}");
        }
    }
}
