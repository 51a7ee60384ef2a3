//! From commands to bytes and from bytes to messages.

use serde_json::Value;

use crate::protobuf;

/// One reply or push.
#[derive(Debug)]
pub struct Message {
    /// The JSON text, or the hexadecimal bytes of a Protobuf message.
    pub text: String,
    pub value: Value,
    /// Whether the frame that carried it was compressed.
    pub compressed: bool,
}

/// How messages of a connection are written.
#[derive(Clone, Copy, Debug)]
pub struct Coding {
    pub protobuf: bool,
    /// Pushes are not wrapped in replies.
    pub unidirectional: bool,
}

impl Coding {
    /// Commands as one frame: JSON lines, or Protobuf messages behind their lengths.
    pub fn encode(self, commands: &[Value]) -> Result<Vec<u8>, String> {
        if !self.protobuf {
            let lines: Vec<String> = commands.iter().map(Value::to_string).collect();
            return Ok(lines.join("\n").into_bytes());
        }
        let mut payload = Vec::new();
        for command in commands {
            let bytes = protobuf::encode("client.Command", command)?;
            protobuf::put_varint(bytes.len() as u64, &mut payload);
            payload.extend_from_slice(&bytes);
        }
        Ok(payload)
    }

    /// The request a unidirectional connection begins with.
    pub fn encode_request(self, request: &Value) -> Result<Vec<u8>, String> {
        if self.protobuf {
            return protobuf::encode("client.ConnectRequest", request);
        }
        Ok(request.to_string().into_bytes())
    }

    /// Reads one message, without the length or line end around it.
    pub fn decode(self, bytes: &[u8], compressed: bool) -> Result<Message, String> {
        if self.protobuf {
            let kind = if self.unidirectional { "client.Push" } else { "client.Reply" };
            let value = protobuf::decode(kind, bytes)?;
            return Ok(Message { text: protobuf::to_hex(bytes), value, compressed });
        }
        let text = std::str::from_utf8(bytes).map_err(|e| format!("message that is no text: {e}"))?;
        let value = serde_json::from_str(text).map_err(|e| format!("message {text:?}: {e}"))?;
        Ok(Message { text: text.to_owned(), value, compressed })
    }
}

/// Code and reason of a disconnect push.
pub fn disconnect(message: &Message) -> Option<(u16, String)> {
    let push = if message.value["push"].is_object() { &message.value["push"] } else { &message.value };
    let disconnect = push["disconnect"].as_object()?;
    let code = disconnect.get("code").and_then(Value::as_u64)?;
    let reason = disconnect.get("reason").and_then(Value::as_str).unwrap_or_default();
    Some((u16::try_from(code).ok()?, reason.to_owned()))
}
