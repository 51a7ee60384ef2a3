//! Remembers what was at the top of streams, to notice a Redis that went back behind it.
//!
//! Replication of Redis is asynchronous and its append-only file may lag: after a failover or a restart the last
//! publications may be gone, although they were acknowledged and delivered, and their offsets are given to others.
//! Positions of clients then mean something else, and nothing in Redis shows it. What this node saw itself does.

use crate::broker::{Epoch, Publication, StreamPosition};
use foldhash::quality::{FixedState, RandomState};
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Channels remembered of each half; those beyond are not.
const MOST: usize = 100_000;

/// Every so long the older half is forgotten: nothing older than this is lost by a lagging replica that is elected.
const FORGET_AFTER: Duration = Duration::from_secs(30);

/// Newest publications of a channel that are remembered, so that those which come a little late can be told from
/// others at the same place.
const RING: usize = 8;

/// A publication at its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    pub(super) epoch: Epoch,
    pub(super) offset: u64,
    print: u64,
}

impl Seen {
    /// Whether a stream, whose top is `top` and whose publication at the offset is `there`, is another than the one
    /// that was seen. An offset that is not kept any more proves nothing.
    pub(super) fn contradicts(&self, top: &StreamPosition, there: Option<&Publication>) -> bool {
        let other = |there: &Publication| there.offset == self.offset && print(there) != self.print;
        top.epoch == self.epoch && (top.offset < self.offset || there.is_some_and(other))
    }
}

fn print(publication: &Publication) -> u64 {
    FixedState::default().hash_one((&publication.data, publication.time))
}

/// The newest publications of one channel.
struct Track {
    epoch: Epoch,
    top: u64,
    /// By the lowest bits of the offset; zero is none.
    prints: [u64; RING],
}

/// How a sighting fits to what was seen before.
enum Fit {
    Fits,
    /// It cannot be of the same stream, or is too old to tell.
    Doubtful(Seen),
}

impl Track {
    fn new(epoch: Epoch, offset: u64, print: u64) -> Self {
        let mut track = Self { epoch, top: offset, prints: [0; RING] };
        track.prints[slot(offset)] = print;
        track
    }

    fn newest(&self) -> Seen {
        Seen { epoch: self.epoch.clone(), offset: self.top, print: self.prints[slot(self.top)] }
    }

    fn add(&mut self, offset: u64, print: u64) -> Fit {
        if offset > self.top {
            // Places in between were not seen.
            let unseen = (offset - self.top - 1).min(RING as u64);
            (0..unseen).for_each(|step| self.prints[slot(offset - 1 - step)] = 0);
            self.top = offset;
        } else if self.top - offset >= RING as u64 {
            return Fit::Doubtful(self.newest());
        } else if ![0, print].contains(&self.prints[slot(offset)]) {
            let before = self.prints[slot(offset)];
            return Fit::Doubtful(Seen { epoch: self.epoch.clone(), offset, print: before });
        }
        self.prints[slot(offset)] = print;
        Fit::Fits
    }
}

fn slot(offset: u64) -> usize {
    (offset % RING as u64) as usize
}

type Tracks = HashMap<Arc<str>, Track, RandomState>;

/// What was seen of the channels of one Redis.
pub(super) struct Witness {
    /// Held for one access.
    state: Mutex<State>,
    /// Told when something is to be compared.
    doubt: Notify,
}

struct State {
    newer: Tracks,
    older: Tracks,
    turned: Instant,
    /// What was seen before a loss and is not compared yet.
    kept: Vec<(Arc<str>, Seen)>,
}

impl Default for Witness {
    fn default() -> Self {
        let state = State {
            newer: HashMap::default(),
            older: HashMap::default(),
            turned: Instant::now(),
            kept: Vec::new(),
        };
        Self { state: Mutex::new(state), doubt: Notify::new() }
    }
}

impl Witness {
    /// Remembers a publication, and doubts the stream if it does not fit to what was seen before.
    pub(super) fn saw(&self, channel: &Arc<str>, publication: &Publication, position: &StreamPosition) {
        let StreamPosition { offset, epoch } = position;
        if *offset == 0 {
            return;
        }
        let print = print(publication);
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.turned.elapsed() > FORGET_AFTER {
            state.older = std::mem::take(&mut state.newer);
            state.turned = Instant::now();
        }
        if let Some(before) = state.older.remove(channel) {
            state.newer.entry(channel.clone()).or_insert(before);
        }
        let Some(track) = state.newer.get_mut(channel) else {
            if state.newer.len() < MOST {
                state.newer.insert(channel.clone(), Track::new(epoch.clone(), *offset, print));
            }
            return;
        };
        if track.epoch != *epoch {
            *track = Track::new(epoch.clone(), *offset, print);
        } else if let Fit::Doubtful(seen) = track.add(*offset, print) {
            *track = Track::new(epoch.clone(), *offset, print);
            state.kept.push((channel.clone(), seen));
            drop(guard);
            self.doubt.notify_one();
        }
    }

    /// Keeps what was seen of a channel until now: what follows may come from another stream.
    pub(super) fn keep(&self, channel: &Arc<str>) {
        let mut state = self.state.lock();
        let seen = state.newer.get(channel).or_else(|| state.older.get(channel)).map(Track::newest);
        if let Some(seen) = seen {
            state.kept.push((channel.clone(), seen));
        }
    }

    /// Doubts all streams: the server may be another than before.
    pub(super) fn doubt_all(&self) {
        let mut guard = self.state.lock();
        let newest = guard.newest();
        guard.kept.extend(newest);
        drop(guard);
        self.doubt.notify_one();
    }

    /// Waits until there is a doubt.
    pub(super) async fn doubted(&self) {
        self.doubt.notified().await;
    }

    /// Takes all that is to be compared.
    pub(super) fn take(&self) -> Vec<(Arc<str>, Seen)> {
        let mut state = self.state.lock();
        let mut all = state.newest();
        all.append(&mut state.kept);
        all
    }
}

impl State {
    /// The newest publication of each channel.
    fn newest(&self) -> Vec<(Arc<str>, Seen)> {
        let tracks = self.newer.iter().chain(&self.older);
        tracks.map(|(channel, track)| (channel.clone(), track.newest())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(data: &'static str, offset: u64) -> Publication {
        Publication { offset, data: data.into(), time: 7, ..Default::default() }
    }

    fn position(offset: u64) -> StreamPosition {
        StreamPosition { offset, epoch: "abcd".into() }
    }

    fn witness(seen: &[(&'static str, u64)]) -> Vec<Seen> {
        let (witness, channel) = (Witness::default(), Arc::from("channel"));
        for (data, offset) in seen {
            witness.saw(&channel, &publication(data, *offset), &position(*offset));
        }
        witness.take().into_iter().map(|(_, seen)| seen).collect()
    }

    #[test]
    fn what_comes_late_fits_and_the_newest_is_compared() {
        let seen = witness(&[("a", 1), ("c", 3), ("b", 2), ("c", 3)]);
        assert_eq!(seen.len(), 1);
        assert!(!seen[0].contradicts(&position(5), Some(&publication("c", 3))));
        assert!(seen[0].contradicts(&position(5), Some(&publication("other", 3))), "another is there");
    }

    #[test]
    fn another_publication_at_the_same_place_is_a_doubt() {
        let doubts = |seen: &[Seen], top, there: Publication| {
            seen.iter().any(|seen| seen.contradicts(&position(top), Some(&there)))
        };
        let seen = witness(&[("a", 1), ("b", 2), ("other", 1)]);
        assert!(doubts(&seen, 2, publication("other", 1)), "{seen:?}");
        let seen = witness(&[("a", 1), ("b", 20), ("other", 1)]);
        assert!(doubts(&seen, 1, publication("other", 1)), "{seen:?}");
    }

    #[test]
    fn a_top_below_is_a_contradiction_and_what_is_not_kept_is_none() {
        let seen = &witness(&[("a", 3)])[0];
        assert!(seen.contradicts(&position(2), None));
        assert!(!seen.contradicts(&position(3), None), "history was removed");
        let other = StreamPosition { offset: 1, epoch: "new".into() };
        assert!(!seen.contradicts(&other, None), "another epoch is told already");
    }

    #[test]
    fn publications_without_a_place_are_not_remembered() {
        assert!(witness(&[("a", 0)]).is_empty());
    }
}
