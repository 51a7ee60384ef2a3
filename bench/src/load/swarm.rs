//! Many clients on one thread: an event loop over raw sockets that opens, subscribes, publishes and checks.
//!
//! Owns sockets and the ledger. Knows no scenario: a scenario says what to open and publish, and calls [`Swarm::turn`].

use super::connection::{Arrival, Connection, Phase, Plan};
use super::sources::Sources;
use crate::clock::Clock;
use crate::ledger::{ChannelIndex, Cursor, Ledger, new_histogram};
use crate::target::Target;
use crate::wire::command::{Encoder, Position};
use crate::wire::payload::Scanner;
use crate::wire::reply::{self, Message, Subscribed};
use crate::wire::websocket::{self, opcode};
use anyhow::{Context, Result, anyhow, bail};
use hdrhistogram::Histogram;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

pub use super::connection::Plan as ClientPlan;

const TIMER: Token = Token(usize::MAX);
/// Few enough that a due publication does not wait behind a long row of reads.
const EVENTS_PER_TURN: usize = 256;
const READ_BUFFER: usize = 256 << 10;
/// A run that makes no progress for this long has lost something.
const STALL_LIMIT: Duration = Duration::from_secs(5);
const KEPT_PROBLEMS: usize = 5;

/// How deliveries were packed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Reads that brought bytes.
    pub reads: u64,
    /// Frames that carried at least one publication.
    pub frames: u64,
}

/// A crowd of clients of one server.
pub struct Swarm {
    poll: Poll,
    events: Events,
    timer: Option<OwnedFd>,
    sources: Sources,
    connections: Vec<Connection>,
    dirty: Vec<usize>,
    core: Core,
}

/// Everything a client's messages act upon, apart from the client itself.
struct Core {
    target: Target,
    clock: Clock,
    ledger: Ledger,
    encoder: Encoder,
    scanner: Scanner,
    traffic: Traffic,
    scratch: Vec<u8>,
    ready: usize,
    closed: usize,
    published: u64,
    acknowledged: u64,
    ready_time: Histogram<u64>,
    problems: Vec<String>,
}

impl Swarm {
    pub fn new(target: &Target, clock: Clock) -> Result<Self> {
        Ok(Self {
            poll: Poll::new().context("create an event queue")?,
            events: Events::with_capacity(EVENTS_PER_TURN),
            timer: None,
            sources: Sources::new(),
            connections: Vec::new(),
            dirty: Vec::new(),
            core: Core {
                target: target.clone(),
                clock,
                ledger: Ledger::new(),
                encoder: Encoder::new(target.protocol),
                scanner: Scanner::new(),
                traffic: Traffic::default(),
                scratch: vec![0; READ_BUFFER],
                ready: 0,
                closed: 0,
                published: 0,
                acknowledged: 0,
                ready_time: new_histogram(),
                problems: Vec::new(),
            },
        })
    }

    pub fn ledger(&self) -> &Ledger {
        &self.core.ledger
    }

    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.core.ledger
    }

    pub fn traffic(&self) -> Traffic {
        self.core.traffic
    }

    /// Time from opening a socket until the client was ready.
    pub fn ready_time(&self) -> &Histogram<u64> {
        &self.core.ready_time
    }

    /// The first few things that went wrong, in words.
    pub fn problems(&self) -> &[String] {
        &self.core.problems
    }

    /// Position a client's channel had when it subscribed.
    pub fn position(&self, connection: usize) -> &Position {
        &self.connections[connection].position
    }

    /// Opens clients, `parallel` at a time, and returns when all are ready.
    ///
    /// # Errors
    /// When a client is refused or nothing moves for five seconds.
    pub fn ramp(&mut self, plans: impl IntoIterator<Item = Plan>, parallel: usize) -> Result<()> {
        let mut plans = plans.into_iter().peekable();
        let mut progress = (Instant::now(), self.core.ready);
        while plans.peek().is_some() || self.core.ready < self.connections.len() {
            while self.connections.len() - self.core.ready < parallel {
                let Some(plan) = plans.next() else { break };
                self.open(plan)?;
            }
            self.turn(Duration::from_millis(100))?;
            if self.core.closed > 0 {
                bail!("a client was lost while connecting: {}", self.core.problems.join("; "));
            }
            if self.core.ready > progress.1 {
                progress = (Instant::now(), self.core.ready);
            } else if progress.0.elapsed() > STALL_LIMIT {
                bail!(
                    "{} of {} clients became ready, then nothing for {} s; {}",
                    self.core.ready,
                    self.connections.len(),
                    STALL_LIMIT.as_secs(),
                    self.core.problems.join("; ")
                );
            }
        }
        Ok(())
    }

    fn open(&mut self, plan: Plan) -> Result<()> {
        let opened_ns = self.core.clock.now_ns();
        let mut stream = self.sources.connect(self.core.target.websocket.address)?;
        let token = Token(self.connections.len());
        self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.connections.push(Connection::new(stream, plan, opened_ns));
        Ok(())
    }

    /// Makes a [`Swarm::turn`] return after `delay`; the queue's own timeout counts whole milliseconds.
    pub fn wake_in(&mut self, delay: Duration) -> Result<()> {
        let timer = match self.timer.take() {
            Some(timer) => timer,
            None => {
                let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
                let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)
                    .context("create a timer")?;
                self.poll.registry().register(
                    &mut SourceFd(&timer.as_raw_fd()),
                    TIMER,
                    Interest::READABLE,
                )?;
                timer
            }
        };
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: delay.as_secs() as i64,
                // Zero would disarm the timer.
                tv_nsec: i64::from(delay.subsec_nanos()).max(1),
            },
        };
        rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once).context("set a timer")?;
        self.timer = Some(timer);
        Ok(())
    }

    /// Queues one publication to `channel` on the connection of client `connection`; it leaves with the next turn.
    pub fn publish(&mut self, connection: usize, channel: ChannelIndex, intended_ns: u64, size: usize) {
        let client = &mut self.connections[connection];
        let stamp = self.core.ledger.publish(channel, intended_ns);
        let id = client.next_id();
        if client.out.is_empty() {
            self.dirty.push(connection);
        }
        let name = self.core.ledger.channel_name(channel);
        self.core.encoder.publish(id, name, stamp, size, &mut client.out);
        self.core.published += 1;
    }

    /// Sends what is queued, waits up to `wait` for something to happen, and handles it.
    pub fn turn(&mut self, wait: Duration) -> Result<()> {
        let Self { poll, events, timer, connections, dirty, core, .. } = self;
        for index in dirty.drain(..) {
            if connections[index].is_live()
                && let Err(error) = connections[index].flush()
            {
                core.close(&mut connections[index], &error);
            }
        }
        match poll.poll(events, Some(wait)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            other => other.context("wait for events")?,
        }
        for event in events.iter() {
            if event.token() == TIMER {
                if let Some(timer) = timer {
                    // Only the wake-up matters, not how often the timer expired.
                    let _ = rustix::io::read(timer, &mut [0; 8]);
                }
                continue;
            }
            let client = &mut connections[event.token().0];
            if client.phase == Phase::Closed {
                continue;
            }
            let outcome =
                core.handle(client, event.is_readable(), event.is_writable(), event.is_read_closed());
            if let Err(error) = outcome {
                core.close(client, &error);
            }
        }
        Ok(())
    }

    /// Runs turns until nothing is outstanding; gives up after five seconds without any progress.
    pub fn drain(&mut self) -> Result<()> {
        let mut progress = (Instant::now(), self.core.ledger.delivered(), self.core.acknowledged);
        while self.core.ledger.outstanding() > 0 || self.core.acknowledged < self.core.published {
            self.turn(Duration::from_millis(20))?;
            let now = (self.core.ledger.delivered(), self.core.acknowledged);
            if now != (progress.1, progress.2) {
                progress = (Instant::now(), now.0, now.1);
            } else if progress.0.elapsed() > STALL_LIMIT {
                break;
            }
        }
        Ok(())
    }

    /// Ends the run: waits for what is outstanding and counts what never came.
    pub fn finish(&mut self) -> Result<()> {
        self.drain()?;
        let core = &mut self.core;
        for client in &self.connections {
            if let Some(channel) = client.plan.channel
                && client.phase >= Phase::Ready
            {
                core.ledger.close_cursor(channel, &client.cursor);
            }
        }
        core.ledger.faults_mut().failed_requests += core.published - core.acknowledged;
        Ok(())
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        for client in &self.connections {
            // Resetting leaves no port in TIME_WAIT, of which a few idle runs would use up all.
            let _ = socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl Core {
    fn handle(&mut self, client: &mut Connection, readable: bool, writable: bool, ended: bool) -> Result<()> {
        if client.phase == Phase::Connecting {
            if let Some(error) = client.stream.take_error()? {
                return Err(error).context("connect");
            }
            if !writable || client.stream.peer_addr().is_err() {
                return Ok(());
            }
            // Frames are small and must leave at once.
            client.stream.set_nodelay(true)?;
            let endpoint = &self.target.websocket;
            client.out = websocket::upgrade_request(&endpoint.host, &endpoint.path, self.target.protocol);
            client.phase = Phase::Upgrading;
        }
        if writable && !client.out.is_empty() {
            client.flush()?;
        }
        if !readable && !ended {
            return Ok(());
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let outcome = self.receive(client, &mut scratch, ended);
        self.scratch = scratch;
        outcome?;
        if !client.out.is_empty() {
            client.flush()?;
        }
        Ok(())
    }

    fn receive(&mut self, client: &mut Connection, scratch: &mut [u8], ended: bool) -> Result<()> {
        loop {
            match client.read(scratch)? {
                Arrival::Nothing => return Ok(()),
                Arrival::End => bail!("closed by the server"),
                Arrival::Bytes(count) => {
                    self.traffic.reads += 1;
                    self.consume(client, &scratch[..count])?;
                    // A short read has emptied the socket: the next bytes raise a new event.
                    if count < scratch.len() && !ended {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn consume(&mut self, client: &mut Connection, bytes: &[u8]) -> Result<()> {
        let now_ns = self.clock.now_ns();
        if client.partial.is_empty() {
            let used = self.frames(client, bytes, now_ns)?;
            client.partial.extend_from_slice(&bytes[used..]);
        } else {
            let mut joined = std::mem::take(&mut client.partial);
            joined.extend_from_slice(bytes);
            let used = self.frames(client, &joined, now_ns)?;
            if used < joined.len() {
                joined.drain(..used);
                client.partial = joined;
            }
        }
        Ok(())
    }

    fn frames(&mut self, client: &mut Connection, bytes: &[u8], now_ns: u64) -> Result<usize> {
        let mut used = 0;
        if client.phase == Phase::Upgrading {
            let Some(length) = websocket::parse_upgrade(bytes)? else {
                return Ok(0);
            };
            used = length;
            let id = client.next_id();
            self.encoder.connect(id, &client.plan.token, &mut client.out);
            client.phase = Phase::Authenticating;
        }
        while let Some(frame) = websocket::parse_frame(&bytes[used..])? {
            used += frame.length;
            match frame.opcode {
                opcode::TEXT | opcode::BINARY => self.messages(client, frame.payload, now_ns)?,
                opcode::PING => websocket::write_frame(opcode::PONG, frame.payload, &mut client.out),
                opcode::CLOSE => return Err(close_reason(frame.payload)),
                _ => {}
            }
        }
        Ok(used)
    }

    fn messages(&mut self, client: &mut Connection, payload: &[u8], now_ns: u64) -> Result<()> {
        let Self {
            target, ledger, encoder, scanner, traffic, ready, acknowledged, ready_time, problems, ..
        } = self;
        let mut publications = 0;
        reply::decode(target.protocol, scanner, payload, |message| {
            match message {
                Message::Publication(stamp) => {
                    publications += 1;
                    ledger.deliver(client.plan.channel, &mut client.cursor, stamp, now_ns);
                }
                Message::Ping => encoder.pong(&mut client.out),
                Message::Published => *acknowledged += 1,
                Message::Connected => {
                    if let Some(channel) = client.plan.channel {
                        let id = client.next_id();
                        let name = ledger.channel_name(channel);
                        encoder.subscribe(id, name, client.plan.recover.as_ref(), &mut client.out);
                        client.phase = Phase::Subscribing;
                    } else {
                        client.phase = Phase::Ready;
                    }
                }
                Message::Subscribed(subscribed) => {
                    if let Some(channel) = client.plan.channel {
                        accept(ledger, client, channel, subscribed, now_ns)?;
                    }
                    client.phase = Phase::Ready;
                }
                Message::Refused { code, message } if client.phase < Phase::Ready => {
                    bail!("refused while {:?} with {code} {message:?}", client.phase);
                }
                Message::Refused { code, message } => {
                    *acknowledged += 1;
                    ledger.faults_mut().failed_requests += 1;
                    note(problems, format!("publish refused with {code} {message:?}"));
                }
                Message::Ended(how) => bail!(how),
                Message::Other => {}
            }
            if client.phase == Phase::Ready && client.opened_ns != u64::MAX {
                *ready += 1;
                ready_time.saturating_record(now_ns.saturating_sub(client.opened_ns));
                client.opened_ns = u64::MAX;
            }
            Ok(())
        })?;
        traffic.frames += u64::from(publications > 0);
        Ok(())
    }

    fn close(&mut self, client: &mut Connection, error: &anyhow::Error) {
        note(&mut self.problems, format!("{error:#} (while {:?})", client.phase));
        client.phase = Phase::Closed;
        self.closed += 1;
        self.ledger.faults_mut().disconnects += 1;
        // The socket stays registered until the swarm ends; a closed one raises no further events worth handling.
        let _ = client.stream.shutdown(std::net::Shutdown::Both);
    }
}

fn accept(
    ledger: &mut Ledger,
    client: &mut Connection,
    channel: ChannelIndex,
    subscribed: Subscribed,
    now_ns: u64,
) -> Result<()> {
    client.position = subscribed.position;
    match &client.plan.recover {
        Some(position) => {
            if !subscribed.recovered {
                bail!("not recovered from offset {}", position.offset);
            }
            client.cursor = Cursor::starting_at(position.offset + 1);
            for stamp in subscribed.recovered_stamps {
                ledger.deliver(Some(channel), &mut client.cursor, stamp, now_ns);
            }
        }
        None => client.cursor = Cursor::starting_at(ledger.published(channel) + 1),
    }
    ledger.subscribed(channel);
    Ok(())
}

fn close_reason(payload: &[u8]) -> anyhow::Error {
    match payload {
        [high, low, reason @ ..] => {
            anyhow!("closed with {} {:?}", u16::from_be_bytes([*high, *low]), String::from_utf8_lossy(reason))
        }
        _ => anyhow!("closed without a code"),
    }
}

fn note(problems: &mut Vec<String>, text: String) {
    if problems.len() < KEPT_PROBLEMS && !problems.contains(&text) {
        problems.push(text);
    }
}
