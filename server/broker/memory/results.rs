//! Results of publishes with an idempotency key, remembered for a while.

use super::deadlines::{Deadlines, Tick};
use crate::broker::StreamPosition;
use hashbrown::HashTable;
use std::sync::Arc;
use std::time::Duration;

/// How long a result is remembered when the publisher does not say.
const DEFAULT_TTL: Duration = Duration::from_secs(300);

/// Remembered results of one stripe.
#[derive(Default)]
pub(super) struct Results {
    table: HashTable<Known>,
    deadlines: Deadlines,
}

struct Known {
    hash: u64,
    expires: Tick,
    channel: Arc<str>,
    key: Box<str>,
    position: StreamPosition,
}

impl Results {
    /// Finds the position an earlier publish with this key answered.
    pub fn get(&self, hash: u64, channel: &str, key: &str, now: Tick) -> Option<&StreamPosition> {
        self.table
            .find(hash, |known| known.is(channel, key))
            .filter(|known| !known.expires.is_due(now))
            .map(|known| &known.position)
    }

    /// Remembers `position`; a `ttl` of zero means the default.
    pub fn put(
        &mut self,
        hash: u64,
        channel: &Arc<str>,
        key: String,
        ttl: Duration,
        position: StreamPosition,
        now: Tick,
    ) {
        let expires = now.after(if ttl.is_zero() { DEFAULT_TTL } else { ttl });
        self.deadlines.push(expires, hash);
        match self.table.find_mut(hash, |known| known.is(channel, &key)) {
            Some(known) => (known.expires, known.position) = (expires, position),
            None => {
                let known = Known { hash, expires, channel: channel.clone(), key: key.into(), position };
                self.table.insert_unique(hash, known, |known| known.hash);
            }
        }
    }

    /// Forgets up to `budget` results that are due.
    pub fn sweep(&mut self, now: Tick, budget: usize) {
        for _ in 0..budget {
            let Some((_, hash)) = self.deadlines.pop_due(now) else {
                return;
            };
            let due = |known: &Known| known.hash == hash && known.expires.is_due(now);
            if let Ok(entry) = self.table.find_entry(hash, due) {
                entry.remove();
            }
        }
    }

    /// Whether results are due.
    pub fn has_due(&self, now: Tick) -> bool {
        self.deadlines.has_due(now)
    }

    /// Gives back memory after many results ended.
    pub fn shrink(&mut self) {
        if self.table.capacity() > 4 * self.table.len() + 64 {
            self.table.shrink_to(2 * self.table.len(), |known| known.hash);
        }
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }
}

impl Known {
    fn is(&self, channel: &str, key: &str) -> bool {
        &*self.key == key && &*self.channel == channel
    }
}
