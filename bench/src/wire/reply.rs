//! Messages a server sends: a cheap path for publications, a full decode for everything else.

use super::Protocol;
use super::command::Position;
use super::payload::{Scanner, Stamp};
use anyhow::{Context, Result, bail};
use gyre_proto::{client, unistream};
use prost::Message as _;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;

/// How a server speaks to a client.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    pub protocol: Protocol,
    /// Whether messages are bare pushes, as on transports that have no way back.
    pub unidirectional: bool,
    /// Whether publications are deltas, or may be.
    pub delta: bool,
}

/// One message from the server, reduced to what a load generator acts on.
#[derive(Debug, PartialEq)]
pub enum Message {
    /// A publication that carries a stamp.
    Publication(Stamp),
    /// A publication to a subscriber that takes deltas.
    Patch {
        data: Vec<u8>,
        /// Whether `data` changes the publication before; otherwise it is the whole payload.
        is_delta: bool,
    },
    /// The server's ping, to be answered by a pong where there is a way back.
    Ping,
    Connected {
        /// What the server subscribed the connection to.
        channels: Vec<String>,
    },
    Subscribed(Subscribed),
    Published,
    /// The answer to a call, with the stamp it carries.
    Answered(Option<Stamp>),
    /// An error reply to a command.
    Refused {
        code: u32,
        message: String,
    },
    /// The server ended the subscription or announced the end of the connection.
    Ended(&'static str),
    /// A push that does not matter here (join, leave, a publication of somebody else).
    Other,
}

/// What a subscribe reply says.
#[derive(Debug, Default, PartialEq)]
pub struct Subscribed {
    /// Current end of the channel's stream; empty epoch when the channel has no stream.
    pub position: Position,
    /// Whether publications will be deltas.
    pub delta: bool,
    /// Whether everything after the requested position is in `recovered_stamps`.
    pub recovered: bool,
    pub recovered_stamps: Vec<Stamp>,
}

/// Splits the payload of a WebSocket frame into messages and hands each to `each`.
///
/// # Errors
/// For bytes that are no message of the protocol, and whatever `each` returns.
pub fn decode(
    dialect: Dialect,
    scanner: &Scanner,
    payload: &[u8],
    mut each: impl FnMut(Message) -> Result<()>,
) -> Result<()> {
    match dialect.protocol {
        Protocol::Json => {
            let mut start = 0;
            for end in memchr::memchr_iter(b'\n', payload).chain([payload.len()]) {
                let message = &payload[start..end];
                start = end + 1;
                if !message.is_empty() {
                    each(decode_one(dialect, scanner, message)?)?;
                }
            }
        }
        Protocol::Protobuf => {
            let mut rest = payload;
            while !rest.is_empty() {
                let length =
                    prost::decode_length_delimiter(&mut rest).context("bad length before a message")?;
                let Some((message, after)) = rest.split_at_checked(length) else {
                    bail!("message of {length} bytes is cut off at {}", rest.len());
                };
                rest = after;
                each(decode_one(dialect, scanner, message)?)?;
            }
        }
    }
    Ok(())
}

/// Reads one message without what frames it.
///
/// # Errors
/// For bytes that are no message of the protocol.
pub fn decode_one(dialect: Dialect, scanner: &Scanner, message: &[u8]) -> Result<Message> {
    // Replies carry an id or an error, so that these can only be pushes; a payload stands in them as it is, unless
    // deltas made a string of it.
    let push = match (dialect.protocol, dialect.unidirectional) {
        (Protocol::Json, false) => message.starts_with(b"{\"push\":{"),
        (Protocol::Json, true) => message.starts_with(b"{\"channel\":"),
        (Protocol::Protobuf, false) => message.first() == Some(&REPLY_PUSH_TAG),
        (Protocol::Protobuf, true) => message.first() == Some(&PUSH_CHANNEL_TAG),
    };
    if push
        && !dialect.delta
        && let Some(stamp) = scanner.find(message)
    {
        return Ok(Message::Publication(stamp));
    }
    match (dialect.protocol, dialect.unidirectional) {
        (Protocol::Json, false) => json_reply(dialect, scanner, message),
        (Protocol::Json, true) => json_push(dialect, scanner, message),
        (Protocol::Protobuf, false) => binary_reply(dialect, scanner, message),
        (Protocol::Protobuf, true) => binary_push(scanner, message),
    }
}

/// Field 4 of a reply, length-delimited: a push.
const REPLY_PUSH_TAG: u8 = 0x22;
/// Field 2 of a bare push, length-delimited: its channel.
const PUSH_CHANNEL_TAG: u8 = 0x12;

fn json_reply(dialect: Dialect, scanner: &Scanner, message: &[u8]) -> Result<Message> {
    if message == b"{}" {
        return Ok(Message::Ping);
    }
    let reply: JsonReply<'_> = parse_json(message)?;
    if let Some(Failure { code, message }) = reply.error {
        return Ok(Message::Refused { code, message });
    }
    if let Some(push) = reply.push {
        return push.into_message(dialect, scanner);
    }
    if let Some(subscribe) = reply.subscribe {
        return Ok(Message::Subscribed(Subscribed {
            position: Position { epoch: subscribe.epoch, offset: subscribe.offset },
            delta: subscribe.delta,
            recovered: subscribe.recovered,
            recovered_stamps: subscribe
                .publications
                .iter()
                .filter_map(|publication| scanner.find(publication.data.get().as_bytes()))
                .collect(),
        }));
    }
    Ok(if let Some(connect) = reply.connect {
        connect.into_message()
    } else if reply.publish.is_some() {
        Message::Published
    } else if let Some(answer) = reply.rpc {
        Message::Answered(answer.data.and_then(|data| scanner.find(data.get().as_bytes())))
    } else {
        Message::Other
    })
}

fn json_push(dialect: Dialect, scanner: &Scanner, message: &[u8]) -> Result<Message> {
    if message == b"{}" {
        return Ok(Message::Ping);
    }
    parse_json::<JsonPush<'_>>(message)?.into_message(dialect, scanner)
}

fn parse_json<'a, T: Deserialize<'a>>(message: &'a [u8]) -> Result<T> {
    serde_json::from_slice(message).with_context(|| {
        format!("bad message {}", String::from_utf8_lossy(&message[..message.len().min(200)]))
    })
}

fn binary_reply(dialect: Dialect, scanner: &Scanner, message: &[u8]) -> Result<Message> {
    if message.is_empty() {
        return Ok(Message::Ping);
    }
    let reply = client::Reply::decode(message).context("bad protobuf reply")?;
    if let Some(error) = reply.error {
        return Ok(Message::Refused { code: error.code, message: error.message });
    }
    if let Some(push) = reply.push {
        return Ok(match push.r#pub {
            Some(publication) if dialect.delta => {
                Message::Patch { data: publication.data.into(), is_delta: publication.delta }
            }
            publication => push_message(
                publication.and_then(|publication| scanner.find(&publication.data)),
                push.unsubscribe.is_some(),
                push.disconnect.is_some(),
            ),
        });
    }
    if let Some(subscribe) = reply.subscribe {
        return Ok(Message::Subscribed(Subscribed {
            position: Position { epoch: subscribe.epoch, offset: subscribe.offset },
            delta: subscribe.delta,
            recovered: subscribe.recovered,
            recovered_stamps: subscribe
                .publications
                .iter()
                .filter_map(|publication| scanner.find(&publication.data))
                .collect(),
        }));
    }
    Ok(if let Some(connect) = reply.connect {
        Message::Connected { channels: connect.subs.into_keys().collect() }
    } else if reply.publish.is_some() {
        Message::Published
    } else if let Some(answer) = reply.rpc {
        Message::Answered(scanner.find(&answer.data))
    } else {
        Message::Other
    })
}

fn binary_push(scanner: &Scanner, message: &[u8]) -> Result<Message> {
    if message.is_empty() {
        return Ok(Message::Ping);
    }
    let push = unistream::Push::decode(message).context("bad protobuf push")?;
    Ok(match push.connect {
        Some(connect) => Message::Connected { channels: connect.subs.into_keys().collect() },
        None => push_message(
            push.r#pub.and_then(|publication| scanner.find(&publication.data)),
            push.unsubscribe.is_some(),
            push.disconnect.is_some(),
        ),
    })
}

fn push_message(stamp: Option<Stamp>, unsubscribed: bool, disconnected: bool) -> Message {
    match stamp {
        Some(stamp) => Message::Publication(stamp),
        None if unsubscribed => Message::Ended("unsubscribed by the server"),
        None if disconnected => Message::Ended("disconnected by the server"),
        None => Message::Other,
    }
}

#[derive(Deserialize)]
struct JsonReply<'a> {
    error: Option<Failure>,
    connect: Option<JsonConnected>,
    publish: Option<IgnoredAny>,
    #[serde(borrow)]
    rpc: Option<JsonAnswer<'a>>,
    #[serde(borrow)]
    subscribe: Option<JsonSubscribed<'a>>,
    #[serde(borrow)]
    push: Option<JsonPush<'a>>,
}

#[derive(Deserialize)]
struct Failure {
    code: u32,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct JsonConnected {
    #[serde(default)]
    subs: HashMap<String, IgnoredAny>,
}

impl JsonConnected {
    fn into_message(self) -> Message {
        Message::Connected { channels: self.subs.into_keys().collect() }
    }
}

#[derive(Deserialize)]
struct JsonAnswer<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct JsonSubscribed<'a> {
    #[serde(default)]
    epoch: String,
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    delta: bool,
    #[serde(default)]
    recovered: bool,
    #[serde(default, borrow)]
    publications: Vec<JsonPublication<'a>>,
}

#[derive(Deserialize)]
struct JsonPush<'a> {
    connect: Option<JsonConnected>,
    #[serde(rename = "pub", borrow)]
    publication: Option<JsonPublication<'a>>,
    unsubscribe: Option<IgnoredAny>,
    disconnect: Option<IgnoredAny>,
}

impl JsonPush<'_> {
    fn into_message(self, dialect: Dialect, scanner: &Scanner) -> Result<Message> {
        Ok(match (self.connect, self.publication) {
            (Some(connect), _) => connect.into_message(),
            (None, Some(publication)) if dialect.delta => {
                let data: Cow<'_, str> = parse_json::<Text<'_>>(publication.data.get().as_bytes())?.0;
                Message::Patch { data: data.into_owned().into_bytes(), is_delta: publication.delta }
            }
            (None, publication) => push_message(
                publication.and_then(|publication| scanner.find(publication.data.get().as_bytes())),
                self.unsubscribe.is_some(),
                self.disconnect.is_some(),
            ),
        })
    }
}

/// A payload that stands in JSON as a string.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct JsonPublication<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(default)]
    delta: bool,
}

#[cfg(test)]
mod tests {
    use super::super::payload;
    use super::*;

    fn plain(protocol: Protocol) -> Dialect {
        Dialect { protocol, unidirectional: false, delta: false }
    }

    fn messages(protocol: Protocol, bytes: &[u8]) -> Vec<Message> {
        let mut seen = Vec::new();
        decode(plain(protocol), &Scanner::new(), bytes, |message| {
            seen.push(message);
            Ok(())
        })
        .expect("decodes");
        seen
    }

    fn stamp(sequence: u64) -> Stamp {
        Stamp { channel: 1, sequence, intended_ns: 9 }
    }

    fn data(sequence: u64) -> String {
        let mut out = Vec::new();
        payload::write(stamp(sequence), 60, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn joined_json_messages_are_all_seen() {
        let text = format!(
            "{{\"push\":{{\"channel\":\"a\",\"pub\":{{\"data\":{}}}}}}}\n{{}}\n{{\"id\":3,\"publish\":{{}}}}\n\
             {{\"push\":{{\"pub\":{{\"data\":{},\"offset\":2}},\"channel\":\"a\"}}}}\n",
            data(1),
            data(2)
        );
        assert_eq!(
            messages(Protocol::Json, text.as_bytes()),
            [
                Message::Publication(stamp(1)),
                Message::Ping,
                Message::Published,
                Message::Publication(stamp(2))
            ]
        );
    }

    #[test]
    fn a_recovery_reply_lists_its_publications() {
        let text = format!(
            "{{\"id\":2,\"subscribe\":{{\"recoverable\":true,\"epoch\":\"xyz\",\"recovered\":true,\"offset\":2,\
             \"publications\":[{{\"data\":{},\"offset\":1}},{{\"data\":{},\"offset\":2}}]}}}}",
            data(1),
            data(2)
        );
        assert_eq!(
            messages(Protocol::Json, text.as_bytes()),
            [Message::Subscribed(Subscribed {
                position: Position { epoch: "xyz".into(), offset: 2 },
                delta: false,
                recovered: true,
                recovered_stamps: vec![stamp(1), stamp(2)],
            })]
        );
    }

    #[test]
    fn protobuf_messages_are_all_seen() {
        let publication = client::Reply {
            push: Some(Box::new(client::Push {
                r#pub: Some(Box::new(client::Publication { data: data(5).into(), ..Default::default() })),
                ..Default::default()
            })),
            ..Default::default()
        };
        let refused = client::Reply {
            id: 4,
            error: Some(Box::new(client::Error {
                code: 103,
                message: "permission denied".into(),
                ..Default::default()
            })),
            ..Default::default()
        };
        let mut bytes = publication.encode_length_delimited_to_vec();
        bytes.push(0);
        bytes.extend(refused.encode_length_delimited_to_vec());
        assert_eq!(
            messages(Protocol::Protobuf, &bytes),
            [
                Message::Publication(stamp(5)),
                Message::Ping,
                Message::Refused { code: 103, message: "permission denied".into() }
            ]
        );
        bytes.pop();
        assert!(decode(plain(Protocol::Protobuf), &Scanner::new(), &bytes, |_| Ok(())).is_err());
    }

    #[test]
    fn bare_pushes_are_read_without_an_envelope() {
        let json = Dialect { protocol: Protocol::Json, unidirectional: true, delta: false };
        let read = |text: &str| decode_one(json, &Scanner::new(), text.as_bytes()).expect("valid");
        let channels = vec!["a:b".to_owned()];
        assert_eq!(
            read("{\"connect\":{\"subs\":{\"a:b\":{}}}}"),
            Message::Connected { channels: channels.clone() }
        );
        let publication = format!("{{\"channel\":\"a:b\",\"pub\":{{\"data\":{}}}}}", data(1));
        assert_eq!(read(&publication), Message::Publication(stamp(1)));
        let turned = format!("{{\"pub\":{{\"data\":{}}},\"channel\":\"a:b\"}}", data(1));
        assert_eq!(read(&turned), Message::Publication(stamp(1)));
        assert_eq!(read("{}"), Message::Ping);
        assert_eq!(read("{\"disconnect\":{\"code\":1}}"), Message::Ended("disconnected by the server"));

        let binary = Dialect { protocol: Protocol::Protobuf, ..json };
        let read = |push: unistream::Push| {
            decode_one(binary, &Scanner::new(), &push.encode_to_vec()).expect("valid")
        };
        let subs = [("a:b".to_owned(), unistream::SubscribeResult::default())].into();
        let connect = unistream::Connect { subs, ..Default::default() };
        let push = unistream::Push { connect: Some(Box::new(connect)), ..Default::default() };
        assert_eq!(read(push), Message::Connected { channels });
        let publication = unistream::Publication { data: data(2).into(), ..Default::default() };
        let push = unistream::Push {
            channel: "a:b".into(),
            r#pub: Some(Box::new(publication)),
            ..Default::default()
        };
        assert_eq!(read(push), Message::Publication(stamp(2)));
        assert_eq!(read(unistream::Push::default()), Message::Ping);
    }

    #[test]
    fn a_subscriber_with_deltas_gets_payloads_as_text() {
        let dialect = Dialect { delta: true, ..plain(Protocol::Json) };
        let read = |text: &str| decode_one(dialect, &Scanner::new(), text.as_bytes()).expect("valid");
        let whole = serde_json::to_string(&data(1)).expect("text");
        assert_eq!(
            read(&format!("{{\"push\":{{\"channel\":\"a\",\"pub\":{{\"data\":{whole}}}}}}}")),
            Message::Patch { data: data(1).into_bytes(), is_delta: false }
        );
        assert_eq!(
            read("{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":\"4\\n4@0,0;\",\"delta\":true}}}"),
            Message::Patch { data: b"4\n4@0,0;".to_vec(), is_delta: true }
        );
    }

    #[test]
    fn an_answer_to_a_call_carries_its_stamp() {
        let text = format!("{{\"id\":3,\"rpc\":{{\"data\":{}}}}}\n{{\"id\":4,\"rpc\":{{}}}}", data(3));
        assert_eq!(
            messages(Protocol::Json, text.as_bytes()),
            [Message::Answered(Some(stamp(3))), Message::Answered(None)]
        );
    }
}
