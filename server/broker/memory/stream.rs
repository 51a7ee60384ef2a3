//! One stream: the newest publications of a channel and the position after them.

use super::deadlines::Tick;
use crate::broker::{Epoch, HistoryFilter, Publication, PublishOptions, StreamPosition};
use crate::seams::random_epoch;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A stream from the creation of its epoch to the end of its meta TTL.
pub(super) struct Stream {
    /// Offset of the newest publication ever saved; zero before the first.
    top: u64,
    epoch: Epoch,
    /// Oldest first. Offsets ascend by one and end at `top`, so an offset is also an index.
    kept: VecDeque<Arc<Publication>>,
    /// When `kept` ends.
    history_ends: Tick,
    /// When the stream itself ends.
    ends: Tick,
    /// Version of the newest publication; zero when it had none.
    version: u64,
    version_epoch: String,
}

impl Stream {
    pub fn new() -> Self {
        Self {
            top: 0,
            epoch: Epoch::from(random_epoch()),
            kept: VecDeque::new(),
            history_ends: Tick::NEVER,
            ends: Tick::NEVER,
            version: 0,
            version_epoch: String::new(),
        }
    }

    pub fn position(&self) -> StreamPosition {
        StreamPosition { offset: self.top, epoch: self.epoch.clone() }
    }

    pub fn newest(&self) -> Option<&Arc<Publication>> {
        self.kept.back()
    }

    /// Lets time pass: what ended by `now` is gone, the stream as a whole by starting a new life.
    pub fn advance(&mut self, now: Tick) {
        if self.ends.is_due(now) {
            *self = Self::new();
        } else if self.history_ends.is_due(now) {
            self.remove_publications();
        }
    }

    /// Whether nothing is left at `now`.
    pub fn has_ended(&self, now: Tick) -> bool {
        self.ends.is_due(now)
    }

    /// The next moment at which something ends.
    pub fn next_deadline(&self) -> Tick {
        self.history_ends.min(self.ends)
    }

    /// Whether a publication with this version comes too late.
    pub fn supersedes(&self, version: u64, version_epoch: &str) -> bool {
        version > 0
            && version <= self.version
            && (version_epoch.is_empty() || version_epoch == self.version_epoch)
    }

    /// Remembers the version of the publication about to be added; zero forgets the one before.
    pub fn set_version(&mut self, version: u64, version_epoch: String) {
        self.version = version;
        self.version_epoch = version_epoch;
    }

    /// Saves the publication that `make` builds for its offset.
    pub fn add(
        &mut self,
        options: &PublishOptions,
        now: Tick,
        make: impl FnOnce(u64) -> Publication,
    ) -> Arc<Publication> {
        self.top += 1;
        self.make_room(usize::try_from(options.history_size).unwrap_or(usize::MAX));
        let publication = Arc::new(make(self.top));
        self.kept.push_back(publication.clone());
        self.history_ends = now.after(options.history_ttl);
        self.touch(options.history_meta_ttl, now);
        publication
    }

    /// Renews the life of the stream; zero means forever.
    pub fn touch(&mut self, meta_ttl: Duration, now: Tick) {
        self.ends = now.after_or_never(meta_ttl);
    }

    /// Drops all publications and nothing else.
    pub fn remove_publications(&mut self) {
        self.kept = VecDeque::new();
        self.history_ends = Tick::NEVER;
    }

    /// Reads the part that `filter` names; epochs were compared elsewhere.
    pub fn read(&self, filter: &HistoryFilter) -> Vec<Arc<Publication>> {
        let limit = filter.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let since = filter.since.as_ref().map(|since| since.offset);
        if filter.reverse {
            let end = since.map_or(self.kept.len(), |since| self.end_before(since));
            self.kept.range(..end).rev().take(limit).cloned().collect()
        } else {
            let start = since.map_or(0, |since| self.start_after(since));
            self.kept.range(start..).take(limit).cloned().collect()
        }
    }

    /// Index of the first publication after `offset`, the oldest when those right after it are gone.
    fn start_after(&self, offset: u64) -> usize {
        let distance = self.top.saturating_sub(offset);
        self.kept.len() - self.kept.len().min(usize::try_from(distance).unwrap_or(usize::MAX))
    }

    /// Index after the publication just before `offset`; zero when that one is gone or never was.
    fn end_before(&self, offset: u64) -> usize {
        if offset > self.top.saturating_add(1) {
            return 0;
        }
        let distance = self.top + 1 - offset;
        self.kept.len().saturating_sub(usize::try_from(distance).unwrap_or(usize::MAX))
    }

    /// Drops the oldest so that one more fits into `size`, and memory that a smaller size left unused.
    fn make_room(&mut self, size: usize) {
        let excess = (self.kept.len() + 1).saturating_sub(size);
        match excess {
            0 => {}
            1 => drop(self.kept.pop_front()),
            _ => {
                self.kept.drain(..excess.min(self.kept.len()));
                self.kept.shrink_to(2 * self.kept.len());
            }
        }
    }
}
