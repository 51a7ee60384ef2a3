//! When things end: moments as plain numbers, and a queue of what to look at next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Nanoseconds since the engine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u64);

impl Tick {
    /// The moment that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// Measures `instant` from `origin`.
    pub fn since(origin: Instant, instant: Instant) -> Self {
        Self(nanoseconds(instant.saturating_duration_since(origin)))
    }

    /// The moment `ttl` later; centuries away is never.
    pub fn after(self, ttl: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(ttl)))
    }

    /// The moment `ttl` later, where zero means never.
    pub fn after_or_never(self, ttl: Duration) -> Self {
        if ttl.is_zero() { Self::NEVER } else { self.after(ttl) }
    }

    /// Whether a deadline at this moment has passed.
    pub fn is_due(self, now: Self) -> bool {
        self != Self::NEVER && self <= now
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Deadlines of table entries, which are named by their hash.
///
/// An entry whose deadline moves away is left where it is and looked at again when it comes up, so
/// renewing costs nothing. The table decides what a due entry means; a stale one finds nothing.
#[derive(Default)]
pub(super) struct Deadlines(BinaryHeap<Reverse<(Tick, u64)>>);

impl Deadlines {
    /// Asks to be told of `hash` at `tick`; never is not queued.
    pub fn push(&mut self, tick: Tick, hash: u64) {
        if tick != Tick::NEVER {
            self.0.push(Reverse((tick, hash)));
        }
    }

    /// Whether an entry is due.
    pub fn has_due(&self, now: Tick) -> bool {
        self.0.peek().is_some_and(|Reverse((tick, _))| tick.is_due(now))
    }

    /// Takes the next entry that is due.
    pub fn pop_due(&mut self, now: Tick) -> Option<(Tick, u64)> {
        if self.has_due(now) { self.0.pop().map(|Reverse(entry)| entry) } else { None }
    }

    /// Rebuilds the queue when most of it is stale, which shortened deadlines leave behind.
    pub fn compact(&mut self, live: impl ExactSizeIterator<Item = (Tick, u64)>) {
        if self.0.len() > 2 * live.len() + 64 {
            self.0 = live.filter(|(tick, _)| *tick != Tick::NEVER).map(Reverse).collect();
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
