//! Messages in the body of an HTTP response that does not end.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http::{self, Response};
use crate::net::{self, Stream, Tls};
use crate::pattern;
use crate::protobuf;

/// How messages follow each other in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Each ends with a newline.
    Lines,
    /// Each stands behind its length.
    Prefixed,
    /// Each is the data of an event.
    Events,
}

/// A response whose body is read as it arrives.
pub struct Streamed {
    stream: Box<dyn Stream>,
    /// Bytes of the connection that are not yet part of the body.
    buffer: Vec<u8>,
    /// The body as far as it is neither read nor judged.
    body: Vec<u8>,
    chunked: bool,
    framing: Framing,
    end: Option<End>,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With its last chunk.
    Complete,
    /// With the connection.
    Cut,
}

impl Streamed {
    /// Sends a request and reads the head of the response; an answer other than 200 is read to its end and returned
    /// as the error's response.
    pub async fn open(
        address: &str,
        tls: Tls,
        request: &http::Request<'_>,
        framing: Framing,
    ) -> io::Result<Result<(Self, Response), Response>> {
        let mut stream = net::connect(address, tls).await?;
        stream.write_all(&request.encode(address)).await?;
        let mut buffer = Vec::new();
        let mut response = http::read_head(&mut *stream, &mut buffer).await?;
        if response.status != 200 {
            // Some of these answers leave the connection open.
            if response.header("content-length").is_some() || request.closes {
                http::read_body(&mut *stream, &mut buffer, &mut response).await?;
            }
            return Ok(Err(response));
        }
        let chunked = response.header("transfer-encoding").is_some_and(|value| value == "chunked");
        let mut streamed = Self { stream, buffer, body: Vec::new(), chunked, framing, end: None };
        streamed.dechunk()?;
        Ok(Ok((streamed, response)))
    }

    /// A stream that holds messages from its first byte on.
    pub fn over(stream: Box<dyn Stream>, framing: Framing) -> Self {
        Self { stream, buffer: Vec::new(), body: Vec::new(), chunked: false, framing, end: None }
    }

    /// What the messages come from.
    pub fn stream(&mut self) -> &mut dyn Stream {
        &mut *self.stream
    }

    /// Waits for the next message; the end of the body instead if it comes first.
    pub async fn message(&mut self) -> Result<Result<Vec<u8>, End>, String> {
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(Ok(message));
            }
            if let Some(end) = self.end {
                return match self.body.is_empty() {
                    true => Ok(Err(end)),
                    false => Err(format!("body ends with {:?}", String::from_utf8_lossy(&self.body))),
                };
            }
            self.read_more().await.map_err(|e| format!("read a body: {e}"))?;
        }
    }

    /// Waits until the unread part of the body is this text, in which `<*>` stands for anything.
    pub async fn expect(&mut self, literal: &str) -> Result<(), String> {
        loop {
            let actual = String::from_utf8_lossy(&self.body);
            if pattern::text_matches(literal, &actual) {
                self.body.clear();
                return Ok(());
            }
            if let Some(end) = self.end {
                return Err(format!("body is {actual:?}, end {end:?}"));
            }
            if !literal.contains("<*>") && actual.len() >= literal.len() {
                return Err(format!("body is {actual:?}"));
            }
            self.read_more().await.map_err(|e| format!("read a body: {e}"))?;
        }
    }

    async fn read_more(&mut self) -> io::Result<()> {
        let mut chunk = vec![0; 16 * 1024];
        match self.stream.read(&mut chunk).await {
            Ok(0) => self.end = Some(if self.chunked { End::Cut } else { End::Complete }),
            Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.end = Some(End::Cut),
            Err(error) => return Err(error),
        }
        self.dechunk()
    }

    /// Moves what has arrived into the body.
    fn dechunk(&mut self) -> io::Result<()> {
        if !self.chunked {
            self.body.append(&mut self.buffer);
            return Ok(());
        }
        while let Some((data, used)) = chunk_at(&self.buffer)? {
            self.body.extend_from_slice(&data);
            self.buffer.drain(..used);
            if data.is_empty() {
                self.end = Some(End::Complete);
            }
        }
        Ok(())
    }

    fn take_message(&mut self) -> Result<Option<Vec<u8>>, String> {
        match self.framing {
            Framing::Lines => {
                let Some(index) = self.body.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
                let mut line: Vec<u8> = self.body.drain(..=index).collect();
                line.pop();
                Ok(Some(line))
            }
            Framing::Prefixed => {
                let mut rest = self.body.as_slice();
                let Ok(length) = protobuf::take_varint(&mut rest) else { return Ok(None) };
                let start = self.body.len() - rest.len();
                let length = usize::try_from(length).map_err(|e| e.to_string())?;
                if rest.len() < length {
                    return Ok(None);
                }
                let message = rest[..length].to_vec();
                self.body.drain(..start + length);
                Ok(Some(message))
            }
            Framing::Events => {
                while let Some((event, used)) = event_at(&self.body) {
                    self.body.drain(..used);
                    if let Some(data) = event_data(&event)? {
                        return Ok(Some(data));
                    }
                }
                Ok(None)
            }
        }
    }
}

/// The chunk at the front, if it is there as a whole, and the bytes it takes.
fn chunk_at(bytes: &[u8]) -> io::Result<Option<(Vec<u8>, usize)>> {
    let Some(index) = bytes.windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..index]);
    let size = usize::from_str_radix(head.split(';').next().unwrap_or_default().trim(), 16)
        .map_err(|e| io::Error::other(format!("chunk head {head:?}: {e}")))?;
    let start = index + 2;
    match bytes.get(start..start + size + 2) {
        Some(data) if data.ends_with(b"\r\n") => Ok(Some((data[..size].to_vec(), start + size + 2))),
        Some(_) => Err(io::Error::other(format!("chunk of {size} bytes has no end"))),
        None => Ok(None),
    }
}

/// The lines up to the next empty one, and the bytes they take.
///
/// Source: HTML standard, server-sent events, section 9.2.5: a line ends with `\r\n`, `\n` or `\r`.
fn event_at(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let mut lines = Vec::new();
    let mut start = 0;
    loop {
        let length = bytes[start..].iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
        let line = String::from_utf8_lossy(&bytes[start..start + length]).into_owned();
        start += length + if bytes[start + length..].starts_with(b"\r\n") { 2 } else { 1 };
        if line.is_empty() {
            return Some((lines, start));
        }
        lines.push(line);
    }
}

/// What a page gets from an event; nothing when the event has no data.
fn event_data(lines: &[String]) -> Result<Option<Vec<u8>>, String> {
    let mut data: Option<Vec<String>> = None;
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => data.get_or_insert_default().push(value.to_owned()),
            // A line that begins with a colon is a comment.
            "" | "id" | "retry" => {}
            other => return Err(format!("event with a field {other:?}, which pages would not get")),
        }
    }
    Ok(data.map(|lines| lines.join("\n").into_bytes()))
}
