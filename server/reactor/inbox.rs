//! What other threads tell a shard.

use super::connection::{Handshake, Key};
use super::delivery::Delivery;
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
    Deliver(Arc<Delivery>),
    Answer(Box<Answered>),
    /// The top of a channel's stream, asked for by a position check.
    Top(Arc<str>, StreamPosition),
    /// Publications of a channel may have been missed.
    Gap(Arc<str>),
    Subscribe(Arc<SubscribeUser>),
    Unsubscribe(Arc<UnsubscribeUser>),
    Disconnect(Arc<DisconnectUser>),
    Refresh(Arc<RefreshUser>),
    Reload,
    Drain(Close),
    Stop,
}

/// A shard's mailbox.
///
/// One mutex that is held for a push or a swap only: publishers need order for each channel, which they get
/// from the broker, and the shard takes everything at once. Nothing bounds its length yet; see
/// `docs/decisions/0002-inbox.md`.
pub(super) struct Inbox {
    messages: Mutex<Vec<Message>>,
    /// The shard will look before it sleeps, so nobody needs to wake it.
    awake: AtomicBool,
    waker: mio::Waker,
}

impl Inbox {
    pub(super) fn new(registry: &mio::Registry) -> std::io::Result<Self> {
        Ok(Self {
            messages: Mutex::new(Vec::new()),
            awake: AtomicBool::new(false),
            waker: mio::Waker::new(registry, WAKE)?,
        })
    }

    /// Adds a message and wakes the shard if it sleeps.
    pub(super) fn push(&self, message: Message) {
        self.messages.lock().push(message);
        if !self.awake.swap(true, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "shard cannot be woken");
        }
    }

    /// Takes all messages; `empty` becomes the next buffer.
    pub(super) fn take(&self, empty: &mut Vec<Message>) {
        std::mem::swap(&mut *self.messages.lock(), empty);
    }

    /// Says that the shard is about to sleep; false when there is something to do after all.
    pub(super) fn may_sleep(&self) -> bool {
        self.awake.store(false, Ordering::SeqCst);
        if self.messages.lock().is_empty() {
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
