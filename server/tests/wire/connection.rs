//! A named connection of a scenario: commands in, messages out.

use std::collections::VecDeque;
use std::io;

use serde_json::{Value, json};

use crate::coding::{Coding, Message, disconnect};
use crate::grpc::{Call, Ending};
use crate::http;
use crate::http3::Session;
use crate::kind::Kind;
use crate::net::Tls;
use crate::protobuf;
use crate::streamed::{End, Streamed};
use crate::websocket::{self, Frame, WebSocket};

/// What a connection delivers next.
#[derive(Debug)]
pub enum Event {
    Message(Message),
    Control(Frame),
    /// The server said why it ends the connection and did: by a close frame, or by a disconnect push and the end of the
    /// body. Unidirectional WebSockets do both with the same code, which counts as one event.
    Closed {
        code: u16,
        reason: String,
    },
    /// The end of the connection or of the body without a word.
    Dropped,
}

impl std::fmt::Display for Event {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message(message) => write!(formatter, "{:.400}", message.value.to_string()),
            Self::Control(frame) => write!(formatter, "control frame {} {:?}", frame.opcode, frame.payload),
            Self::Closed { code, reason } => write!(formatter, "close {code} {reason:?}"),
            Self::Dropped => write!(formatter, "end of the connection without a word"),
        }
    }
}

/// What carries the messages of a connection.
pub enum Link {
    WebSocket(WebSocket),
    Body(Streamed),
    Call(Call),
    Session(Box<Session>),
}

/// Where commands of a connection go that only receives.
pub struct WayBack {
    pub address: String,
    pub tls: Tls,
    pub path: String,
}

pub struct Connection {
    pub kind: Kind,
    link: Link,
    coding: Coding,
    way_back: Option<WayBack>,
    /// Session and node from the connect result.
    session: Option<(String, String)>,
    pending: VecDeque<Event>,
    next_id: u32,
}

impl Connection {
    pub fn new(kind: Kind, link: Link, coding: Coding, way_back: Option<WayBack>) -> Self {
        Self { kind, link, coding, way_back, session: None, pending: VecDeque::new(), next_id: 1 }
    }

    /// The id of the next command, counting from one.
    pub fn take_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Sends commands in one frame, or each as a message of a call.
    pub async fn send(&mut self, commands: &[Value]) -> Result<(), String> {
        if let Link::Call(call) = &self.link {
            return commands
                .iter()
                .try_for_each(|command| call.send(protobuf::encode("client.Command", command)?));
        }
        self.send_bytes(self.coding.encode(commands)?).await
    }

    /// Sends the request a unidirectional connection begins with.
    pub async fn send_request(&mut self, request: &Value) -> Result<(), String> {
        self.send_bytes(self.coding.encode_request(request)?).await
    }

    async fn send_bytes(&mut self, payload: Vec<u8>) -> Result<(), String> {
        let opcode = if self.coding.protobuf { websocket::BINARY } else { websocket::TEXT };
        self.write(&Frame::new(opcode, payload)).await
    }

    /// Sends a frame, or its payload to the emulation endpoint.
    pub async fn write(&mut self, frame: &Frame) -> Result<(), String> {
        match &mut self.link {
            Link::WebSocket(socket) => socket.write(frame).await.map_err(|e| format!("write a frame: {e}")),
            Link::Body(_) => self.emulate(&frame.payload).await,
            Link::Session(session) => match frame.opcode {
                websocket::CLOSE => session.finish().await,
                _ => session.send(&frame.payload).await,
            },
            Link::Call(call) => match frame.opcode {
                websocket::CLOSE => {
                    call.finish();
                    Ok(())
                }
                _ => call.send(frame.payload.clone()),
            },
        }
    }

    async fn emulate(&self, payload: &[u8]) -> Result<(), String> {
        let way = self.way_back.as_ref().ok_or("nothing can be sent on this transport")?;
        let (session, node) = self.session.as_ref().ok_or("no session, because nothing connected yet")?;
        let (content_type, body) = if self.coding.protobuf {
            let data = format!("hex:{}", protobuf::to_hex(payload));
            let request = json!({"node": node, "session": session, "data": data});
            ("application/octet-stream", protobuf::encode("client.EmulationRequest", &request)?)
        } else {
            let data = std::str::from_utf8(payload).map_err(|e| format!("commands that are no text: {e}"))?;
            let request = json!({"session": session, "node": node, "data": data});
            ("application/json", request.to_string().into_bytes())
        };
        let headers = [("Content-Type".to_owned(), content_type.to_owned())];
        let response = http::request(&way.address, way.tls, "POST", &way.path, &headers, &body).await;
        let response = response.map_err(|e| format!("POST {}: {e}", way.path))?;
        match response.status {
            204 => Ok(()),
            other => Err(format!("POST {}: status {other}", way.path)),
        }
    }

    pub async fn write_raw(&mut self, bytes: &[u8]) -> Result<(), String> {
        if let Link::Session(session) = &mut self.link {
            return session.write(bytes).await;
        }
        self.websocket()?.write_raw(bytes).await.map_err(|e| format!("write bytes: {e}"))
    }

    /// Waits for the next message or for what happens to the connection instead.
    pub async fn next(&mut self) -> Result<Event, String> {
        let event = self.next_event().await?;
        let Event::Message(message) = &event else { return Ok(event) };
        let connect = &message.value["connect"];
        if let (Some(session), Some(node)) = (connect["session"].as_str(), connect["node"].as_str()) {
            self.session = Some((session.to_owned(), node.to_owned()));
        }
        let Some((code, reason)) = disconnect(message) else { return Ok(event) };
        let after = self.next_event().await?;
        let same = match &after {
            Event::Closed { code: closed, reason: why } => *closed == code && *why == reason,
            Event::Dropped => !self.kind.framed(),
            _ => false,
        };
        if same {
            return Ok(Event::Closed { code, reason });
        }
        self.pending.push_front(after);
        Ok(event)
    }

    async fn next_event(&mut self) -> Result<Event, String> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(event);
            }
            let body = match &mut self.link {
                Link::Body(body) => Some(body),
                Link::Session(session) => Some(&mut session.body),
                Link::WebSocket(_) | Link::Call(_) => None,
            };
            if let Some(body) = body {
                return match body.message().await? {
                    Ok(bytes) => self.coding.decode(&bytes, false).map(Event::Message),
                    Err(End::Complete | End::Cut) => Ok(Event::Dropped),
                };
            }
            if let Link::Call(call) = &mut self.link {
                return match call.message().await? {
                    Some(bytes) => self.coding.decode(&bytes, false).map(Event::Message),
                    None => Ok(Event::Dropped),
                };
            }
            let Some(frame) = self.next_data().await? else { return Ok(Event::Dropped) };
            match frame.opcode {
                websocket::CLOSE => {
                    let code =
                        frame.payload.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]));
                    let reason =
                        String::from_utf8_lossy(frame.payload.get(2..).unwrap_or_default()).into_owned();
                    return Ok(Event::Closed { code, reason });
                }
                websocket::PING | websocket::PONG => return Ok(Event::Control(frame)),
                _ => self.split(&frame)?,
            }
        }
    }

    /// Reads one whole data message, joined from its fragments but not inflated, or one control frame.
    pub async fn next_data(&mut self) -> Result<Option<Frame>, String> {
        let failed = |error: io::Error| format!("read a frame: {error}");
        let socket = self.websocket()?;
        let Some(mut frame) = socket.read().await.map_err(failed)? else { return Ok(None) };
        while !frame.fin {
            let Some(next) = socket.read().await.map_err(failed)? else { return Ok(None) };
            frame.payload.extend_from_slice(&next.payload);
            frame.fin = next.fin;
        }
        Ok(Some(frame))
    }

    /// Waits until the unread part of the body is this text.
    pub async fn expect_body(&mut self, literal: &str) -> Result<(), String> {
        if !self.pending.is_empty() {
            return Err("messages are still unread".into());
        }
        match &mut self.link {
            Link::Body(body) => body.expect(literal).await,
            Link::Session(session) => session.body.expect(literal).await,
            Link::WebSocket(_) | Link::Call(_) => Err(format!("{} has no text", self.kind.name())),
        }
    }

    /// Status and trailers with which a call ended; code and reason of a session.
    pub async fn end(&mut self) -> Result<Value, String> {
        match &mut self.link {
            Link::Call(call) => call.end().map(Ending::shown).ok_or_else(|| "the call goes on".to_owned()),
            Link::Session(session) => session.end().await,
            Link::WebSocket(_) | Link::Body(_) => Err(format!("{} has no such end", self.kind.name())),
        }
    }

    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    fn websocket(&mut self) -> Result<&mut WebSocket, String> {
        match &mut self.link {
            Link::WebSocket(socket) => Ok(socket),
            Link::Body(_) | Link::Call(_) | Link::Session(_) => {
                Err(format!("{} has no frames", self.kind.name()))
            }
        }
    }

    fn split(&mut self, frame: &Frame) -> Result<(), String> {
        let compressed = frame.reserved & 4 != 0;
        let payload = if compressed {
            websocket::inflate(&frame.payload).map_err(|e| format!("inflate a frame: {e}"))?
        } else {
            frame.payload.clone()
        };
        let expected = if self.coding.protobuf { websocket::BINARY } else { websocket::TEXT };
        if frame.opcode != expected {
            return Err(format!("frame of opcode {} instead of {expected}", frame.opcode));
        }
        let mut messages = Vec::new();
        if self.coding.protobuf {
            let mut bytes = payload.as_slice();
            while !bytes.is_empty() {
                let length = protobuf::take_varint(&mut bytes)? as usize;
                messages.push(bytes.get(..length).ok_or("message longer than its frame")?);
                bytes = &bytes[length..];
            }
        } else {
            messages.extend(payload.split(|byte| *byte == b'\n'));
        }
        for message in messages {
            self.pending.push_back(Event::Message(self.coding.decode(message, compressed)?));
        }
        Ok(())
    }
}
