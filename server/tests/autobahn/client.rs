//! Plays a case against a server and compares what came back.

use crate::case::{BINARY, CLOSE, Case, End, Frame, NORMAL, PONG, Seen, Step, TEXT, close};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest silence of a server.
const PATIENCE: Duration = Duration::from_secs(20);
/// An arbitrary mask; what it is does not matter to a server.
const MASK: [u8; 4] = [0x5A, 0x01, 0xC3, 0xFF];

/// Runs a case.
///
/// # Errors
/// What went differently, for a human.
pub fn run(case: &Case, address: SocketAddr, path: &str) -> Result<(), String> {
    let mut peer = Peer::open(case, address, path).map_err(|error| format!("handshake: {error}"))?;
    if let Some(deflate) = &case.deflate {
        let expected = deflate.answer.map(str::to_owned);
        if peer.extensions != expected {
            return Err(format!("extensions are {:?} instead of {expected:?}", peer.extensions));
        }
    }
    for step in &case.steps {
        let done = match step {
            Step::Send(frame) => peer.send(frame),
            Step::Message { opcode, payload } => peer.send_message(
                *opcode,
                payload,
                case.deflate.as_ref().map_or(0, |deflate| deflate.fragment),
            ),
            Step::Await(count) => peer.read_until(|peer| peer.seen.len() >= *count),
        };
        done.map_err(|error| format!("{error}; saw {:?}", peer.seen))?;
    }
    if case.end == End::Clean {
        let count = case.outcomes.iter().map(Vec::len).max().unwrap_or(0);
        peer.read_until(|peer| peer.seen.len() >= count)
            .map_err(|error| format!("{error}; saw {:?}", peer.seen))?;
        peer.send(&close(NORMAL, "")).map_err(|error| error.to_string())?;
    }
    peer.read_until(|_| false).map_err(|error| format!("{error}; saw {:?}", peer.seen))?;
    if !case.outcomes.contains(&peer.seen) {
        return Err(format!("saw {:?} instead of {:?}", peer.seen, case.outcomes));
    }
    let expected = match &case.end {
        End::Clean => vec![Some(NORMAL)],
        End::Answered(codes) => codes.clone(),
        End::Failed(codes) => codes.iter().copied().map(Some).collect(),
    };
    match peer.closed {
        Some(code) if expected.contains(&code) => Ok(()),
        Some(code) => Err(format!("closed with {code:?} instead of {expected:?}")),
        None => Err("ended without a close frame".to_owned()),
    }
}

struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
    extensions: Option<String>,
    /// The message whose frames are arriving: opcode, whether compressed, payload.
    message: Option<(u8, bool, Vec<u8>)>,
    seen: Vec<Seen>,
    /// The code of the server's close frame, once it came.
    closed: Option<Option<u16>>,
    ended: bool,
    has_closed: bool,
}

impl Peer {
    fn open(case: &Case, address: SocketAddr, path: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let offer = case
            .deflate
            .as_ref()
            .map_or(String::new(), |deflate| format!("Sec-WebSocket-Extensions: {}\r\n", deflate.offer));
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n"
        )?;
        let mut buffer = Vec::new();
        let head = loop {
            if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break String::from_utf8_lossy(&buffer.drain(..end + 4).collect::<Vec<u8>>()).into_owned();
            }
            fill(&mut stream, &mut buffer)?;
        };
        let lower = head.to_lowercase();
        if !lower.starts_with("http/1.1 101") || !head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
            return Err(io::Error::other(head));
        }
        let extensions = lower
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-extensions:"))
            .map(|value| value.trim().to_owned());
        let (message, seen, closed) = (None, Vec::new(), None);
        Ok(Self { stream, buffer, extensions, message, seen, closed, ended: false, has_closed: false })
    }

    fn send(&mut self, frame: &Frame) -> io::Result<()> {
        let mut bytes = vec![u8::from(frame.fin) << 7 | frame.reserved << 4 | frame.opcode];
        match frame.payload.len() {
            length @ 0..=125 => bytes.push(0x80 | length as u8),
            length @ 126..=0xFFFF => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(MASK);
        bytes.extend(frame.payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.has_closed |= frame.opcode == CLOSE;
        let chop = if frame.chop == 0 { bytes.len() } else { frame.chop };
        for part in bytes.chunks(chop) {
            match self.stream.write_all(part) {
                Ok(()) => {}
                // The server has given up already; what it said is still to be read.
                Err(error) if is_end(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn send_message(&mut self, opcode: u8, payload: &[u8], fragment: usize) -> io::Result<()> {
        let compressed = self.extensions.is_some();
        let payload = if compressed { deflate(payload)? } else { payload.to_vec() };
        let size = if fragment == 0 { payload.len().max(1) } else { fragment };
        let count = payload.len().div_ceil(size).max(1);
        for at in 0..count {
            let frame = Frame {
                fin: at + 1 == count,
                reserved: if compressed && at == 0 { 4 } else { 0 },
                opcode: if at == 0 { opcode } else { 0 },
                payload: payload[at * size..((at + 1) * size).min(payload.len())].to_vec(),
                chop: 0,
            };
            self.send(&frame)?;
        }
        Ok(())
    }

    /// Reads until `enough`, or until the server ends the connection.
    fn read_until(&mut self, enough: impl Fn(&Self) -> bool) -> io::Result<()> {
        loop {
            while let Some((frame, used)) = parse(&self.buffer)? {
                self.buffer.drain(..used);
                self.on_frame(frame)?;
            }
            if self.ended || enough(self) {
                return Ok(());
            }
            match fill(&mut self.stream, &mut self.buffer) {
                Ok(()) => {}
                Err(error) if is_end(&error) => self.ended = true,
                Err(error) => return Err(error),
            }
        }
    }

    fn on_frame(&mut self, frame: Frame) -> io::Result<()> {
        if self.closed.is_some() {
            return Err(io::Error::other("a frame after the close frame"));
        }
        match frame.opcode {
            TEXT | BINARY => self.message = Some((frame.opcode, frame.reserved == 4, frame.payload)),
            0 => match &mut self.message {
                Some((.., message)) => message.extend(frame.payload),
                None => return Err(io::Error::other("a continuation of nothing")),
            },
            PONG => {
                self.seen.push(Seen::Pong(frame.payload));
                return Ok(());
            }
            CLOSE => {
                let code = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                self.closed = Some(code);
                if !self.has_closed {
                    self.send(&Frame::new(CLOSE, frame.payload))?;
                }
                return Ok(());
            }
            opcode => return Err(io::Error::other(format!("a frame with opcode {opcode}"))),
        }
        if frame.fin
            && let Some((opcode, compressed, payload)) = self.message.take()
        {
            let payload = if compressed { inflate(&payload)? } else { payload };
            self.seen.push(if opcode == TEXT { Seen::Text(payload) } else { Seen::Binary(payload) });
        }
        Ok(())
    }
}

fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = vec![0; 256 * 1024];
    match stream.read(&mut chunk)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => {
            buffer.extend_from_slice(&chunk[..length]);
            Ok(())
        }
    }
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn parse(bytes: &[u8]) -> io::Result<Option<(Frame, usize)>> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err(io::Error::other("a masked frame from the server"));
    }
    let (length, head) = match (second, bytes) {
        (126, [_, _, high, low, ..]) => (usize::from(u16::from_be_bytes([*high, *low])), 4),
        (127, [_, _, length @ ..]) if length.len() >= 8 => {
            let length = length.first_chunk().map_or(0, |length| u64::from_be_bytes(*length));
            (length as usize, 10)
        }
        (126 | 127, _) => return Ok(None),
        (length, _) => (usize::from(length), 2),
    };
    let Some(payload) = bytes.get(head..head + length) else { return Ok(None) };
    let frame = Frame {
        fin: first & 0x80 != 0,
        reserved: first >> 4 & 7,
        opcode: first & 15,
        payload: payload.to_vec(),
        chop: 0,
    };
    Ok(Some((frame, head + length)))
}

fn deflate(message: &[u8]) -> io::Result<Vec<u8>> {
    let mut state = Compress::new(Compression::default(), false);
    let mut out = Vec::with_capacity(message.len() + 1024);
    state.compress_vec(message, &mut out, FlushCompress::Sync).map_err(io::Error::other)?;
    assert_eq!(state.total_in() as usize, message.len(), "the buffer holds all of it");
    assert!(out.ends_with(&[0, 0, 0xFF, 0xFF]));
    out.truncate(out.len() - 4);
    Ok(out)
}

fn inflate(message: &[u8]) -> io::Result<Vec<u8>> {
    let whole = [message, &[0, 0, 0xFF, 0xFF]].concat();
    let mut state = Decompress::new(false);
    let mut out = Vec::with_capacity(1 << 20);
    state.decompress_vec(&whole, &mut out, FlushDecompress::Sync).map_err(io::Error::other)?;
    assert_eq!(state.total_in() as usize, whole.len(), "the buffer holds all of it");
    Ok(out)
}
