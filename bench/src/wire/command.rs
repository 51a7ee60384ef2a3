//! Commands a client sends, encoded into one masked WebSocket frame each; `connect` also bare, as other transports
//! want it.

use super::Protocol;
use super::payload::{self, Shape, Stamp};
use super::websocket::{opcode, write_frame};
use bytes::Bytes;
use gyre_proto::{client, unistream};
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
            Protocol::Json => write_frame(opcode::TEXT, &connect(self.protocol, id, token), out),
            Protocol::Protobuf => write_frame(opcode::BINARY, &connect(self.protocol, id, token), out),
        }
    }

    /// Appends a `subscribe` command, recovering from `position` when there is one, and asking for deltas with `delta`.
    pub fn subscribe(
        &mut self,
        id: u32,
        channel: &str,
        position: Option<&Position>,
        delta: bool,
        out: &mut Vec<u8>,
    ) {
        match self.protocol {
            Protocol::Json => {
                let recovery = match position {
                    Some(Position { epoch, offset }) => {
                        format!(",\"recover\":true,\"epoch\":\"{epoch}\",\"offset\":{offset}")
                    }
                    None => String::new(),
                };
                let delta = if delta { ",\"delta\":\"fossil\"" } else { "" };
                self.json(
                    out,
                    format_args!(
                        "{{\"id\":{id},\"subscribe\":{{\"channel\":\"{channel}\"{recovery}{delta}}}}}"
                    ),
                );
            }
            Protocol::Protobuf => self.protobuf(
                out,
                &client::Command {
                    id,
                    subscribe: Some(Box::new(client::SubscribeRequest {
                        channel: channel.to_owned(),
                        recover: position.is_some(),
                        epoch: position.map(|position| position.epoch.clone()).unwrap_or_default(),
                        offset: position.map_or(0, |position| position.offset),
                        delta: if delta { "fossil".to_owned() } else { String::new() },
                        ..Default::default()
                    })),
                    ..Default::default()
                },
            ),
        }
    }

    /// Appends an `rpc` command to `method` whose payload carries `stamp`.
    pub fn rpc(&mut self, id: u32, method: &str, stamp: Stamp, shape: Shape, out: &mut Vec<u8>) {
        match self.protocol {
            Protocol::Json => {
                self.message.clear();
                // Writing to a vector cannot fail.
                let _ = write!(self.message, "{{\"id\":{id},\"rpc\":{{\"method\":\"{method}\",\"data\":");
                payload::write_shaped(stamp, shape, &mut self.message);
                self.message.extend_from_slice(b"}}");
                write_frame(opcode::TEXT, &self.message, out);
            }
            Protocol::Protobuf => {
                self.data.clear();
                payload::write_shaped(stamp, shape, &mut self.data);
                let command = client::Command {
                    id,
                    rpc: Some(Box::new(client::RpcRequest {
                        method: method.to_owned(),
                        data: Bytes::copy_from_slice(&self.data),
                    })),
                    ..Default::default()
                };
                self.protobuf(out, &command);
            }
        }
    }

    /// Appends a `publish` command whose payload carries `stamp`.
    pub fn publish(&mut self, id: u32, channel: &str, stamp: Stamp, shape: Shape, out: &mut Vec<u8>) {
        match self.protocol {
            Protocol::Json => {
                self.message.clear();
                // Writing to a vector cannot fail.
                let _ =
                    write!(self.message, "{{\"id\":{id},\"publish\":{{\"channel\":\"{channel}\",\"data\":");
                payload::write_shaped(stamp, shape, &mut self.message);
                self.message.extend_from_slice(b"}}");
                write_frame(opcode::TEXT, &self.message, out);
            }
            Protocol::Protobuf => {
                self.data.clear();
                payload::write_shaped(stamp, shape, &mut self.data);
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

/// Encodes a `connect` command with a connection token, framed as the first bytes of a stream have to be.
pub fn connect(protocol: Protocol, id: u32, token: &str) -> Vec<u8> {
    match protocol {
        Protocol::Json => format!("{{\"id\":{id},\"connect\":{{\"token\":\"{token}\"}}}}").into_bytes(),
        Protocol::Protobuf => client::Command {
            id,
            connect: Some(Box::new(client::ConnectRequest { token: token.to_owned(), ..Default::default() })),
            ..Default::default()
        }
        .encode_length_delimited_to_vec(),
    }
}

/// Encodes what a unidirectional client says in JSON, the whole of it: a connect request.
pub fn unidirectional_connect(token: &str) -> Vec<u8> {
    format!("{{\"token\":\"{token}\"}}").into_bytes()
}

/// Encodes what a unidirectional client says over gRPC, framed as a gRPC message.
pub fn grpc_connect(token: &str) -> Bytes {
    let request = unistream::ConnectRequest { token: token.to_owned(), ..Default::default() };
    let message = request.encode_to_vec();
    let mut out = Vec::with_capacity(5 + message.len());
    out.push(0);
    out.extend_from_slice(&(message.len() as u32).to_be_bytes());
    out.extend_from_slice(&message);
    out.into()
}
