//! Replies and pushes as bytes.
//!
//! Source: protocol documentation, «Client protocol»; JSON messages carry no newline, Protobuf messages are
//! preceded by their length.

use gyre_proto::client;
use gyre_proto::json::JsonEncode;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, string};
use std::collections::BTreeMap;

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
const RESULT_SUBS: u32 = 6;
/// Field `connect` of a push.
const PUSH_CONNECT: u32 = 10;
/// Field `subs` of a connect push.
const CONNECT_SUBS: u32 = 4;
/// Field `value` of each map entry, as key of an embedded message, and the length of an empty one.
const EMPTY_VALUE: [u8; 2] = [2 << 3 | WireType::LengthDelimited as u8, 0];

/// Appends a reply to connect that has subscriptions without any property.
fn encode_with_empty_subscriptions(
    reply: &client::Reply,
    connect: &client::ConnectResult,
    out: &mut Vec<u8>,
) {
    let mut connect = connect.clone();
    let empty = take_empty(&mut connect.subs);
    let connected = with_empty_entries(&connect, RESULT_SUBS, &empty);
    let head = client::Reply { connect: None, ..reply.clone() };
    append_embedding(&head, REPLY_CONNECT, &connected, out);
}

/// As [`encode_with_empty_subscriptions`], for the push unidirectional connections begin with.
fn encode_push_with_empty_subscriptions(mut push: client::Push, out: &mut Vec<u8>) {
    let mut connect = push.connect.take().unwrap_or_default();
    let empty = take_empty(&mut connect.subs);
    let connected = with_empty_entries(&*connect, CONNECT_SUBS, &empty);
    append_embedding(&push, PUSH_CONNECT, &connected, out);
}

fn take_empty(subscriptions: &mut BTreeMap<String, client::SubscribeResult>) -> Vec<String> {
    let all = std::mem::take(subscriptions);
    let (empty, full): (BTreeMap<_, _>, _) = all.into_iter().partition(|(_, result)| is_empty(result));
    *subscriptions = full;
    empty.into_keys().collect()
}

/// A message and entries of its map `field` whose values are empty.
///
/// prost leaves the value of a map entry out when it is the default. centrifuge-js then reads null instead of an
/// empty message and fails, so these entries are written in full; the order of fields has no meaning.
fn with_empty_entries(message: &impl Message, field: u32, channels: &[String]) -> Vec<u8> {
    let mut bytes = message.encode_to_vec();
    for channel in channels {
        encode_key(field, WireType::LengthDelimited, &mut bytes);
        encode_varint((string::encoded_len(1, channel) + EMPTY_VALUE.len()) as u64, &mut bytes);
        string::encode(1, channel, &mut bytes);
        bytes.extend_from_slice(&EMPTY_VALUE);
    }
    bytes
}

/// Appends `head` behind its length, with one more field that holds `embedded`.
fn append_embedding(head: &impl Message, field: u32, embedded: &[u8], out: &mut Vec<u8>) {
    let mut head = head.encode_to_vec();
    encode_key(field, WireType::LengthDelimited, &mut head);
    encode_varint(embedded.len() as u64, &mut head);
    out.reserve(head.len() + embedded.len() + encoded_len_varint(u64::MAX));
    encode_varint((head.len() + embedded.len()) as u64, out);
    out.extend_from_slice(&head);
    out.extend_from_slice(embedded);
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
        return match &push.connect {
            Some(connect) if encoding == Encoding::Protobuf && connect.subs.values().any(is_empty) => {
                encode_push_with_empty_subscriptions(push, out);
                Ok(())
            }
            _ => encode(&push, encoding, out),
        };
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

    #[test]
    fn connect_pushes_hold_values_of_empty_subscriptions_too() {
        let positioned = client::SubscribeResult { positioned: true, ..Default::default() };
        let empty = client::SubscribeResult::default();
        let subs = BTreeMap::from([("a".to_owned(), empty), ("b".to_owned(), positioned)]);
        let connect = client::Connect { client: "id".into(), subs, ping: 25, ..Default::default() };
        let push = client::Push { connect: Some(Box::new(connect)), ..Default::default() };
        let mut out = Vec::new();
        assert_eq!(encode_push(push.clone(), Encoding::Protobuf, true, &mut out), Ok(()));
        assert_eq!(client::Push::decode_length_delimited(&out[..]), Ok(push));
        let entry = [0x22, 5, 0x0a, 1, b'a', 0x12, 0];
        assert!(out.windows(entry.len()).any(|window| window == entry), "{out:x?}");
    }
}
