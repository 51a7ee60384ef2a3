//! What other threads tell a shard.

use super::application::FeedNews;
use super::body::Pipe;
use super::connection::{Handshake, Key};
use super::delivery::Delivery;
use super::pressure::{Load, Pressure};
use crate::broker::StreamPosition;
use crate::node::{DisconnectUser, RefreshUser, SubscribeUser, UnsubscribeUser};
use crate::session::{Answer, Close, Ticket};
use parking_lot::Mutex;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The event token of the waker.
pub(super) const WAKE: mio::Token = mio::Token(usize::MAX);

/// An answer that came from the runtime.
pub struct Answered {
    pub(super) key: Key,
    pub(super) ticket: Ticket,
    pub(super) answer: Answer,
}

/// One thing told to a shard.
pub(super) enum Message {
    Accept(TcpStream, Box<Handshake>),
    AcceptTls(TcpStream, Box<rustls::ServerConnection>, Box<Handshake>),
    AcceptBody(Arc<Pipe>, Box<Handshake>),
    /// Something happened at the other end of a pipe.
    Stirred(Key),
    Deliver(Arc<Delivery>),
    Answer(Box<Answered>),
    /// A stream of the application for the subscription asked for with this ticket.
    Feed(Key, Ticket, Box<FeedNews>),
    /// The runtime panicked while it looked for an answer for this connection.
    Unanswered(Key),
    /// The top of a channel's stream, asked for by a position check.
    Top(Arc<str>, StreamPosition),
    /// The same, asked for after a gap, and the highest place subscribers had before it was.
    TopAfterGap(Arc<str>, StreamPosition, StreamPosition),
    /// Publications of a channel may have been missed.
    Gap(Arc<str>),
    Subscribe(Arc<SubscribeUser>),
    Unsubscribe(Arc<UnsubscribeUser>),
    Disconnect(Arc<DisconnectUser>),
    Refresh(Arc<RefreshUser>),
    Reload,
    Drain(Close),
    /// Ends new connections, and so many of those that stand.
    Shed(Close, usize),
    Stop,
}

impl Message {
    /// What it adds to the deliveries that wait.
    pub(super) fn load(&self) -> Load {
        match self {
            Self::Deliver(delivery) => delivery.load(),
            _ => Load::default(),
        }
    }
}

/// A shard's mailbox.
///
/// One mutex that is held for a push or a swap only: publishers need order for each channel, which they get
/// from the broker, and the shard takes everything at once. It takes all that is pushed; when deliveries
/// pile up, publishers are held back before they push more ([`Pressure`]).
pub(super) struct Inbox {
    queue: Mutex<Queue>,
    pressure: Arc<Pressure>,
    /// The shard will look before it sleeps, so nobody needs to wake it.
    awake: AtomicBool,
    waker: mio::Waker,
}

#[derive(Default)]
struct Queue {
    messages: Vec<Message>,
    /// Deliveries among `messages`.
    load: Load,
    /// Deliveries that the shard took and had not handled when it last took some.
    taken: Load,
    /// Counted as behind.
    behind: bool,
}

impl Inbox {
    pub(super) fn new(registry: &mio::Registry, pressure: Arc<Pressure>) -> std::io::Result<Self> {
        Ok(Self {
            queue: Mutex::default(),
            pressure,
            awake: AtomicBool::new(false),
            waker: mio::Waker::new(registry, WAKE)?,
        })
    }

    /// Adds a message and wakes the shard if it sleeps.
    pub(super) fn push(&self, message: Message) {
        {
            let mut queue = self.queue.lock();
            queue.load += message.load();
            queue.messages.push(message);
            if !queue.behind && (queue.load + queue.taken).is_high() {
                queue.behind = true;
                self.pressure.rise();
            }
        }
        if !self.awake.swap(true, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "shard cannot be woken");
        }
    }

    /// Takes all messages; `empty` becomes the next buffer. `unhandled` is what is left of those taken before.
    /// Returns what is left with the new ones.
    pub(super) fn take(&self, empty: &mut Vec<Message>, unhandled: Load) -> Load {
        let mut queue = self.queue.lock();
        std::mem::swap(&mut queue.messages, empty);
        queue.taken = unhandled + std::mem::take(&mut queue.load);
        if queue.behind && queue.taken.is_low() {
            queue.behind = false;
            self.pressure.fall();
        }
        queue.taken
    }

    /// Says that the shard is about to sleep; false when there is something to do after all.
    pub(super) fn may_sleep(&self) -> bool {
        self.awake.store(false, Ordering::SeqCst);
        if self.queue.lock().messages.is_empty() {
            return true;
        }
        self.awake.store(true, Ordering::SeqCst);
        false
    }

    /// Says that the shard woke up.
    pub(super) fn woke(&self) {
        self.awake.store(true, Ordering::SeqCst);
    }
}
