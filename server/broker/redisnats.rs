//! History in Redis, delivery over NATS.
//!
//! Redis decides offset, epoch, idempotency and versions of a publication; NATS carries it with its position to
//! all nodes. What a node publishes arrives in the order of offsets; two nodes that publish to one channel at the
//! same time may be overtaken on the way, which positions make visible to clients.
//!
//! Source: `broker.type` redisnats of Centrifugo v6.9.1, whose nodes can be part of the same cluster.

mod proof;
#[cfg(test)]
mod tests;

use super::{
    Broker, BrokerError, ClientInfo, HistoryFilter, HistoryPage, MaybeReady, NatsBroker, Publication,
    PublishOptions, PublishOutcome, Receiver, RedisBroker, StreamPosition,
};
use crate::seams::Clock;
use crate::stores::nats::NatsError;
use bytes::Bytes;
use futures_util::StreamExt;
use proof::Unproved;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

/// Locks that channels share. One is held while Redis numbers a publication and until it is in the queue of NATS, so
/// that publications of one channel, and the few that share its lock, wait for each other and no others do.
const LANES: usize = 512;

/// How often NATS has to prove that it took what was sent, and least time between two rounds of comparing.
const PROVE_EVERY: Duration = Duration::from_secs(1);

/// A broker over Redis and NATS.
#[derive(Clone)]
pub struct RedisNatsBroker {
    redis: Arc<RedisBroker>,
    nats: Arc<NatsBroker>,
    lanes: Arc<[Mutex<()>]>,
    hasher: RandomState,
    clock: Arc<dyn Clock>,
    unproved: Arc<Unproved>,
    _tasks: Arc<Tasks>,
}

/// Tasks that end with the broker.
struct Tasks([AbortHandle; 2]);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// Remembers what arrives, so that it can be told from what Redis says later.
struct Witnessing {
    redis: Arc<RedisBroker>,
    receiver: Arc<dyn Receiver>,
}

impl Receiver for Witnessing {
    fn publication(
        &self,
        channel: &Arc<str>,
        publication: Arc<Publication>,
        position: StreamPosition,
        delta: bool,
        previous: Option<Arc<Publication>>,
    ) {
        self.redis.saw(publication.channel.as_ref().unwrap_or(channel), &publication, &position);
        self.receiver.publication(channel, publication, position, delta, previous);
    }

    fn join(&self, channel: &Arc<str>, info: Arc<ClientInfo>) {
        self.receiver.join(channel, info);
    }

    fn leave(&self, channel: &Arc<str>, info: Arc<ClientInfo>) {
        self.receiver.leave(channel, info);
    }

    fn room(&self) -> MaybeReady<()> {
        self.receiver.room()
    }

    fn gap(&self, channel: &Arc<str>) {
        self.receiver.gap(channel);
    }
}

impl RedisNatsBroker {
    /// Joins both. `redis` must leave delivery to others
    /// ([`skip_pub_sub`](super::RedisBrokerSettings::skip_pub_sub)) and have no receiver.
    ///
    /// # Errors
    /// [`NatsError::Subscribe`].
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub async fn new(
        redis: Arc<RedisBroker>,
        nats: Arc<NatsBroker>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NatsError> {
        let lanes = (0..LANES).map(|_| Mutex::default()).collect();
        let delivering = Arc::downgrade(&nats);
        redis.deliver_elsewhere(Box::new(move |concerned| {
            let Some(nats) = delivering.upgrade() else { return };
            // Subscribed channels are known behind a lock that others hold for a while.
            tokio::spawn(async move { nats.compare(|channel| concerned(channel)).await });
        }));
        let unproved = Arc::<Unproved>::default();
        let asked = nats.hear_to_compare().await?;
        let tasks = [
            tokio::spawn(heed(asked, nats.clone())).abort_handle(),
            tokio::spawn(heal(nats.clone(), unproved.clone())).abort_handle(),
        ];
        let hasher = RandomState::new();
        Ok(Self { redis, nats, lanes, hasher, clock, unproved, _tasks: Arc::new(Tasks(tasks)) })
    }

    /// Names the receiver; answers whether it was accepted, which only the first is.
    pub fn attach(&self, receiver: Arc<dyn Receiver>) -> bool {
        let witnessing = Witnessing { redis: self.redis.clone(), receiver: receiver.clone() };
        self.redis.attach(receiver) && self.nats.attach(Arc::new(witnessing))
    }
}

/// Compares positions in channels that other nodes name.
async fn heed(mut asked: async_nats::Subscriber, nats: Arc<NatsBroker>) {
    while let Some(message) = asked.next().await {
        if let Ok(named) = std::str::from_utf8(&message.payload) {
            nats.compare(|channel| channel == named).await;
        }
    }
}

/// After a loss, compares positions in all channels of this node, because NATS keeps nothing; and asks all nodes to
/// compare them in channels whose publications may be lost on their way.
async fn heal(nats: Arc<NatsBroker>, unproved: Arc<Unproved>) {
    let (connection, mut healed) = (nats.connection(), nats.connection().healed());
    loop {
        tokio::time::sleep(PROVE_EVERY).await;
        let losses = connection.losses();
        let (provable, mut doubtful) = unproved.take(losses);
        if healed.has_changed().unwrap_or(false) {
            healed.mark_unchanged();
            // What comes after the subscriptions is heard, what came before is in the history.
            if connection.proved().await.is_ok() {
                nats.compare(|_| true).await;
            } else {
                healed.mark_changed();
            }
        }
        if !provable.is_empty() && connection.proved().await.is_err() {
            doubtful.extend(provable);
        }
        for channel in doubtful {
            // What is asked may be lost as well.
            let asked = nats.ask_to_compare(&channel).await.map(|()| connection.losses());
            unproved.sending(&channel, asked.unwrap_or(losses));
        }
    }
}

impl Broker for RedisNatsBroker {
    fn publish(
        &self,
        channel: &Arc<str>,
        data: Bytes,
        options: PublishOptions,
    ) -> MaybeReady<Result<PublishOutcome, BrokerError>> {
        if !self.nats.takes_publications(channel) {
            return MaybeReady::ready(Err(BrokerError::BadChannel(channel.to_string())));
        }
        if !options.keeps_history() && options.idempotency_key.is_empty() {
            return self.nats.publish(channel, data, options);
        }
        if !self.nats.connection().delivers() {
            // It would be kept and not heard.
            return MaybeReady::ready(Err(NatsError::Disconnected.into()));
        }
        let (broker, channel) = (self.clone(), channel.clone());
        MaybeReady::later(async move {
            let lane = usize::try_from(broker.hasher.hash_one(&channel) % LANES as u64).unwrap_or(0);
            let _turn = broker.lanes[lane].lock().await;
            // Read in the history and heard live, it is one publication with one time.
            let now = broker.clock.now().unix;
            let outcome = broker.redis.publish_at(&channel, data.clone(), options.clone(), now).await?;
            if outcome.from_cache || outcome.skipped {
                return Ok(outcome);
            }
            // It is in the history now. A publisher that heard of a failure would publish it a second time; subscribers
            // are told to compare their positions.
            broker.unproved.sending(&channel, broker.nats.connection().losses());
            if let Err(error) = broker.nats.publish_at(&channel, data, options, &outcome.position, now).await
            {
                tracing::warn!(%error, %channel, "publication is kept and could not be sent over nats");
            }
            Ok(outcome)
        })
    }

    fn publish_join(&self, channel: &Arc<str>, info: Arc<ClientInfo>) -> MaybeReady<Result<(), BrokerError>> {
        self.nats.publish_join(channel, info)
    }

    fn publish_leave(
        &self,
        channel: &Arc<str>,
        info: Arc<ClientInfo>,
    ) -> MaybeReady<Result<(), BrokerError>> {
        self.nats.publish_leave(channel, info)
    }

    fn subscribe(&self, channel: &Arc<str>) -> MaybeReady<Result<(), BrokerError>> {
        self.nats.subscribe(channel)
    }

    fn unsubscribe(&self, channel: &Arc<str>) -> MaybeReady<Result<(), BrokerError>> {
        self.nats.unsubscribe(channel)
    }

    fn history(
        &self,
        channel: &Arc<str>,
        filter: HistoryFilter,
        meta_ttl: Duration,
    ) -> MaybeReady<Result<HistoryPage, BrokerError>> {
        self.redis.history(channel, filter, meta_ttl)
    }

    fn remove_history(&self, channel: &Arc<str>) -> MaybeReady<Result<(), BrokerError>> {
        self.redis.remove_history(channel)
    }

    fn trouble(&self) -> Option<String> {
        self.nats.trouble()
    }
}
