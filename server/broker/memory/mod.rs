//! The embedded engine: streams in this process's memory, one node, nothing survives a restart.
//!
//! Channels are spread over stripes, each behind one lock. A publication is saved and handed to the
//! receiver under its stripe's lock: that is what keeps deliveries in the order of their offsets.
//! Time needs no timer: each access looks at the deadlines of what it touches, and a periodic
//! [`MemoryBroker::sweep`] frees what nobody touches any more.

mod deadlines;
#[cfg(test)]
mod model_tests;
mod results;
mod stream;
mod stripe;
#[cfg(test)]
mod tests;

use super::{
    Broker, BrokerError, ClientInfo, HistoryFilter, HistoryPage, MaybeReady, PublishOptions, PublishOutcome,
    Receiver,
};
use crate::seams::{Clock, Now};
use bytes::Bytes;
use deadlines::Tick;
use foldhash::quality::RandomState;
use parking_lot::Mutex;
use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use stripe::Stripe;

/// Stripes of the channel space. Many more than cores, so that two publishers rarely meet; few enough
/// for a sweep to visit all of them in microseconds.
const STRIPES: usize = 256;

/// Due entries freed before a sweep lets publishers of the stripe pass.
const SWEEP_BATCH: usize = 512;

/// The embedded broker.
///
/// Every call answers at once. Memory is bounded by what retention options allow: streams end with
/// their meta TTL and remembered results with theirs, as long as [`sweep`](Self::sweep) is called.
///
/// Source: `docs` "Engines", memory; protocol documentation, "History and recovery".
pub struct MemoryBroker {
    /// Set once, at construction or when the hub exists; read without a lock.
    receiver: OnceLock<Arc<dyn Receiver>>,
    clock: Arc<dyn Clock>,
    /// Ticks count from here.
    origin: Instant,
    /// Seeded at random: clients choose channel names.
    hasher: RandomState,
    /// A lock is held for the time of one map access and one call of the receiver, which returns at
    /// once; two stripes are never locked together.
    stripes: Box<[Padded]>,
}

/// Keeps neighbouring locks out of one cache line.
#[repr(align(128))]
#[derive(Default)]
struct Padded(Mutex<Stripe>);

impl MemoryBroker {
    /// Creates an engine that delivers to `receiver`.
    pub fn new(receiver: Arc<dyn Receiver>, clock: Arc<dyn Clock>) -> Self {
        let broker = Self::detached(clock);
        broker.attach(receiver);
        broker
    }

    /// Creates an engine that saves but delivers nothing until [`attach`](Self::attach) is called.
    pub fn detached(clock: Arc<dyn Clock>) -> Self {
        Self {
            receiver: OnceLock::new(),
            origin: clock.now().instant,
            clock,
            hasher: RandomState::default(),
            stripes: (0..STRIPES).map(|_| Padded::default()).collect(),
        }
    }

    /// Names the receiver; answers whether it was accepted, which only the first is.
    pub fn attach(&self, receiver: Arc<dyn Receiver>) -> bool {
        self.receiver.set(receiver).is_ok()
    }

    /// Frees what expired by `now`. The application calls it about once a second; what reads and
    /// publishes see does not depend on it.
    pub fn sweep(&self, now: Now) {
        let now = self.tick(now);
        for stripe in &self.stripes {
            while stripe.0.lock().sweep(now, SWEEP_BATCH) {}
        }
    }

    /// Counts streams whose position is kept, with or without publications.
    pub fn stream_count(&self) -> usize {
        self.stripes.iter().map(|stripe| stripe.0.lock().stream_count()).sum()
    }

    /// Counts remembered results of publishes with an idempotency key.
    pub fn result_count(&self) -> usize {
        self.stripes.iter().map(|stripe| stripe.0.lock().result_count()).sum()
    }

    fn tick(&self, now: Now) -> Tick {
        Tick::since(self.origin, now.instant)
    }

    fn hash(&self, channel: &str) -> u64 {
        self.hasher.hash_one(channel)
    }

    /// Tables inside a stripe use the lowest and highest bits of the hash, stripes those between.
    fn stripe(&self, hash: u64) -> &Mutex<Stripe> {
        &self.stripes[(hash >> 40) as usize % STRIPES].0
    }
}

impl Broker for MemoryBroker {
    fn publish(
        &self,
        channel: &Arc<str>,
        data: Bytes,
        options: PublishOptions,
    ) -> MaybeReady<Result<PublishOutcome, BrokerError>> {
        let now = self.clock.now();
        let hash = self.hash(channel);
        let key_hash = match options.idempotency_key.as_str() {
            "" => None,
            key => Some(self.hasher.hash_one((&**channel, key))),
        };
        let receiver = self.receiver.get();
        let mut stripe = self.stripe(hash).lock();
        let outcome = stripe.publish(
            stripe::Publish { channel, hash, key_hash, data, options, now: self.tick(now), unix: now.unix },
            |publication, position, delta, previous| {
                if let Some(receiver) = receiver {
                    receiver.publication(channel, publication, position, delta, previous);
                }
            },
        );
        MaybeReady::ready(Ok(outcome))
    }

    fn publish_join(&self, channel: &Arc<str>, info: Arc<ClientInfo>) -> MaybeReady<Result<(), BrokerError>> {
        if let Some(receiver) = self.receiver.get() {
            let _in_order = self.stripe(self.hash(channel)).lock();
            receiver.join(channel, info);
        }
        MaybeReady::ready(Ok(()))
    }

    fn publish_leave(
        &self,
        channel: &Arc<str>,
        info: Arc<ClientInfo>,
    ) -> MaybeReady<Result<(), BrokerError>> {
        if let Some(receiver) = self.receiver.get() {
            let _in_order = self.stripe(self.hash(channel)).lock();
            receiver.leave(channel, info);
        }
        MaybeReady::ready(Ok(()))
    }

    /// Nothing to do: publisher and subscribers share the process, and the receiver knows who listens.
    fn subscribe(&self, _channel: &Arc<str>) -> MaybeReady<Result<(), BrokerError>> {
        MaybeReady::ready(Ok(()))
    }

    /// Nothing to do, as for subscribing.
    fn unsubscribe(&self, _channel: &Arc<str>) -> MaybeReady<Result<(), BrokerError>> {
        MaybeReady::ready(Ok(()))
    }

    fn history(
        &self,
        channel: &Arc<str>,
        filter: HistoryFilter,
        meta_ttl: Duration,
    ) -> MaybeReady<Result<HistoryPage, BrokerError>> {
        let since = filter.since.as_ref();
        if filter.reverse && since.is_some_and(|since| since.offset == 0) {
            return MaybeReady::ready(Err(BrokerError::ReverseFromZero));
        }
        let now = self.tick(self.clock.now());
        let hash = self.hash(channel);
        let page = self.stripe(hash).lock().history(channel, hash, &filter, meta_ttl, now);
        MaybeReady::ready(match since {
            Some(since) if !since.epoch.is_none() && since.epoch != page.position.epoch => {
                Err(BrokerError::Unrecoverable { wanted: since.epoch.as_str().to_owned() })
            }
            _ => Ok(page),
        })
    }

    fn remove_history(&self, channel: &Arc<str>) -> MaybeReady<Result<(), BrokerError>> {
        let hash = self.hash(channel);
        self.stripe(hash).lock().remove_history(channel, hash);
        MaybeReady::ready(Ok(()))
    }
}
