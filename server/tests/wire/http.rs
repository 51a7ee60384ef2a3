//! HTTP/1.1 requests written and read byte by byte, so that scenarios control and see everything.

use std::io;

use crate::net::{self, Stream, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A response as received.
#[derive(Debug, Clone, Default)]
pub struct Response {
    pub status: u16,
    /// Names in lower case, in the order received.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// All values of a header, joined by a comma.
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// What a request says.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub headers: &'a [(String, String)],
    pub body: &'a [u8],
    /// Whether the connection is to end with the response.
    pub closes: bool,
}

impl Request<'_> {
    /// The bytes on the wire.
    pub fn encode(&self, host: &str) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.target);
        if self.closes {
            text.push_str("Connection: close\r\n");
        }
        for (name, value) in self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() || self.method == "POST" {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(self.body);
        bytes
    }
}

/// Sends one request on a connection of its own and reads the whole response.
pub async fn request(
    address: &str,
    tls: Tls,
    method: &str,
    target: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> io::Result<Response> {
    let request = Request { method, target, headers, body, closes: true };
    raw(address, tls, &request.encode(address)).await
}

/// Text as a value of a query.
pub fn query_value(text: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.iter()
        .map(|byte| if plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Writes the given bytes and reads one response.
pub async fn raw(address: &str, tls: Tls, bytes: &[u8]) -> io::Result<Response> {
    let mut stream = net::connect(address, tls).await?;
    stream.write_all(bytes).await?;
    let mut buffer = Vec::new();
    let mut response = read_head(&mut *stream, &mut buffer).await?;
    read_body(&mut *stream, &mut buffer, &mut response).await?;
    Ok(response)
}

/// Reads status line and headers; what follows them stays in `buffer`.
pub async fn read_head(stream: &mut dyn Stream, buffer: &mut Vec<u8>) -> io::Result<Response> {
    let end = loop {
        if let Some(index) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break index;
        }
        if !read_more(stream, buffer).await? {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "connection closed instead of a response head, after {:?}",
                    String::from_utf8_lossy(buffer)
                ),
            ));
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let status = status.ok_or_else(|| io::Error::other(format!("no status in {head:?}")))?;
    Ok(Response { status, headers, body: Vec::new() })
}

/// Reads the body the head announces: by length, chunked, or up to the end of the connection.
pub async fn read_body(
    stream: &mut dyn Stream,
    buffer: &mut Vec<u8>,
    response: &mut Response,
) -> io::Result<()> {
    if let Some(length) = response.header("content-length").and_then(|value| value.parse::<usize>().ok()) {
        while buffer.len() < length {
            if !read_more(stream, buffer).await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        response.body = buffer.drain(..length).collect();
        return Ok(());
    }
    if response.status == 204 || response.status == 304 {
        return Ok(());
    }
    while read_more(stream, buffer).await? {}
    response.body = std::mem::take(buffer);
    if response.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        response.body = dechunk(&response.body);
    }
    Ok(())
}

async fn read_more(stream: &mut dyn Stream, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let mut chunk = [0; 8 * 1024];
    match stream.read(&mut chunk).await {
        Ok(0) => Ok(false),
        Ok(count) => {
            buffer.extend_from_slice(&chunk[..count]);
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
        Err(error) => Err(error),
    }
}

fn dechunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(index) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = String::from_utf8_lossy(&bytes[..index]);
        let Ok(size) = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16) else {
            break;
        };
        bytes = &bytes[index + 2..];
        let Some(chunk) = bytes.get(..size).filter(|chunk| !chunk.is_empty()) else { break };
        body.extend_from_slice(chunk);
        bytes = bytes.get(size + 2..).unwrap_or_default();
    }
    body
}
