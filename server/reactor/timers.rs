//! The next moment of each connection.

use super::connection::Key;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// A heap with at most one live entry for each connection: entries are not removed when a deadline moves
/// back, but checked when they come up.
#[derive(Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Instant, Key)>>);

impl Timers {
    pub(super) fn push(&mut self, at: Instant, key: Key) {
        self.0.push(Reverse((at, key)));
    }

    /// The earliest entry.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes an entry that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Key> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, key))| key)
    }
}
