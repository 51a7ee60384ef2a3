//! An echo server over the codec of the hot path, which pings and closes as a shard does.

use gyre::transport::websocket::accept::deflate_answer;
use gyre::transport::websocket::assembler::{self, Event, Flow, Limits, Partial};
use gyre::transport::websocket::deflate::{Deflater, Inflater};
use gyre::transport::websocket::frame::{self, Opcode};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The suite's longest messages have 16 MiB.
const LONGEST: usize = 16 << 20;
/// Bytes of one read, as a shard has them.
const READ_BUFFER: usize = 64 * 1024;
/// Time a peer has to close its side.
const LINGER: Duration = Duration::from_secs(5);

/// Listens and serves each connection in a thread of its own until the process ends.
///
/// # Errors
/// When the address cannot be listened on.
pub fn start(address: &str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A peer that goes away ends its connection only.
            thread::spawn(move || serve(stream));
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(LINGER))?;
    let mut bytes = Vec::new();
    let mut chunk = vec![0; READ_BUFFER];
    let end = loop {
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            length => bytes.extend_from_slice(&chunk[..length]),
        }
        if let Some(at) = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let headers = headers(&bytes[..end]);
    let extension = deflate_answer(&headers);
    let key = headers.get("sec-websocket-key").map_or(&b""[..], HeaderValue::as_bytes);
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n",
        derive_accept_key(key)
    )?;
    if let Some(extension) = extension {
        write!(stream, "Sec-WebSocket-Extensions: {extension}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    let limits = Limits { message_size: LONGEST, inflated_size: LONGEST, compression: extension.is_some() };
    echo(stream, bytes.split_off(end), &limits)
}

fn headers(head: &[u8]) -> HeaderMap {
    let text = String::from_utf8_lossy(head);
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs
        .filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        })
        .collect()
}

/// What the frames at hand ask for, in order.
#[derive(Default)]
struct Answer {
    bytes: Vec<u8>,
    peer_closed: bool,
}

fn echo(mut stream: TcpStream, early: Vec<u8>, limits: &Limits) -> io::Result<()> {
    let mut partial: Option<Box<Partial>> = None;
    let mut inflater = Inflater::new();
    let mut deflater = Deflater::new(1);
    let mut input = early;
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        let mut answer = Answer::default();
        // The assembler says only what a message is, so the opcode of an echo is that of the content.
        let result = assembler::feed(&mut partial, &mut input, limits, &mut inflater, &mut |event| {
            on_event(event, limits, &mut deflater, &mut answer)
        });
        if let Err(violation) = result {
            answer
                .bytes
                .extend(frame::close_frame(violation.close_code(), violation.reason()).unwrap_or_default());
            stream.write_all(&answer.bytes)?;
            return linger(stream);
        }
        stream.write_all(&answer.bytes)?;
        if answer.peer_closed {
            return Ok(());
        }
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        input.clear();
        input.extend_from_slice(&buffer[..length]);
    }
}

fn on_event(event: Event<'_>, limits: &Limits, deflater: &mut Deflater, answer: &mut Answer) -> Flow {
    match event {
        Event::Message(opcode, message) => {
            let mut deflated = Vec::new();
            if limits.compression {
                deflater.deflate(message, &mut deflated);
            }
            let payload = if limits.compression { &deflated[..] } else { message };
            frame::write_header(&mut answer.bytes, opcode, limits.compression, payload.len());
            answer.bytes.extend_from_slice(payload);
        }
        Event::Ping(payload) => {
            frame::write_header(&mut answer.bytes, Opcode::Pong, false, payload.len());
            answer.bytes.extend_from_slice(payload);
        }
        Event::Pong => {}
        Event::Close(code) => {
            let frame = match code {
                Some(code) => frame::close_frame(code, "").unwrap_or_default(),
                None => frame::empty_close_frame(),
            };
            answer.bytes.extend(frame);
            answer.peer_closed = true;
            return Flow::Stop;
        }
    }
    Flow::Continue
}

/// Ends our side and waits for the peer to end its own, so that unread bytes do not reset the connection
/// before the close frame has been read.
fn linger(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(LINGER))?;
    let mut rest = vec![0; READ_BUFFER];
    while stream.read(&mut rest)? > 0 {}
    Ok(())
}
