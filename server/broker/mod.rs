//! Publishing, subscribing and history: the contract every engine fulfils.
//!
//! Owns the meaning of a stream: offsets that ascend by one, an epoch that names one life of the
//! stream, retention, idempotency and versions. Knows no client, no namespace and no encoding;
//! what it delivers goes to a [`Receiver`], which the hub is.

#[cfg(test)]
pub(crate) mod contract_tests;
mod memory;
mod nats;
mod redis;
mod redisnats;
mod types;

pub use memory::MemoryBroker;
pub use nats::{NatsBroker, NatsBrokerSettings, NatsRawMode};
pub use redis::{RedisBroker, RedisBrokerSettings};
pub use redisnats::RedisNatsBroker;
pub use types::{
    BrokerError, ClientInfo, Epoch, HistoryFilter, HistoryPage, MaybeReady, Publication, PublishOptions,
    PublishOutcome, StreamPosition, Tags,
};

use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Where an engine puts what arrives for this node's subscribers.
///
/// Order: for one channel the engine calls in stream order and never concurrently.
/// Blocking: implementations return at once and never call the engine back, which may hold a lock.
/// A receiver ignores channels without subscribers: an engine in the same process delivers those too.
pub trait Receiver: Send + Sync + 'static {
    /// A publication arrived. `position` is zero for channels without history. `previous` is the
    /// publication before it when the publisher asked for a delta and the stream still holds one.
    fn publication(
        &self,
        channel: &Arc<str>,
        publication: Arc<Publication>,
        position: StreamPosition,
        delta: bool,
        previous: Option<Arc<Publication>>,
    );
    /// A client joined `channel`, somewhere in the cluster.
    fn join(&self, channel: &Arc<str>, info: Arc<ClientInfo>);
    /// A client left `channel`, somewhere in the cluster.
    fn leave(&self, channel: &Arc<str>, info: Arc<ClientInfo>);
    /// Waits until subscribers have nearly caught up with what arrived before; at once when they are not far
    /// behind. An engine that reads from elsewhere waits for it between reads and without a lock, so that its
    /// source holds back; one that is called by publishers need not, since they wait before they call.
    fn room(&self) -> MaybeReady<()> {
        MaybeReady::ready(())
    }
    /// Publications of `channel` may have been missed, and from now on they arrive again: whoever has a position
    /// must compare it. An engine that cannot miss any never calls it.
    fn gap(&self, channel: &Arc<str>) {
        let _ = channel;
    }
}

/// An engine for publications.
///
/// Each method may answer at once or later ([`MaybeReady`]); dropping an answer that is still
/// pending does not undo the operation.
pub trait Broker: Send + Sync + 'static {
    /// Saves (when `options` keep history) and delivers one publication.
    ///
    /// Order: publications of one channel are delivered in the order of their offsets, from 1 without
    /// a gap; without history all offsets are zero.
    /// Retention: the newest `history_size` publications stay until `history_ttl` after the newest one;
    /// offset, epoch and version stay until `history_meta_ttl` after the last publish or read.
    /// What is not delivered (a known idempotency key, a version not above the stored one) changes
    /// nothing and is answered with success; keys are judged before versions.
    fn publish(
        &self,
        channel: &Arc<str>,
        data: Bytes,
        options: PublishOptions,
    ) -> MaybeReady<Result<PublishOutcome, BrokerError>>;
    /// Tells subscribers of `channel` that a client joined. At most once, no history.
    fn publish_join(&self, channel: &Arc<str>, info: Arc<ClientInfo>) -> MaybeReady<Result<(), BrokerError>>;
    /// Tells subscribers of `channel` that a client left. At most once, no history.
    fn publish_leave(&self, channel: &Arc<str>, info: Arc<ClientInfo>)
    -> MaybeReady<Result<(), BrokerError>>;
    /// Starts delivery of `channel` to this node. Called when the first local subscriber comes.
    fn subscribe(&self, channel: &Arc<str>) -> MaybeReady<Result<(), BrokerError>>;
    /// Ends delivery of `channel` to this node. Called some time after the last subscriber left.
    fn unsubscribe(&self, channel: &Arc<str>) -> MaybeReady<Result<(), BrokerError>>;
    /// Reads the stream. Reading creates the epoch of a stream that has none and renews its meta TTL
    /// (zero means forever).
    ///
    /// Order: forward, publications after `since`, or from the oldest kept when those are gone; in
    /// reverse, publications before `since`, or none when the one just before it is gone.
    ///
    /// # Errors
    /// `Unrecoverable` when `since` names another epoch; `ReverseFromZero` when `since` leaves nothing
    /// before it by construction: a retry cannot help in both.
    fn history(
        &self,
        channel: &Arc<str>,
        filter: HistoryFilter,
        meta_ttl: Duration,
    ) -> MaybeReady<Result<HistoryPage, BrokerError>>;
    /// Reads what a client missed after the offset `since` that comes back to a channel which is delivered to this node.
    /// As [`history`](Self::history), but what is on its way here may be left out: it is delivered after the answer.
    ///
    /// # Errors
    /// `Unavailable`.
    fn missed(
        &self,
        channel: &Arc<str>,
        since: u64,
        limit: Option<u64>,
        meta_ttl: Duration,
    ) -> MaybeReady<Result<HistoryPage, BrokerError>> {
        self.history(channel, HistoryFilter::after(since, limit), meta_ttl)
    }
    /// Removes retained publications; offset, epoch and version stay.
    fn remove_history(&self, channel: &Arc<str>) -> MaybeReady<Result<(), BrokerError>>;
    /// Why publications may not reach this node now, as far as the last seconds tell; none when they do.
    fn trouble(&self) -> Option<String> {
        None
    }
}
