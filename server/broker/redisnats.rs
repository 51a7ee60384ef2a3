//! History in Redis, delivery over NATS.
//!
//! Redis decides offset, epoch, idempotency and versions of a publication; NATS carries it with its position to
//! all nodes. What a node publishes arrives in the order of offsets; two nodes that publish to one channel at the
//! same time may be overtaken on the way, which positions make visible to clients.
//!
//! Source: `broker.type` redisnats of Centrifugo v6.9.1, whose nodes can be part of the same cluster.

#[cfg(test)]
mod tests;

use super::{
    Broker, BrokerError, ClientInfo, HistoryFilter, HistoryPage, MaybeReady, NatsBroker, PublishOptions,
    PublishOutcome, Receiver, RedisBroker,
};
use crate::seams::Clock;
use bytes::Bytes;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Locks that channels share. One is held while Redis numbers a publication and until it is in the queue of NATS, so
/// that publications of one channel, and the few that share its lock, wait for each other and no others do.
const LANES: usize = 512;

/// A broker over Redis and NATS.
#[derive(Clone)]
pub struct RedisNatsBroker {
    redis: Arc<RedisBroker>,
    nats: Arc<NatsBroker>,
    lanes: Arc<[Mutex<()>]>,
    hasher: RandomState,
    clock: Arc<dyn Clock>,
}

impl RedisNatsBroker {
    /// Joins both. `redis` must leave delivery to others
    /// ([`skip_pub_sub`](super::RedisBrokerSettings::skip_pub_sub)).
    pub fn new(redis: Arc<RedisBroker>, nats: Arc<NatsBroker>, clock: Arc<dyn Clock>) -> Self {
        let lanes = (0..LANES).map(|_| Mutex::default()).collect();
        Self { redis, nats, lanes, hasher: RandomState::new(), clock }
    }

    /// Names the receiver; answers whether it was accepted, which only the first is.
    pub fn attach(&self, receiver: Arc<dyn Receiver>) -> bool {
        self.nats.attach(receiver)
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
            // It is in the history now. A publisher that heard of a failure would publish it a second time;
            // subscribers find out by their positions.
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
