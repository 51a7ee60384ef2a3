//! Commands a client sends, encoded into one masked WebSocket frame each.

use super::Protocol;
use super::payload::{self, Stamp};
use super::websocket::{opcode, write_frame};
use bytes::Bytes;
use gyre_proto::client;
use prost::Message as _;
use std::io::Write;

/// A place in a channel's stream from which a subscriber wants to recover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub epoch: String,
    pub offset: u64,
}

/// Appends frames to outgoing buffers; keeps scratch space between calls.
pub struct Encoder {
    protocol: Protocol,
    message: Vec<u8>,
    data: Vec<u8>,
}

impl Encoder {
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol, message: Vec::new(), data: Vec::new() }
    }

    /// Appends a `connect` command with a connection token.
    pub fn connect(&mut self, id: u32, token: &str, out: &mut Vec<u8>) {
        match self.protocol {
            Protocol::Json => {
                self.json(out, format_args!("{{\"id\":{id},\"connect\":{{\"token\":\"{token}\"}}}}"))
            }
            Protocol::Protobuf => self.protobuf(
                out,
                &client::Command {
                    id,
                    connect: Some(Box::new(client::ConnectRequest {
                        token: token.to_owned(),
                        ..Default::default()
                    })),
                    ..Default::default()
                },
            ),
        }
    }

    /// Appends a `subscribe` command, recovering from `position` when there is one.
    pub fn subscribe(&mut self, id: u32, channel: &str, position: Option<&Position>, out: &mut Vec<u8>) {
        match (self.protocol, position) {
            (Protocol::Json, None) => {
                self.json(out, format_args!("{{\"id\":{id},\"subscribe\":{{\"channel\":\"{channel}\"}}}}"));
            }
            (Protocol::Json, Some(Position { epoch, offset })) => self.json(
                out,
                format_args!(
                    "{{\"id\":{id},\"subscribe\":{{\"channel\":\"{channel}\",\"recover\":true,\"epoch\":\"{epoch}\",\
                     \"offset\":{offset}}}}}"
                ),
            ),
            (Protocol::Protobuf, position) => self.protobuf(
                out,
                &client::Command {
                    id,
                    subscribe: Some(Box::new(client::SubscribeRequest {
                        channel: channel.to_owned(),
                        recover: position.is_some(),
                        epoch: position.map(|position| position.epoch.clone()).unwrap_or_default(),
                        offset: position.map_or(0, |position| position.offset),
..Default::default()
})),
                    ..Default::default()
                },
            ),
        }
    }

    /// Appends a `publish` command whose payload carries `stamp` and has `size` bytes.
    pub fn publish(&mut self, id: u32, channel: &str, stamp: Stamp, size: usize, out: &mut Vec<u8>) {
        match self.protocol {
            Protocol::Json => {
                self.message.clear();
                // Writing to a vector cannot fail.
                let _ =
                    write!(self.message, "{{\"id\":{id},\"publish\":{{\"channel\":\"{channel}\",\"data\":");
                payload::write(stamp, size, &mut self.message);
                self.message.extend_from_slice(b"}}");
                write_frame(opcode::TEXT, &self.message, out);
            }
            Protocol::Protobuf => {
                self.data.clear();
                payload::write(stamp, size, &mut self.data);
                let command = client::Command {
                    id,
                    publish: Some(Box::new(client::PublishRequest {
                        channel: channel.to_owned(),
                        data: Bytes::copy_from_slice(&self.data),
                        ..Default::default()
                    })),
                    ..Default::default()
                };
                self.protobuf(out, &command);
            }
        }
    }

    /// Appends the answer to a server's ping: an empty message.
    pub fn pong(&mut self, out: &mut Vec<u8>) {
        match self.protocol {
            Protocol::Json => write_frame(opcode::TEXT, b"{}", out),
            Protocol::Protobuf => write_frame(opcode::BINARY, &[0], out),
        }
    }

    fn json(&mut self, out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
        self.message.clear();
        let _ = self.message.write_fmt(text);
        write_frame(opcode::TEXT, &self.message, out);
    }

    fn protobuf(&mut self, out: &mut Vec<u8>, command: &client::Command) {
        self.message.clear();
        self.message.extend_from_slice(&command.encode_length_delimited_to_vec());
        write_frame(opcode::BINARY, &self.message, out);
    }
}
