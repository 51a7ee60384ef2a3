//! A closed-loop HTTP/1.1 client: a few keep-alive connections, one request outstanding on each.

use crate::clock::Clock;
use crate::ledger::new_histogram;
use crate::target::Target;
use crate::wire::http1::{Chunk, Head, parse_chunk};
use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::borrow::Cow;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

const READ_BUFFER: usize = 256 << 10;
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// When a phase of load ends; requests already sent are still answered.
#[derive(Clone, Copy)]
pub enum Until {
    Elapsed(Duration),
    Requests(u64),
}

/// What a phase of load brought.
pub struct Outcome {
    pub requests: u64,
    /// Answers whose status is not 200 or whose body the caller rejected.
    pub failed: u64,
    pub latency: Histogram<u64>,
    /// The first rejected answer, shortened.
    pub first_failure: Option<String>,
}

/// Keep-alive connections to the HTTP API of one server.
pub struct HttpLoad {
    poll: Poll,
    connections: Vec<HttpConnection>,
    clock: Clock,
    scratch: Vec<u8>,
    /// Request head up to the value of `content-length`.
    head: Vec<u8>,
}

struct HttpConnection {
    stream: TcpStream,
    sent_ns: u64,
    busy: bool,
    request: Vec<u8>,
    written: usize,
    partial: Vec<u8>,
}

impl HttpLoad {
    /// Opens `count` connections that post to `method` of the API, such as `publish`.
    pub fn connect(target: &Target, method: &str, count: usize, clock: Clock) -> Result<Self> {
        let poll = Poll::new().context("create an event queue")?;
        let endpoint = &target.http;
        let mut connections = Vec::with_capacity(count);
        for index in 0..count {
            let stream = std::net::TcpStream::connect(endpoint.address)
                .with_context(|| format!("connect to {}", endpoint.address))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
            connections.push(HttpConnection {
                stream,
                sent_ns: 0,
                busy: false,
                request: Vec::new(),
                written: 0,
                partial: Vec::new(),
            });
        }
        let head = format!(
            "POST {}/{method} HTTP/1.1\r\nHost: {}\r\nX-API-Key: {}\r\nContent-Type: application/json\r\nContent-Length: ",
            endpoint.path, endpoint.host, target.api_key
        );
        Ok(Self { poll, connections, clock, scratch: vec![0; READ_BUFFER], head: head.into_bytes() })
    }

    /// Keeps every connection busy: `body` writes each request, `accept` judges each answer's body.
    ///
    /// # Errors
    /// When a connection ends or five seconds pass without an answer.
    pub fn run(
        &mut self,
        until: Until,
        mut body: impl FnMut(&mut Vec<u8>),
        accept: impl Fn(&[u8]) -> bool,
    ) -> Result<Outcome> {
        let mut outcome = Outcome { requests: 0, failed: 0, latency: new_histogram(), first_failure: None };
        let began = Instant::now();
        let mut sent = 0;
        let mut scratch_body = Vec::new();
        for connection in &mut self.connections {
            if may_send(until, began, sent) {
                sent += 1;
                connection.send(&self.head, &mut body, &mut scratch_body, self.clock)?;
            }
        }
        let mut events = Events::with_capacity(self.connections.len().max(16));
        let mut last_answer = Instant::now();
        while outcome.requests < sent {
            match self.poll.poll(&mut events, Some(Duration::from_millis(100))) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other.context("wait for events")?,
            }
            if last_answer.elapsed() > ANSWER_LIMIT {
                bail!("{} of {sent} HTTP requests answered, then nothing for 5 s", outcome.requests);
            }
            for event in events.iter() {
                let connection = &mut self.connections[event.token().0];
                if event.is_writable() {
                    connection.flush()?;
                }
                if !event.is_readable() || !connection.busy {
                    continue;
                }
                let sent_ns = connection.sent_ns;
                let Some(answer) = connection.receive(&mut self.scratch)? else {
                    continue;
                };
                last_answer = Instant::now();
                outcome.requests += 1;
                outcome.latency.saturating_record(self.clock.now_ns() - sent_ns);
                if answer.status != 200 || !accept(&answer.body) {
                    outcome.failed += 1;
                    outcome.first_failure.get_or_insert_with(|| {
                        let start = &answer.body[..answer.body.len().min(200)];
                        format!("HTTP {}: {}", answer.status, String::from_utf8_lossy(start))
                    });
                }
                connection.busy = false;
                connection.partial.clear();
                if may_send(until, began, sent) {
                    sent += 1;
                    connection.send(&self.head, &mut body, &mut scratch_body, self.clock)?;
                }
            }
        }
        Ok(outcome)
    }
}

fn may_send(until: Until, began: Instant, sent: u64) -> bool {
    match until {
        Until::Elapsed(duration) => began.elapsed() < duration,
        Until::Requests(count) => sent < count,
    }
}

struct Answer<'a> {
    status: u16,
    body: Cow<'a, [u8]>,
}

impl HttpConnection {
    fn send(
        &mut self,
        head: &[u8],
        body: &mut impl FnMut(&mut Vec<u8>),
        scratch: &mut Vec<u8>,
        clock: Clock,
    ) -> Result<()> {
        scratch.clear();
        body(scratch);
        self.request.clear();
        self.request.extend_from_slice(head);
        // Writing to a vector cannot fail.
        let _ = write!(self.request, "{}\r\n\r\n", scratch.len());
        self.request.extend_from_slice(scratch);
        self.written = 0;
        self.busy = true;
        self.sent_ns = clock.now_ns();
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        while self.written < self.request.len() {
            match self.stream.write(&self.request[self.written..]) {
                Ok(0) => bail!("socket takes no bytes"),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("send an HTTP request"),
            }
        }
        Ok(())
    }

    /// Reads until the answer is complete or the socket is empty.
    fn receive<'a>(&'a mut self, scratch: &'a mut [u8]) -> Result<Option<Answer<'a>>> {
        loop {
            let count = match self.stream.read(scratch) {
                Ok(0) => bail!("HTTP connection closed by the server"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("read an HTTP answer"),
            };
            self.partial.extend_from_slice(&scratch[..count]);
            // Parsed twice at the end, since a borrow that is returned would last through the loop.
            if parse(&self.partial)?.is_some() {
                return parse(&self.partial);
            }
        }
    }
}

/// Returns the answer in `bytes`, or `None` while it is incomplete.
fn parse(bytes: &[u8]) -> Result<Option<Answer<'_>>> {
    let Some(head) = Head::parse(bytes)? else {
        return Ok(None);
    };
    let body = &bytes[head.bytes.len()..];
    let body = if head.is_chunked() {
        dechunk(body)?
    } else if let Some(length) = head.field("content-length") {
        let length = length.parse::<usize>().context("bad content-length")?;
        body.get(..length).map(Cow::Borrowed)
    } else {
        bail!("HTTP answer with neither content-length nor chunks");
    };
    Ok(body.map(|body| Answer { status: head.status, body }))
}

/// Joins the chunks of a body, or returns `None` while it has no end.
fn dechunk(mut bytes: &[u8]) -> Result<Option<Cow<'_, [u8]>>> {
    let mut joined = Vec::new();
    while let Some(chunk) = parse_chunk(bytes)? {
        match chunk {
            Chunk::End { .. } => return Ok(Some(Cow::Owned(joined))),
            Chunk::Data { data, length } => {
                joined.extend_from_slice(data);
                bytes = &bytes[length..];
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_with_its_whole_body() {
        let text =
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: 13\r\n\r\n{\"result\":{}}";
        assert!(parse(&text[..text.len() - 1]).expect("valid so far").is_none());
        assert!(parse(&text[..20]).expect("valid so far").is_none());
        let answer = parse(text).expect("valid").expect("complete");
        assert_eq!((answer.status, answer.body.as_ref()), (200, &b"{\"result\":{}}"[..]));
    }

    #[test]
    fn a_chunked_answer_ends_with_the_empty_chunk() {
        let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{0\r\n\r\n}\r\n0\r\n\r\n";
        let answer = parse(text).expect("valid").expect("complete");
        assert_eq!(answer.body.as_ref(), b"{0\r\n\r\n}");
        for cut in 0..text.len() {
            assert!(parse(&text[..cut]).expect("valid so far").is_none(), "cut {cut}");
        }
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
