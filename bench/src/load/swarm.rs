//! Many clients on one thread: an event loop over raw sockets that opens, subscribes, publishes and checks.
//!
//! Owns sockets and the ledger. Knows no scenario: a scenario says what to open and publish, and calls [`Swarm::turn`].

use super::connection::{Connection, Phase, Plan};
use super::reception::Core;
use super::sources::Sources;
use crate::clock::Clock;
use crate::ledger::{ChannelIndex, Ledger};
use crate::target::Target;
use crate::wire::command::Position;
use crate::wire::payload::Shape;
use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

pub use super::connection::{Feed, Plan as ClientPlan};
pub use super::reception::Traffic;

const TIMER: Token = Token(usize::MAX);
/// Few enough that a due publication does not wait behind a long row of reads.
const EVENTS_PER_TURN: usize = 256;
/// A run that makes no progress for this long has lost something.
const STALL_LIMIT: Duration = Duration::from_secs(5);

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

impl Swarm {
    pub fn new(target: &Target, clock: Clock) -> Result<Self> {
        Ok(Self {
            poll: Poll::new().context("create an event queue")?,
            events: Events::with_capacity(EVENTS_PER_TURN),
            timer: None,
            sources: Sources::new(),
            connections: Vec::new(),
            dirty: Vec::new(),
            core: Core::new(target, clock),
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
        let mut stream = self.sources.connect(plan.transport.address(&self.core.target))?;
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
    pub fn publish(&mut self, connection: usize, channel: ChannelIndex, intended_ns: u64, shape: Shape) {
        let client = &mut self.connections[connection];
        let stamp = self.core.ledger.publish(channel, intended_ns);
        let id = client.next_id();
        if client.out.is_empty() {
            self.dirty.push(connection);
        }
        let name = self.core.ledger.channel_name(channel);
        self.core.encoder.publish(id, name, stamp, shape, &mut client.out);
        self.core.published += 1;
    }

    /// Queues one call of `method` by client `connection`, whose answer is due to itself.
    pub fn call(&mut self, connection: usize, method: &str, shape: Shape) {
        let client = &mut self.connections[connection];
        let Some(channel) = client.plan.channel else {
            return;
        };
        let stamp = self.core.ledger.publish(channel, self.core.clock.now_ns());
        let id = client.next_id();
        if client.out.is_empty() {
            self.dirty.push(connection);
        }
        self.core.encoder.rpc(id, method, stamp, shape, &mut client.out);
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
