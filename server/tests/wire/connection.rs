//! A named connection of a scenario: frames in, messages out.

use std::collections::VecDeque;
use std::io;

use serde_json::Value;

use crate::protobuf;
use crate::websocket::{self, Frame, WebSocket};

/// One reply or push.
#[derive(Debug)]
pub struct Message {
    /// The JSON text, or the hexadecimal bytes of a Protobuf message.
    pub text: String,
    pub value: Value,
    /// Whether the frame that carried it was compressed.
    pub compressed: bool,
}

/// What a connection delivers next.
#[derive(Debug)]
pub enum Event {
    Message(Message),
    Control(Frame),
    /// The server's close frame.
    Closed {
        code: u16,
        reason: String,
    },
    /// The end of the TCP connection without a close frame.
    Dropped,
}

impl std::fmt::Display for Event {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message(message) => write!(formatter, "{:.400}", message.value.to_string()),
            Self::Control(frame) => write!(formatter, "control frame {} {:?}", frame.opcode, frame.payload),
            Self::Closed { code, reason } => write!(formatter, "close frame {code} {reason:?}"),
            Self::Dropped => write!(formatter, "end of the connection without a close frame"),
        }
    }
}

pub struct Connection {
    socket: WebSocket,
    protobuf: bool,
    pending: VecDeque<Message>,
    next_id: u32,
}

impl Connection {
    pub fn new(socket: WebSocket, protobuf: bool) -> Self {
        Self { socket, protobuf, pending: VecDeque::new(), next_id: 1 }
    }

    /// The id of the next command, counting from one.
    pub fn take_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Sends commands in one frame.
    pub async fn send(&mut self, commands: &[Value]) -> Result<(), String> {
        let frame = if self.protobuf {
            let mut payload = Vec::new();
            for command in commands {
                let bytes = protobuf::encode("client.Command", command)?;
                protobuf::put_varint(bytes.len() as u64, &mut payload);
                payload.extend_from_slice(&bytes);
            }
            Frame::new(websocket::BINARY, payload)
        } else {
            let lines: Vec<String> = commands.iter().map(Value::to_string).collect();
            Frame::new(websocket::TEXT, lines.join("\n"))
        };
        self.write(&frame).await
    }

    pub async fn write(&mut self, frame: &Frame) -> Result<(), String> {
        self.socket.write(frame).await.map_err(|e| format!("write a frame: {e}"))
    }

    pub async fn write_raw(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.socket.write_raw(bytes).await.map_err(|e| format!("write bytes: {e}"))
    }

    /// Waits for the next message or for what happens to the connection instead.
    pub async fn next(&mut self) -> Result<Event, String> {
        loop {
            if let Some(message) = self.pending.pop_front() {
                return Ok(Event::Message(message));
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
        let Some(mut frame) = self.socket.read().await.map_err(failed)? else { return Ok(None) };
        while !frame.fin {
            let Some(next) = self.socket.read().await.map_err(failed)? else { return Ok(None) };
            frame.payload.extend_from_slice(&next.payload);
            frame.fin = next.fin;
        }
        Ok(Some(frame))
    }

    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    fn split(&mut self, frame: &Frame) -> Result<(), String> {
        let compressed = frame.reserved & 4 != 0;
        let payload = if compressed {
            websocket::inflate(&frame.payload).map_err(|e| format!("inflate a frame: {e}"))?
        } else {
            frame.payload.clone()
        };
        let expected = if self.protobuf { websocket::BINARY } else { websocket::TEXT };
        if frame.opcode != expected {
            return Err(format!("frame of opcode {} instead of {expected}", frame.opcode));
        }
        if self.protobuf {
            let mut bytes = payload.as_slice();
            while !bytes.is_empty() {
                let length = protobuf::take_varint(&mut bytes)? as usize;
                let message = bytes.get(..length).ok_or("message longer than its frame")?;
                bytes = &bytes[length..];
                let value = protobuf::decode("client.Reply", message)?;
                self.pending.push_back(Message { text: protobuf::to_hex(message), value, compressed });
            }
            return Ok(());
        }
        let text = String::from_utf8(payload).map_err(|e| format!("text frame: {e}"))?;
        for line in text.split('\n') {
            let value =
                serde_json::from_str(line).map_err(|e| format!("message {line:?} in frame {text:?}: {e}"))?;
            self.pending.push_back(Message { text: line.to_owned(), value, compressed });
        }
        Ok(())
    }
}
