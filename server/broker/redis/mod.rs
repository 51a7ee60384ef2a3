//! Redis as engine: streams and lists that outlive nodes, and publish/subscribe between them.
//!
//! Channels are spread over one or several Redis by a hash all nodes agree on. Offset, entry and message of a
//! publication are made by one script, so that subscribers of all nodes see one order. Names, values and messages
//! are those of Centrifugo, whose nodes can be part of the same cluster.

mod channels;
mod flights;
mod inlet;
mod keys;
mod recheck;
mod tails;
#[cfg(test)]
pub(super) mod tests;
mod wire;
mod witness;

use super::{
    Broker, BrokerError, ClientInfo, HistoryFilter, HistoryPage, MaybeReady, Publication, PublishOptions,
    PublishOutcome, Receiver, StreamPosition,
};
use crate::seams::{Clock, UnixMillis};
use crate::stores::redis::{Listener, Monitored, RedisError, Script, Shard, Subscription, shard_of, slot_of};
use bytes::Bytes;
use channels::Channels;
use flights::Flights;
use inlet::{Elsewhere, Inlet, Mouth};
use keys::{Keys, Layout};
use recheck::Recheck;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tails::Tails;
use witness::{Prints, Sighting, Witness};

/// How channels are kept in Redis.
#[derive(Clone, Debug)]
pub struct RedisBrokerSettings {
    /// Start of all names; nodes of one cluster share it.
    pub prefix: String,
    /// Keep history in lists instead of streams.
    pub use_lists: bool,
    /// Keep history, but leave delivery to another broker.
    pub skip_pub_sub: bool,
    /// Partitions of channels with sharded publish/subscribe of Redis Cluster; zero uses the ordinary one, which
    /// each node of the Cluster passes on to all others.
    pub partitions: usize,
    /// Identifier of this node, for the channel of its canaries.
    pub node: String,
}

/// The scripts, each named once.
struct Scripts {
    publish_stream: Script,
    publish_list: Script,
    publish_once: Script,
    read_stream: Script,
    read_list: Script,
    renew_epoch: Script,
}

/// What makes two reads of history equal.
type ReadKey = (Arc<str>, Option<u64>, Option<u64>, bool, Duration);

/// The broker on Redis.
///
/// Source: `docs/redis.md`.
pub struct RedisBroker {
    /// In configured order: the order decides which channel is where.
    shards: Vec<Arc<Channels>>,
    reads: Arc<Flights<ReadKey, Result<HistoryPage, RedisError>>>,
    inlet: Arc<Inlet>,
    clock: Arc<dyn Clock>,
    /// One for each shard; they end with the broker.
    _rechecks: Vec<Recheck>,
}

impl RedisBroker {
    /// Starts to listen on all `shards`; delivers nothing until [`attach`](Self::attach) is called.
    ///
    /// # Errors
    /// `Settings` when partitions are wanted of something that is no Redis Cluster.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn detached(
        shards: Vec<Shard>,
        settings: &RedisBrokerSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, RedisError> {
        if let Some(shard) = shards.iter().find(|shard| settings.partitions > 0 && !shard.is_cluster()) {
            let text = format!("sharded_pub_sub_partitions needs a redis cluster, {} is none", shard.name());
            return Err(RedisError::Settings(text.into()));
        }
        let scripts = Arc::new(Scripts {
            publish_stream: Script::new(include_str!("scripts/publish_stream.lua")),
            publish_list: Script::new(include_str!("scripts/publish_list.lua")),
            publish_once: Script::new(include_str!("scripts/publish_once.lua")),
            read_stream: Script::new(include_str!("scripts/read_stream.lua")),
            read_list: Script::new(include_str!("scripts/read_list.lua")),
            renew_epoch: Script::new(include_str!("scripts/renew_epoch.lua")),
        });
        let inlet = Arc::new(Inlet::default());
        let count = shards.len();
        let shards = shards.into_iter().enumerate();
        let shards = shards.map(|(index, shard)| channels(shard, (index, count), settings, &scripts, &inlet));
        let mut rechecks = Vec::new();
        let shards = shards.map(|channels| {
            let channels = Arc::new(channels);
            let watcher: Weak<Channels> = Arc::downgrade(&channels);
            channels.shard.watch(watcher);
            rechecks.push(Recheck::start(channels.clone(), inlet.clone()));
            channels
        });
        let shards = shards.collect();
        Ok(Self { shards, reads: Arc::default(), inlet, clock, _rechecks: rechecks })
    }

    /// Names the receiver; answers whether it was accepted, which only the first is.
    pub fn attach(&self, receiver: Arc<dyn Receiver>) -> bool {
        self.inlet.receiver.set(receiver).is_ok()
    }

    /// Names whoever delivers in place of Redis: it is told for which channels another server may answer than before,
    /// to compare positions. Answers whether it was accepted, which only the first is.
    pub(super) fn deliver_elsewhere(&self, elsewhere: Elsewhere) -> bool {
        self.inlet.elsewhere.set(elsewhere).is_ok()
    }

    /// Remembers a publication that was heard another way.
    pub(super) fn saw(&self, channel: &Arc<str>, publication: &Publication, position: &StreamPosition) {
        let shard = &self.shards[shard_of(channel, self.shards.len())];
        shard.witness.saw(channel, publication, position, Sighting::Overheard);
    }

    /// Publishes what was taken at `now`.
    pub(super) fn publish_at(
        &self,
        channel: &Arc<str>,
        data: Bytes,
        options: PublishOptions,
        now: UnixMillis,
    ) -> MaybeReady<Result<PublishOutcome, BrokerError>> {
        let (channels, channel) = (self.of(channel), channel.clone());
        MaybeReady::later(
            async move { channels.publish(&channel, data, options, now).await.map_err(unavailable) },
        )
    }

    fn of(&self, channel: &str) -> Arc<Channels> {
        self.shards[shard_of(channel, self.shards.len())].clone()
    }
}

/// Starts to listen on one shard.
fn channels(
    shard: Shard,
    place: (usize, usize),
    settings: &RedisBrokerSettings,
    scripts: &Arc<Scripts>,
    inlet: &Arc<Inlet>,
) -> Channels {
    let layout = match settings.partitions {
        0 if shard.is_cluster() => Layout::Cluster,
        0 => Layout::Plain,
        partitions => Layout::Partitions(partitions),
    };
    let keys = Keys::new(&settings.prefix, layout);
    let named = keys.clone();
    // Nodes of Centrifugo give what they send over NATS a time of its own.
    let prints = if settings.skip_pub_sub { Prints::OfData } else { Prints::OfDataAndTime };
    let witness = Witness::new(Box::new(move |channel| slot_of(&named.channel(channel))), prints);
    let witness = Arc::new(witness);
    let tails = Arc::<Tails>::default();
    let mouth = Mouth { inlet: inlet.clone(), witness: witness.clone(), tails: tails.clone() };
    let mouth: Arc<dyn Listener> = Arc::new(mouth);
    let listeners = if settings.skip_pub_sub { 0 } else { settings.partitions.max(1) };
    let listening = (0..listeners)
        .map(|partition| {
            let canary = keys.canary(&settings.node, partition);
            let slot = (settings.partitions > 0).then(|| slot_of(&canary));
            let subscription = Subscription { slot, role: "broker".into() };
            Monitored::start(shard.clone(), subscription, canary, mouth.clone())
        })
        .collect();
    let (settings, scripts, inlet) = (settings.clone(), scripts.clone(), inlet.clone());
    Channels { shard, keys, settings, scripts, listening, witness, tails, inlet, place }
}

/// Reads history; equal reads at the same time become one.
async fn shared(
    reads: &Arc<Flights<ReadKey, Result<HistoryPage, RedisError>>>,
    channels: Arc<Channels>,
    channel: Arc<str>,
    filter: HistoryFilter,
    meta_ttl: Duration,
) -> Result<HistoryPage, RedisError> {
    let offset = filter.since.as_ref().map(|since| since.offset);
    let key = (channel.clone(), filter.limit, offset, filter.reverse, meta_ttl);
    let read = move || {
        let (channels, channel, filter) = (channels.clone(), channel.clone(), filter.clone());
        async move { channels.history(&channel, &filter, meta_ttl).await }
    };
    reads.read(key, read).await
}

fn unavailable(error: RedisError) -> BrokerError {
    BrokerError::Unavailable(Box::new(error))
}

impl Broker for RedisBroker {
    fn publish(
        &self,
        channel: &Arc<str>,
        data: Bytes,
        options: PublishOptions,
    ) -> MaybeReady<Result<PublishOutcome, BrokerError>> {
        self.publish_at(channel, data, options, self.clock.now().unix)
    }

    fn publish_join(&self, channel: &Arc<str>, info: Arc<ClientInfo>) -> MaybeReady<Result<(), BrokerError>> {
        let (channels, channel) = (self.of(channel), channel.clone());
        MaybeReady::later(async move {
            channels.publish_presence(&channel, true, &info).await.map_err(unavailable)
        })
    }

    fn publish_leave(
        &self,
        channel: &Arc<str>,
        info: Arc<ClientInfo>,
    ) -> MaybeReady<Result<(), BrokerError>> {
        let (channels, channel) = (self.of(channel), channel.clone());
        MaybeReady::later(async move {
            channels.publish_presence(&channel, false, &info).await.map_err(unavailable)
        })
    }

    fn subscribe(&self, channel: &Arc<str>) -> MaybeReady<Result<(), BrokerError>> {
        let (channels, channel) = (self.of(channel), channel.clone());
        MaybeReady::later(async move { channels.subscribe(channel).await.map_err(unavailable) })
    }

    /// Takes the wish back at once; the server hears of it about a second later.
    fn unsubscribe(&self, channel: &Arc<str>) -> MaybeReady<Result<(), BrokerError>> {
        self.of(channel).unsubscribe(channel);
        MaybeReady::ready(Ok(()))
    }

    fn history(
        &self,
        channel: &Arc<str>,
        filter: HistoryFilter,
        meta_ttl: Duration,
    ) -> MaybeReady<Result<HistoryPage, BrokerError>> {
        let since = filter.since.clone();
        if filter.reverse && since.as_ref().is_some_and(|since| since.offset == 0) {
            return MaybeReady::ready(Err(BrokerError::ReverseFromZero));
        }
        let (channels, channel, reads) = (self.of(channel), channel.clone(), self.reads.clone());
        MaybeReady::later(async move {
            let page = shared(&reads, channels, channel, filter, meta_ttl).await.map_err(unavailable)?;
            match since {
                Some(since) if !since.epoch.is_none() && since.epoch != page.position.epoch => {
                    Err(BrokerError::Unrecoverable { wanted: since.epoch.as_str().to_owned() })
                }
                _ => Ok(page),
            }
        })
    }

    /// Many clients that come back at once ask for the same.
    fn missed(
        &self,
        channel: &Arc<str>,
        since: u64,
        limit: Option<u64>,
        meta_ttl: Duration,
    ) -> MaybeReady<Result<HistoryPage, BrokerError>> {
        let (channels, channel, reads) = (self.of(channel), channel.clone(), self.reads.clone());
        MaybeReady::later(async move {
            let filter = HistoryFilter::after(since, limit);
            let aside = shared(&reads, channels.clone(), channel.clone(), filter, meta_ttl);
            if channels.listening.is_empty() {
                // What arrives comes another way.
                return aside.await.map_err(unavailable);
            }
            let read = |since, limit| {
                let (filter, channels, channel) = (HistoryFilter::after(since, limit), &channels, &channel);
                async move { channels.history(channel, &filter, meta_ttl).await }
            };
            channels.tails.after(&channel, since, limit, read, aside).await.map_err(unavailable)
        })
    }

    fn remove_history(&self, channel: &Arc<str>) -> MaybeReady<Result<(), BrokerError>> {
        let (channels, channel) = (self.of(channel), channel.clone());
        MaybeReady::later(async move {
            let removed = channels.remove_history(&channel).await.map_err(unavailable);
            channels.tails.forget(&channel);
            removed
        })
    }

    fn trouble(&self) -> Option<String> {
        let blind: Vec<&str> = self
            .shards
            .iter()
            .filter(|channels| channels.listening.iter().any(|listening| !listening.delivers()))
            .map(|channels| &**channels.shard.name())
            .collect();
        (!blind.is_empty()).then(|| format!("messages do not arrive from redis {}", blind.join(", ")))
    }
}
