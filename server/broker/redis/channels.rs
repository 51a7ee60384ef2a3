//! What is asked of one Redis about its channels.

use super::inlet::Inlet;
use super::keys::Keys;
use super::tails::Tails;
use super::wire::{read_positioned, read_publication, write_presence, write_publication};
use super::witness::{Seen, Sighting, Witness};
use super::{RedisBrokerSettings, Scripts};
use crate::broker::{
    ClientInfo, Epoch, HistoryFilter, HistoryPage, Publication, PublishOptions, PublishOutcome,
    StreamPosition,
};
use crate::seams::{UnixMillis, random_epoch};
use crate::stores::redis::{Command, Monitored, RedisError, Shard, Slots, Value, Watcher, shard_of, slot_of};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long an idempotency key is remembered when the publisher does not say.
const DEFAULT_RESULT_TTL: Duration = Duration::from_secs(300);

/// What became of a stream in which something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is the same.
    Same,
    /// It had lost something, and got a new epoch now.
    Renewed,
    /// It has another epoch: it is over, or another node found out first.
    Replaced,
}

/// The channels that are kept on one Redis.
pub(super) struct Channels {
    pub(super) shard: Shard,
    pub(super) keys: Keys,
    pub(super) settings: RedisBrokerSettings,
    pub(super) scripts: Arc<Scripts>,
    /// One for each partition; none when publications come another way.
    pub(super) listening: Vec<Monitored>,
    pub(super) witness: Arc<Witness>,
    pub(super) tails: Arc<Tails>,
    pub(super) inlet: Arc<Inlet>,
    /// Which of how many shards this is.
    pub(super) place: (usize, usize),
}

impl Watcher for Channels {
    fn turned(&self, slots: &Slots) {
        self.witness.doubt(slots);
        self.tails.forget_all();
        if let Some(elsewhere) = self.inlet.elsewhere.get() {
            let ((index, count), keys, slots) = (self.place, self.keys.clone(), slots.clone());
            elsewhere(Arc::new(move |channel| {
                shard_of(channel, count) == index && slots.has(slot_of(&keys.channel(channel)))
            }));
        } else if self.shard.is_cluster() && self.settings.partitions == 0 {
            // Messages come through another node than the one that took them. When that one dies they may be kept
            // and not on their way yet.
            self.listening.iter().for_each(|listening| listening.missed(slots));
        }
    }
}

/// Whole seconds, at least one: zero would remove what is to be kept.
fn seconds(ttl: Duration) -> u64 {
    (ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)).max(1)
}

/// Whole seconds, and zero for ever.
fn meta_seconds(ttl: Duration) -> u64 {
    if ttl.is_zero() { 0 } else { seconds(ttl) }
}

impl Channels {
    pub(super) async fn publish(
        &self,
        channel: &Arc<str>,
        data: Bytes,
        mut options: PublishOptions,
        now: UnixMillis,
    ) -> Result<PublishOutcome, RedisError> {
        let keeps_history = options.keeps_history();
        let publication = Publication {
            offset: 0,
            data,
            info: options.info.take(),
            tags: options.tags.take(),
            time: now.0.cast_signed(),
            version: options.version,
            channel: None,
        };
        let body = write_publication(&publication, options.delta && !keeps_history);
        let redis_channel =
            if self.settings.skip_pub_sub { Bytes::new() } else { self.keys.channel(channel) };
        if keeps_history {
            let asked = Sighting::Answered(Instant::now());
            let outcome = self.publish_kept(channel, &redis_channel, &body, &options).await?;
            if !outcome.from_cache && !outcome.skipped {
                self.witness.saw(channel, &publication, &outcome.position, asked);
            }
            return Ok(outcome);
        }
        if options.idempotency_key.is_empty() {
            if !redis_channel.is_empty() {
                let command = Command::new([self.publish_verb(), &redis_channel, &body]);
                self.shard.request(&redis_channel, &command).await?;
            }
            return Ok(PublishOutcome::default());
        }
        let result = self.keys.result(channel, &options.idempotency_key);
        let mut ttl = itoa::Buffer::new();
        let arguments = [&body, &redis_channel[..], self.publish_verb(), result_ttl(&options, &mut ttl)];
        let known = self.shard.run(&self.scripts.publish_once, &[&result], &arguments).await?;
        Ok(PublishOutcome { from_cache: known.as_integer() == Some(1), ..PublishOutcome::default() })
    }

    async fn publish_kept(
        &self,
        channel: &str,
        redis_channel: &[u8],
        body: &[u8],
        options: &PublishOptions,
    ) -> Result<PublishOutcome, RedisError> {
        let (script, log, meta, size) = if self.settings.use_lists {
            let (log, meta) = (self.keys.list(channel), self.keys.list_meta(channel));
            (&self.scripts.publish_list, log, meta, options.history_size - 1)
        } else {
            let (log, meta) = (self.keys.stream(channel), self.keys.stream_meta(channel));
            (&self.scripts.publish_stream, log, meta, options.history_size)
        };
        let result = self.keys.result(channel, &options.idempotency_key);
        let [mut size_text, mut ttl, mut meta_ttl, mut result_text, mut version] =
            std::array::from_fn(|_| itoa::Buffer::new());
        let epoch = random_epoch();
        let arguments = [
            body,
            size_text.format(size).as_bytes(),
            ttl.format(seconds(options.history_ttl)).as_bytes(),
            redis_channel,
            meta_ttl.format(meta_seconds(options.history_meta_ttl)).as_bytes(),
            epoch.as_bytes(),
            self.publish_verb(),
            result_ttl(options, &mut result_text),
            if options.delta { b"1" } else { b"" },
            version.format(options.version).as_bytes(),
            options.version_epoch.as_bytes(),
        ];
        // A key that is never there would make a Cluster refuse the script while the slot moves.
        let keys: &[&[u8]] =
            if options.idempotency_key.is_empty() { &[&log, &meta] } else { &[&log, &meta, &result] };
        let reply = self.shard.run(script, keys, &arguments).await?;
        let fields = reply.into_list().ok_or(RedisError::Unexpected("answer to a publish"))?;
        let [offset, epoch, known, skipped] =
            <[Value; 4]>::try_from(fields).map_err(|_| RedisError::Unexpected("answer to a publish"))?;
        Ok(PublishOutcome {
            position: position(&offset, &epoch)?,
            from_cache: known.as_integer() == Some(1),
            skipped: skipped.as_integer() == Some(1),
        })
    }

    pub(super) async fn publish_presence(
        &self,
        channel: &str,
        joined: bool,
        info: &ClientInfo,
    ) -> Result<(), RedisError> {
        if self.settings.skip_pub_sub {
            return Ok(());
        }
        let redis_channel = self.keys.channel(channel);
        let body = write_presence(joined, info);
        let command = Command::new([self.publish_verb(), &redis_channel, &body]);
        self.shard.request(&redis_channel, &command).await.map(drop)
    }

    pub(super) async fn subscribe(&self, channel: Arc<str>) -> Result<(), RedisError> {
        match self.listening.get(self.keys.partition(&channel)) {
            Some(listening) => listening.subscriber().subscribe(self.keys.channel(&channel), channel).await,
            None => Ok(()),
        }
    }

    pub(super) fn unsubscribe(&self, channel: &str) {
        self.tails.forget(channel);
        if let Some(listening) = self.listening.get(self.keys.partition(channel)) {
            listening.subscriber().unsubscribe(&self.keys.channel(channel));
        }
    }

    pub(super) async fn remove_history(&self, channel: &str) -> Result<(), RedisError> {
        let key = if self.settings.use_lists { self.keys.list(channel) } else { self.keys.stream(channel) };
        self.shard.request(&key, &Command::new([&b"DEL"[..], &key])).await.map(drop)
    }

    /// Reads history; the epoch of `filter` is not compared.
    pub(super) async fn history(
        &self,
        channel: &str,
        filter: &HistoryFilter,
        meta_ttl: Duration,
    ) -> Result<HistoryPage, RedisError> {
        if self.settings.use_lists {
            return self.read_list(channel, filter, meta_ttl).await;
        }
        let since = filter.since.as_ref().map(|since| since.offset);
        let (log, meta) = (self.keys.stream(channel), self.keys.stream_meta(channel));
        let [mut from_text, mut limit_text, mut ttl_text] = std::array::from_fn(|_| itoa::Buffer::new());
        let from = match (since, filter.reverse) {
            (None, false) => "-",
            (None, true) => "+",
            (Some(since), false) => from_text.format(since.saturating_add(1)),
            (Some(since), true) => from_text.format(since.saturating_sub(1)),
        };
        // An offset of zero is none; going back from it there is nothing.
        let nothing = filter.limit == Some(0) || (filter.reverse && since.is_some_and(|since| since <= 1));
        let limit = filter.limit.map_or("", |limit| limit_text.format(limit));
        let epoch = random_epoch();
        let arguments = [
            if nothing { &b"0"[..] } else { b"1" },
            from.as_bytes(),
            limit.as_bytes(),
            if filter.reverse { b"1" } else { b"0" },
            ttl_text.format(meta_seconds(meta_ttl)).as_bytes(),
            epoch.as_bytes(),
        ];
        let reply = self.shard.run(&self.scripts.read_stream, &[&log, &meta], &arguments).await?;
        let (position, entries) = page(reply)?;
        let publications = entries.into_iter().map(stream_entry).collect::<Result<_, _>>()?;
        Ok(HistoryPage { publications, position })
    }

    async fn read_list(
        &self,
        channel: &str,
        filter: &HistoryFilter,
        meta_ttl: Duration,
    ) -> Result<HistoryPage, RedisError> {
        let (log, meta) = (self.keys.list(channel), self.keys.list_meta(channel));
        let mut ttl = itoa::Buffer::new();
        let epoch = random_epoch();
        let arguments = [
            if filter.limit == Some(0) { &b"0"[..] } else { b"1" },
            ttl.format(meta_seconds(meta_ttl)).as_bytes(),
            epoch.as_bytes(),
        ];
        let reply = self.shard.run(&self.scripts.read_list, &[&log, &meta], &arguments).await?;
        let (position, entries) = page(reply)?;
        let since = filter.since.as_ref().map(|since| since.offset);
        let mut publications: Vec<Arc<Publication>> = Vec::new();
        for entry in entries {
            let publication = list_entry(entry)?;
            let wanted = since.is_none_or(|since| {
                if filter.reverse { publication.offset < since } else { publication.offset > since }
            });
            if wanted {
                publications.push(publication);
            }
        }
        if !filter.reverse {
            publications.reverse();
        }
        if let Some(limit) = filter.limit {
            publications.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        Ok(HistoryPage { publications, position })
    }

    /// Whether the stream is another than the one in which something was seen. When it bears its name nevertheless, it
    /// gets a new epoch, so that everybody learns of it.
    pub(super) async fn fate(&self, channel: &Arc<str>, seen: &Seen) -> Result<Fate, RedisError> {
        let filter = HistoryFilter::after(seen.offset - 1, Some(1));
        let page = self.history(channel, &filter, Duration::ZERO).await?;
        let there = page.publications.first().map(|there| &**there);
        if !self.witness.contradicts(seen, &page.position, there) {
            let same = page.position.epoch == seen.epoch;
            return Ok(if same { Fate::Same } else { Fate::Replaced });
        }
        let lists = self.settings.use_lists;
        let meta = if lists { self.keys.list_meta(channel) } else { self.keys.stream_meta(channel) };
        let (old, fresh) = (seen.epoch.as_str().as_bytes(), random_epoch());
        let renewed = self.shard.run(&self.scripts.renew_epoch, &[&meta], &[old, fresh.as_bytes()]).await?;
        Ok(if renewed.as_integer() == Some(1) { Fate::Renewed } else { Fate::Replaced })
    }

    fn publish_verb(&self) -> &'static [u8] {
        if self.settings.partitions > 0 { b"SPUBLISH" } else { b"PUBLISH" }
    }
}

/// Empty when there is no idempotency key.
fn result_ttl<'a>(options: &PublishOptions, buffer: &'a mut itoa::Buffer) -> &'a [u8] {
    if options.idempotency_key.is_empty() {
        return b"";
    }
    let ttl = options.idempotency_ttl;
    buffer.format(seconds(if ttl.is_zero() { DEFAULT_RESULT_TTL } else { ttl })).as_bytes()
}

fn position(offset: &Value, epoch: &Value) -> Result<StreamPosition, RedisError> {
    let offset = offset.as_integer().and_then(|offset| u64::try_from(offset).ok());
    let (Some(offset), Some(epoch)) = (offset, epoch.as_str()) else {
        return Err(RedisError::Unexpected("position"));
    };
    Ok(StreamPosition { offset, epoch: Epoch::from(epoch) })
}

/// Takes an answer to a read apart: position and entries.
fn page(reply: Value) -> Result<(StreamPosition, Vec<Value>), RedisError> {
    let fields = reply.into_list().ok_or(RedisError::Unexpected("history"))?;
    let [offset, epoch, entries] =
        <[Value; 3]>::try_from(fields).map_err(|_| RedisError::Unexpected("history"))?;
    Ok((position(&offset, &epoch)?, entries.into_list().unwrap_or_default()))
}

fn stream_entry(entry: Value) -> Result<Arc<Publication>, RedisError> {
    const WRONG: RedisError = RedisError::Unexpected("entry of a stream");
    let [id, fields] = <[Value; 2]>::try_from(entry.into_list().ok_or(WRONG)?).map_err(|_| WRONG)?;
    let offset = id.as_str().and_then(|id| id.split('-').next()?.parse().ok()).ok_or(WRONG)?;
    let mut fields = fields.into_list().ok_or(WRONG)?.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        if name.as_str() == Some("d") {
            let body = value.into_text().ok_or(WRONG)?;
            return read_publication(body, offset).map(Arc::new).map_err(|_| WRONG);
        }
    }
    Err(WRONG)
}

fn list_entry(entry: Value) -> Result<Arc<Publication>, RedisError> {
    const WRONG: RedisError = RedisError::Unexpected("entry of a list");
    let (position, body) = read_positioned(entry.into_text().ok_or(WRONG)?).map_err(|_| WRONG)?;
    read_publication(body, position.offset).map(Arc::new).map_err(|_| WRONG)
}
