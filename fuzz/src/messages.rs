//! Messages in JSON and Protobuf: of clients, of the server, and of the server API.

use gyre::protocol::{self, Encoding};
use gyre_proto::framing::{self, Protocol};
use gyre_proto::json::{self, JsonDecode, JsonEncode};
use gyre_proto::{api, client, legacy};
use std::fmt::Debug;

/// Reads commands as a connection does. What was read must be written and read again as the same, and
/// our idea of JSON must be the one of `serde_json`.
pub fn json_commands(data: &[u8]) {
    commands(data, Encoding::Json);
    let theirs = serde_json::from_slice::<Box<serde_json::value::RawValue>>(data);
    match &theirs {
        Ok(_) => assert!(json::is_valid(data)),
        // It gives up early where we do not, and judges escaped surrogates, which Go replaces.
        Err(error) if !error.to_string().contains("recursion") && !data.contains(&b'\\') => {
            assert!(!json::is_valid(data), "{error}");
        }
        Err(_) => {}
    }
}

/// Reads commands as a connection does and as an SDK does, which must agree.
pub fn protobuf_commands(data: &[u8]) {
    commands(data, Encoding::Protobuf);
}

fn commands(frame: &[u8], encoding: Encoding) {
    let mut ours = Vec::new();
    let mut at = 0;
    while at < frame.len() {
        let Ok((command, used)) = protocol::next_command(&frame[at..], encoding) else { break };
        assert!(used > 0 && at + used <= frame.len());
        at += used;
        same_again(&command);
        ours.push(command);
    }
    if encoding == Encoding::Protobuf {
        let theirs: Vec<client::Command> =
            framing::commands(Protocol::Protobuf, frame).map_while(Result::ok).collect();
        assert_eq!(ours, theirs);
    }
}

/// Reads replies as an SDK does, in both encodings.
pub fn replies(data: &[u8]) {
    let [switches, frame @ ..] = data else { return };
    let protocol = if switches & 1 == 1 { Protocol::Protobuf } else { Protocol::Json };
    for reply in framing::replies(protocol, frame).map_while(Result::ok) {
        same_again(&reply);
        let mut out = Vec::new();
        match protocol::encode_reply(&reply, Encoding::Json, &mut out) {
            Ok(()) => assert!(json::is_valid(&out)),
            Err(_) => assert!(out.is_empty()),
        }
    }
}

/// Reads bodies of the HTTP API.
pub fn api_json(data: &[u8]) {
    fn body<M: JsonDecode + JsonEncode + prost::Message + PartialEq + Debug>(data: &[u8]) {
        if let Ok(message) = M::decode_json(data) {
            same_again(&message);
        }
    }
    body::<api::Command>(data);
    body::<api::BatchRequest>(data);
    body::<api::PublishRequest>(data);
    body::<api::BroadcastRequest>(data);
    body::<api::SubscribeRequest>(data);
    body::<api::HistoryRequest>(data);
    body::<api::ConnectionsRequest>(data);
    body::<api::PublishResponse>(data);
    body::<api::InfoResponse>(data);
}

/// Reads bodies of the legacy API.
pub fn legacy_api(data: &[u8]) {
    let Ok(commands) = legacy::commands(data) else { return };
    let mut errors = 0;
    for command in commands {
        match command {
            Ok(command) => assert!(command.params.is_empty() || json::is_valid(&command.params)),
            Err(_) => errors += 1,
        }
    }
    assert!(errors <= 1, "{errors} errors");
}

/// Writes a message in both encodings and reads it back.
fn same_again<M: JsonDecode + JsonEncode + prost::Message + PartialEq + Debug>(message: &M) {
    let bytes = message.encode_to_vec();
    assert_eq!(M::decode(&bytes[..]).as_ref(), Ok(message));
    let mut text = Vec::new();
    if message.try_encode_json(&mut text).is_ok() {
        assert!(json::is_valid(&text));
        // White space around a payload goes when it is read, and an empty payload is no text at all, so what
        // was read once is what must stay.
        let again = reread::<M>(&text);
        assert_eq!(reread::<M>(again.as_bytes()), again);
    }
}

/// Reads a text we wrote and writes it again.
fn reread<M: JsonDecode + JsonEncode>(text: &[u8]) -> String {
    match M::decode_json(text) {
        Ok(message) => String::from_utf8(message.to_json()).expect("JSON is UTF-8"),
        Err(error) => panic!("{error} in {}", String::from_utf8_lossy(text)),
    }
}
