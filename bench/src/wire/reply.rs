//! Messages a server sends: a cheap path for publications, a full decode for everything else.

use super::Protocol;
use super::command::Position;
use super::payload::{Scanner, Stamp};
use anyhow::{Context, Result, bail};
use gyre_proto::client;
use prost::Message as _;
use serde::Deserialize;
use serde_json::value::RawValue;

/// One message from the server, reduced to what a load generator acts on.
#[derive(Debug, PartialEq)]
pub enum Message {
    /// A publication that carries a stamp.
    Publication(Stamp),
    /// The server's ping, to be answered by a pong.
    Ping,
    Connected,
    Subscribed(Subscribed),
    Published,
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
    /// Whether everything after the requested position is in `recovered_stamps`.
    pub recovered: bool,
    pub recovered_stamps: Vec<Stamp>,
}

/// Splits the payload of a frame into messages and hands each to `each`.
///
/// # Errors
/// For bytes that are no message of `protocol`, and whatever `each` returns.
pub fn decode(
    protocol: Protocol,
    scanner: &Scanner,
    payload: &[u8],
    mut each: impl FnMut(Message) -> Result<()>,
) -> Result<()> {
    match protocol {
        Protocol::Json => {
            let mut start = 0;
            for end in memchr::memchr_iter(b'\n', payload).chain([payload.len()]) {
                let message = &payload[start..end];
                start = end + 1;
                if !message.is_empty() {
                    each(json(scanner, message)?)?;
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
                each(binary(scanner, message)?)?;
            }
        }
    }
    Ok(())
}

fn json(scanner: &Scanner, message: &[u8]) -> Result<Message> {
    if message.starts_with(b"{\"push\":{")
        && let Some(stamp) = scanner.find(message)
    {
        return Ok(Message::Publication(stamp));
    }
    if message == b"{}" {
        return Ok(Message::Ping);
    }
    let reply: JsonReply<'_> = serde_json::from_slice(message).with_context(|| {
        format!("bad message {}", String::from_utf8_lossy(&message[..message.len().min(200)]))
    })?;
    if let Some(Failure { code, message }) = reply.error {
        return Ok(Message::Refused { code, message });
    }
    if let Some(push) = reply.push {
        return Ok(push_message(
            push.publication.and_then(|publication| scanner.find(publication.data.get().as_bytes())),
            push.unsubscribe.is_some(),
            push.disconnect.is_some(),
        ));
    }
    if let Some(subscribe) = reply.subscribe {
        return Ok(Message::Subscribed(Subscribed {
            position: Position { epoch: subscribe.epoch, offset: subscribe.offset },
            recovered: subscribe.recovered,
            recovered_stamps: subscribe
                .publications
                .iter()
                .filter_map(|publication| scanner.find(publication.data.get().as_bytes()))
                .collect(),
        }));
    }
    Ok(if reply.connect.is_some() {
        Message::Connected
    } else if reply.publish.is_some() {
        Message::Published
    } else {
        Message::Other
    })
}

fn binary(scanner: &Scanner, message: &[u8]) -> Result<Message> {
    // Field 4 of a reply, length-delimited: a push, which carries no id.
    const PUSH_TAG: u8 = 0x22;
    if message.first() == Some(&PUSH_TAG)
        && let Some(stamp) = scanner.find(message)
    {
        return Ok(Message::Publication(stamp));
    }
    if message.is_empty() {
        return Ok(Message::Ping);
    }
    let reply = client::Reply::decode(message).context("bad protobuf reply")?;
    if let Some(error) = reply.error {
        return Ok(Message::Refused { code: error.code, message: error.message });
    }
    if let Some(push) = reply.push {
        return Ok(push_message(
            push.r#pub.and_then(|publication| scanner.find(&publication.data)),
            push.unsubscribe.is_some(),
            push.disconnect.is_some(),
        ));
    }
    if let Some(subscribe) = reply.subscribe {
        return Ok(Message::Subscribed(Subscribed {
            position: Position { epoch: subscribe.epoch, offset: subscribe.offset },
            recovered: subscribe.recovered,
            recovered_stamps: subscribe
                .publications
                .iter()
                .filter_map(|publication| scanner.find(&publication.data))
                .collect(),
        }));
    }
    Ok(if reply.connect.is_some() {
        Message::Connected
    } else if reply.publish.is_some() {
        Message::Published
    } else {
        Message::Other
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
    connect: Option<serde::de::IgnoredAny>,
    publish: Option<serde::de::IgnoredAny>,
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
struct JsonSubscribed<'a> {
    #[serde(default)]
    epoch: String,
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    recovered: bool,
    #[serde(default, borrow)]
    publications: Vec<JsonPublication<'a>>,
}

#[derive(Deserialize)]
struct JsonPush<'a> {
    #[serde(rename = "pub", borrow)]
    publication: Option<JsonPublication<'a>>,
    unsubscribe: Option<serde::de::IgnoredAny>,
    disconnect: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct JsonPublication<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

#[cfg(test)]
mod tests {
    use super::super::payload;
    use super::*;

    fn messages(protocol: Protocol, bytes: &[u8]) -> Vec<Message> {
        let mut seen = Vec::new();
        decode(protocol, &Scanner::new(), bytes, |message| {
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
        assert!(decode(Protocol::Protobuf, &Scanner::new(), &bytes, |_| Ok(())).is_err());
    }
}
