//! Clients that each run one errand at a time, at a fixed pace, and tell how it went: calls, subscriptions and connects
//! that an application decides about.
//!
//! While a command waits for its answer, its connection must answer a ping. They live on a thread of their own.

use super::transport::Transport;
use crate::target::Target;
use crate::wire::Protocol;
use crate::wire::websocket::{self, opcode, write_frame};
use anyhow::{Context, Result, anyhow, bail};
use memchr::memmem;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Longer than any errand should take.
const PATIENCE: Duration = Duration::from_secs(5);
const READ_BUFFER: usize = 4096;

/// What visitors do.
#[derive(Clone, Copy, Debug)]
pub enum Errand {
    /// They call a method.
    Call(&'static str),
    /// They subscribe to a channel without a namespace, and leave it when they may.
    Subscribe,
    /// They connect without a token.
    Connect,
}

/// Visitors with the same errand.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    pub errand: Errand,
    pub visitors: usize,
    /// Time from one visit of a visitor to its next.
    pub pace: Duration,
}

/// How a visit went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Granted,
    Refused,
    /// The connection ended, or nothing came.
    Lost,
}

/// One errand that was run.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    pub outcome: Outcome,
    /// Time from when it was due until its answer.
    pub took: Duration,
    /// Time until the connection answered a ping that was sent along.
    pub pong: Option<Duration>,
    pub ended: Instant,
}

/// Running visitors; dropping it ends them.
pub struct Visitors {
    /// By group.
    visits: Vec<Log>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

type Log = Arc<Mutex<Vec<Visit>>>;

impl Visitors {
    /// Sends visitors on their way.
    ///
    /// # Errors
    /// When their thread cannot be started, or tokens cannot be signed.
    pub fn start(target: &Target, groups: &[Group]) -> Result<Self> {
        let target = Target { protocol: Protocol::Json, ..target.clone() };
        let mut visits = Vec::new();
        let mut visitors = Vec::new();
        for group in groups {
            let log = Log::default();
            for index in 0..group.visitors {
                let number = visitors.len();
                let visitor = Visitor {
                    token: target.token(&format!("visitor-{number}"), &[])?,
                    target: target.clone(),
                    errand: group.errand,
                    number,
                    log: log.clone(),
                };
                // Spread evenly over the time between two visits.
                let offset = group.pace * u32::try_from(index)? / u32::try_from(group.visitors)?;
                visitors.push((visitor, offset, group.pace));
            }
            visits.push(log);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("visitors".into()).spawn(move || {
            runtime.block_on(async {
                for (visitor, offset, pace) in visitors {
                    tokio::spawn(visitor.run(offset, pace));
                }
                let _ = stopped.await;
            });
        })?;
        Ok(Self { visits, stop: Some(stop), thread: Some(thread) })
    }

    /// Takes what happened since the last time, by group.
    pub fn take(&self) -> Vec<Vec<Visit>> {
        let take = |log: &Log| std::mem::take(&mut *log.lock().unwrap_or_else(PoisonError::into_inner));
        self.visits.iter().map(take).collect()
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Visitor {
    target: Target,
    token: String,
    errand: Errand,
    number: usize,
    log: Log,
}

impl Visitor {
    async fn run(self, offset: Duration, pace: Duration) {
        let mut due = Instant::now() + offset;
        let mut connection = None;
        loop {
            tokio::time::sleep_until(due.into()).await;
            // A timer that is late is not the server's fault; a visit before that took too long is.
            let began = if due.elapsed() > pace { due } else { Instant::now() };
            let visit = tokio::time::timeout(PATIENCE, self.visit(&mut connection)).await;
            let (outcome, pong) = match visit {
                Ok(Ok((granted, pong))) => {
                    (if granted { Outcome::Granted } else { Outcome::Refused }, Some(pong))
                }
                Ok(Err(_)) | Err(_) => {
                    connection = None;
                    (Outcome::Lost, None)
                }
            };
            let ended = Instant::now();
            let visit = Visit { outcome, took: ended - began, pong, ended };
            self.log.lock().unwrap_or_else(PoisonError::into_inner).push(visit);
            while due <= ended {
                due += pace;
            }
        }
    }

    /// Runs the errand once: whether it was granted, and how long the pong took.
    async fn visit(&self, kept: &mut Option<Connection>) -> Result<(bool, Duration)> {
        if let Errand::Connect = self.errand {
            let mut connection = Connection::open(&self.target).await?;
            return connection.ask("{\"id\":1,\"connect\":{}}").await;
        }
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => {
                let mut connection = Connection::open(&self.target).await?;
                let (accepted, _) = connection
                    .ask(&format!("{{\"id\":1,\"connect\":{{\"token\":\"{}\"}}}}", self.token))
                    .await?;
                if !accepted {
                    bail!("refused");
                }
                connection
            }
        };
        let number = self.number;
        let answer = match self.errand {
            Errand::Call(method) => {
                connection
                    .ask(&format!("{{\"id\":1,\"rpc\":{{\"method\":\"{method}\",\"data\":{{}}}}}}"))
                    .await?
            }
            _ => {
                let channel = format!("{{\"channel\":\"visited-{number}\"}}");
                let answer = connection.ask(&format!("{{\"id\":1,\"subscribe\":{channel}}}")).await?;
                if answer.0 {
                    connection.ask(&format!("{{\"id\":1,\"unsubscribe\":{channel}}}")).await?;
                }
                answer
            }
        };
        *kept = Some(connection);
        Ok(answer)
    }
}

/// A WebSocket with one command under way.
struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    async fn open(target: &Target) -> Result<Self> {
        let stream = TcpStream::connect(Transport::PLAIN.address(target)).await.context("connect")?;
        stream.set_nodelay(true)?;
        // A reset leaves no port in TIME_WAIT.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        let mut connection = Self { stream, received: Vec::new() };
        connection.stream.write_all(&Transport::PLAIN.request(target, 0, "")).await?;
        loop {
            if let Some(length) = websocket::parse_upgrade(&connection.received, false)? {
                connection.received.drain(..length);
                return Ok(connection);
            }
            connection.receive().await?;
        }
    }

    /// Sends a command with the id 1 and a ping: whether its answer is a result, and how long the pong took.
    async fn ask(&mut self, command: &str) -> Result<(bool, Duration)> {
        let mut out = Vec::new();
        write_frame(opcode::TEXT, command.as_bytes(), &mut out);
        write_frame(opcode::PING, b"", &mut out);
        self.stream.write_all(&out).await?;
        let began = Instant::now();
        let (mut answer, mut pong) = (None, None);
        loop {
            let (mut used, mut pings, mut closed) = (0, 0, false);
            while let Some(frame) = websocket::parse_frame(&self.received[used..], false)? {
                used += frame.length;
                match frame.opcode {
                    opcode::PONG => pong = Some(began.elapsed()),
                    opcode::TEXT if frame.payload == b"{}" => pings += 1,
                    opcode::TEXT => {
                        let is_answer = memmem::find(frame.payload, b"\"id\":1").is_some();
                        let is_error = memmem::find(frame.payload, b"\"error\"").is_some();
                        answer = if is_answer { Some(!is_error) } else { answer };
                    }
                    opcode::CLOSE => closed = true,
                    _ => {}
                }
            }
            self.received.drain(..used);
            for _ in 0..pings {
                let mut out = Vec::new();
                write_frame(opcode::TEXT, b"{}", &mut out);
                self.stream.write_all(&out).await?;
            }
            if let Some(answered) = answer.zip(pong) {
                return Ok(answered);
            }
            if closed {
                bail!("closed by the server");
            }
            self.receive().await?;
        }
    }

    async fn receive(&mut self) -> Result<()> {
        self.received.reserve(READ_BUFFER);
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(anyhow!("closed by the server")),
            _ => Ok(()),
        }
    }
}
