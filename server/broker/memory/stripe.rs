//! A share of the channels, as it is seen by whoever holds its lock.

use super::deadlines::{Deadlines, Tick};
use super::results::Results;
use super::stream::Stream;
use crate::broker::{
    HistoryFilter, HistoryPage, Publication, PublishOptions, PublishOutcome, StreamPosition,
};
use crate::seams::UnixMillis;
use bytes::Bytes;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::sync::Arc;
use std::time::Duration;

/// Streams and remembered results of some channels.
#[derive(Default)]
pub(super) struct Stripe {
    streams: HashTable<Slot>,
    deadlines: Deadlines,
    results: Results,
}

struct Slot {
    hash: u64,
    /// When `deadlines` will bring this slot up; never later than the stream's next deadline.
    scheduled: Tick,
    channel: Arc<str>,
    stream: Stream,
}

/// One publish with everything read from outside.
pub(super) struct Publish<'a> {
    pub channel: &'a Arc<str>,
    pub hash: u64,
    /// Hash of channel and idempotency key, when there is a key.
    pub key_hash: Option<u64>,
    pub data: Bytes,
    pub options: PublishOptions,
    pub now: Tick,
    pub unix: UnixMillis,
}

impl Stripe {
    /// Saves as the options say and calls `deliver` unless key or version speak against it.
    pub fn publish(
        &mut self,
        publish: Publish<'_>,
        deliver: impl FnOnce(Arc<Publication>, StreamPosition, bool, Option<Arc<Publication>>),
    ) -> PublishOutcome {
        let Publish { channel, hash, key_hash, data, mut options, now, unix } = publish;
        if let Some(key_hash) = key_hash
            && let Some(position) = self.results.get(key_hash, channel, &options.idempotency_key, now)
        {
            return PublishOutcome { position: position.clone(), from_cache: true, skipped: false };
        }
        let (info, tags) = (options.info.take(), options.tags.take().filter(|tags| !tags.is_empty()));
        let version = options.version;
        let make = |offset| Publication {
            offset,
            data,
            info,
            tags,
            time: unix.0.cast_signed(),
            version,
            channel: None,
        };

        let (publication, position, previous) = if options.keeps_history() {
            let slot = slot(&mut self.streams, channel, hash);
            slot.stream.advance(now);
            if slot.stream.supersedes(version, &options.version_epoch) {
                return PublishOutcome { position: slot.stream.position(), from_cache: false, skipped: true };
            }
            slot.stream.set_version(version, std::mem::take(&mut options.version_epoch));
            let previous = options.delta.then(|| slot.stream.newest().cloned()).flatten();
            let publication = slot.stream.add(&options, now, make);
            slot.schedule(&mut self.deadlines);
            (publication, slot.stream.position(), previous)
        } else {
            (Arc::new(make(0)), StreamPosition::default(), None)
        };
        if let Some(key_hash) = key_hash {
            let (key, ttl) = (options.idempotency_key, options.idempotency_ttl);
            self.results.put(key_hash, channel, key, ttl, position.clone(), now);
        }
        deliver(publication, position.clone(), options.delta, previous);
        PublishOutcome { position, from_cache: false, skipped: false }
    }

    /// Reads a stream, creating it when there is none.
    pub fn history(
        &mut self,
        channel: &Arc<str>,
        hash: u64,
        filter: &HistoryFilter,
        meta_ttl: Duration,
        now: Tick,
    ) -> HistoryPage {
        let slot = slot(&mut self.streams, channel, hash);
        slot.stream.advance(now);
        slot.stream.touch(meta_ttl, now);
        slot.schedule(&mut self.deadlines);
        HistoryPage { publications: slot.stream.read(filter), position: slot.stream.position() }
    }

    /// Drops the publications of a stream.
    pub fn remove_history(&mut self, channel: &str, hash: u64) {
        if let Some(slot) = self.streams.find_mut(hash, |slot| &*slot.channel == channel) {
            slot.stream.remove_publications();
        }
    }

    /// Frees about `budget` due entries; answers whether more may be due.
    pub fn sweep(&mut self, now: Tick, budget: usize) -> bool {
        for _ in 0..budget {
            let Some((tick, hash)) = self.deadlines.pop_due(now) else {
                break;
            };
            let scheduled_then = |slot: &Slot| slot.hash == hash && slot.scheduled == tick;
            let Ok(mut entry) = self.streams.find_entry(hash, scheduled_then) else {
                continue;
            };
            if entry.get().stream.has_ended(now) {
                entry.remove();
            } else {
                let slot = entry.get_mut();
                slot.stream.advance(now);
                slot.scheduled = Tick::NEVER;
                slot.schedule(&mut self.deadlines);
            }
        }
        self.results.sweep(now, budget);
        let more = self.deadlines.has_due(now) || self.results.has_due(now);
        if !more {
            self.deadlines.compact(self.streams.iter().map(|slot| (slot.scheduled, slot.hash)));
            if self.streams.capacity() > 4 * self.streams.len() + 64 {
                self.streams.shrink_to(2 * self.streams.len(), |slot| slot.hash);
            }
            self.results.shrink();
        }
        more
    }

    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    #[cfg(test)]
    pub fn deadline_count(&self) -> usize {
        self.deadlines.len()
    }

    pub fn result_count(&self) -> usize {
        self.results.len()
    }
}

impl Slot {
    /// Makes sure the slot comes up no later than its stream's next deadline.
    fn schedule(&mut self, deadlines: &mut Deadlines) {
        let next = self.stream.next_deadline();
        if next < self.scheduled {
            self.scheduled = next;
            deadlines.push(next, self.hash);
        }
    }
}

/// Finds the slot of `channel` or makes one.
fn slot<'a>(streams: &'a mut HashTable<Slot>, channel: &Arc<str>, hash: u64) -> &'a mut Slot {
    match streams.entry(hash, |slot| *slot.channel == **channel, |slot| slot.hash) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => entry
            .insert(Slot { hash, scheduled: Tick::NEVER, channel: channel.clone(), stream: Stream::new() })
            .into_mut(),
    }
}
