//! Remembers what was at the top of streams, to notice a Redis that went back behind it.
//!
//! Replication of Redis is asynchronous and its append-only file may lag: after a failover or a restart the last
//! publications may be gone, although they were acknowledged and delivered, and their offsets are given to others.
//! Positions of clients then mean something else, and nothing in Redis shows it. What this node saw itself does.

use crate::broker::{Epoch, Publication, StreamPosition};
use crate::stores::redis::Slots;
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

/// Newest publications of a channel that are remembered, to tell others at the same place from them.
const RING: usize = 8;

/// How a publication came to be seen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sighting {
    /// Redis took it from this node, which had not asked before this moment. Answers to publishers that ask at the same
    /// time come in any order; but whoever asks after a place was seen gets a higher one.
    Answered(Instant),
    /// It was delivered by Redis, in the order of the channel.
    Heard,
    /// It was delivered, and may have been overtaken.
    Overheard,
}

/// A publication at its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    pub(super) epoch: Epoch,
    pub(super) offset: u64,
    print: u64,
}

impl Seen {
    /// Whether a stream, whose top is `top` and in which `there` is an offset and the print at it, is another than the
    /// one that was seen. An offset that is not kept any more proves nothing.
    fn contradicts(&self, top: &StreamPosition, there: Option<(u64, u64)>) -> bool {
        let other = |(offset, print)| offset == self.offset && print != self.print;
        top.epoch == self.epoch && (top.offset < self.offset || there.is_some_and(other))
    }
}

impl Prints {
    fn of(self, publication: &Publication) -> u64 {
        let time = if self == Self::OfData { 0 } else { publication.time };
        FixedState::default().hash_one((&publication.data, time))
    }
}

/// The newest publications of one channel.
struct Track {
    epoch: Epoch,
    top: u64,
    /// When the top was seen.
    since: Instant,
    /// Highest offset that was heard.
    heard: u64,
    /// By the lowest bits of the offset; zero is none.
    prints: [u64; RING],
}

impl Track {
    fn new(epoch: Epoch, offset: u64, print: u64) -> Self {
        let mut track = Self { epoch, top: offset, since: Instant::now(), heard: 0, prints: [0; RING] };
        track.prints[slot(offset)] = print;
        track
    }

    fn seen(&self, offset: u64) -> Seen {
        Seen { epoch: self.epoch.clone(), offset, print: self.prints[slot(offset)] }
    }

    fn newest(&self) -> Seen {
        self.seen(self.top)
    }

    /// Adds a publication. If it cannot be of the same stream, answers what it contradicts.
    fn add(&mut self, offset: u64, print: u64, sighting: Sighting) -> Result<(), Seen> {
        if offset > self.top {
            // Places in between were not seen.
            let unseen = (offset - self.top - 1).min(RING as u64);
            (0..unseen).for_each(|step| self.prints[slot(offset - 1 - step)] = 0);
            (self.top, self.since) = (offset, Instant::now());
        } else {
            let too_low = match sighting {
                Sighting::Answered(asked) => asked > self.since,
                Sighting::Heard => offset < self.heard,
                Sighting::Overheard => false,
            };
            if too_low {
                return Err(self.newest());
            }
            if self.top - offset >= RING as u64 {
                return Ok(());
            }
            if ![0, print].contains(&self.prints[slot(offset)]) {
                return Err(self.seen(offset));
            }
        }
        self.prints[slot(offset)] = print;
        if let Sighting::Heard = sighting {
            self.heard = offset;
        }
        Ok(())
    }
}

fn slot(offset: u64) -> usize {
    (offset % RING as u64) as usize
}

type Tracks = HashMap<Arc<str>, Track, RandomState>;

/// Names the slot of a channel.
type SlotOf = Box<dyn Fn(&str) -> u16 + Send + Sync>;

/// What was seen of the channels of one Redis.
pub(super) struct Witness {
    /// Held for one access.
    state: Mutex<State>,
    /// Told when something is to be compared.
    doubt: Notify,
    slot_of: SlotOf,
    prints: Prints,
}

/// By what publications are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prints {
    /// By data and time.
    OfDataAndTime,
    /// By data alone: what is heard and what is kept were given their times by different clocks.
    OfData,
}

struct State {
    newer: Tracks,
    older: Tracks,
    turned: Instant,
    /// What was seen before a loss and is not compared yet.
    kept: Vec<(Arc<str>, Seen)>,
    /// Slots whose streams may be others than before.
    doubtful: Slots,
    /// Some of that is so since it was taken last.
    fresh: bool,
}

impl Witness {
    pub(super) fn new(slot_of: SlotOf, prints: Prints) -> Self {
        let state = State {
            newer: HashMap::default(),
            older: HashMap::default(),
            turned: Instant::now(),
            kept: Vec::new(),
            doubtful: Slots::default(),
            fresh: false,
        };
        Self { state: Mutex::new(state), doubt: Notify::new(), slot_of, prints }
    }

    /// Remembers a publication, and doubts the stream if it does not fit to what was seen before.
    pub(super) fn saw(
        &self,
        channel: &Arc<str>,
        publication: &Publication,
        position: &StreamPosition,
        sighting: Sighting,
    ) {
        let StreamPosition { offset, epoch } = position;
        if *offset == 0 {
            return;
        }
        let print = self.prints.of(publication);
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
        } else if let Err(seen) = track.add(*offset, print, sighting) {
            *track = Track::new(epoch.clone(), *offset, print);
            state.kept.push((channel.clone(), seen));
            // One stream that went back is seldom alone.
            state.doubtful = Slots::all();
            state.fresh = true;
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

    /// Doubts the streams of some slots: their server may be another than before.
    pub(super) fn doubt(&self, slots: &Slots) {
        let mut state = self.state.lock();
        state.doubtful.add(slots);
        state.fresh = true;
        let newest = state.newest(slots, &self.slot_of);
        state.kept.extend(newest);
        drop(state);
        self.doubt.notify_one();
    }

    /// Waits until there is a doubt.
    pub(super) async fn doubted(&self) {
        self.doubt.notified().await;
    }

    /// Takes all that is to be compared.
    pub(super) fn take(&self) -> Vec<(Arc<str>, Seen)> {
        let mut state = self.state.lock();
        let mut all = state.newest(&state.doubtful, &self.slot_of);
        all.append(&mut state.kept);
        state.fresh = false;
        all
    }

    /// What was doubted and taken was compared often enough.
    pub(super) fn believe(&self) {
        let mut state = self.state.lock();
        if !state.fresh {
            state.doubtful = Slots::default();
        }
    }

    /// Whether the stream with this top, and this publication where one was seen, is another than that was.
    pub(super) fn contradicts(&self, seen: &Seen, top: &StreamPosition, there: Option<&Publication>) -> bool {
        seen.contradicts(top, there.map(|there| (there.offset, self.prints.of(there))))
    }
}

impl State {
    /// The newest publication of each channel of some slots.
    fn newest(&self, slots: &Slots, slot_of: &SlotOf) -> Vec<(Arc<str>, Seen)> {
        let all = slots.is_all();
        let tracks = self.newer.iter().chain(&self.older);
        let tracks = tracks.filter(|(channel, _)| all || slots.has(slot_of(channel)));
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

    fn new() -> Witness {
        Witness::new(Box::new(|channel| if channel == "channel" { 7 } else { 8 }), Prints::OfDataAndTime)
    }

    fn newest(witness: &Witness) -> Vec<Seen> {
        witness.take().into_iter().map(|(_, seen)| seen).collect()
    }

    fn witness(seen: &[(&'static str, u64)]) -> (Witness, Vec<Seen>) {
        let (witness, channel) = (new(), Arc::from("channel"));
        for (data, offset) in seen {
            witness.saw(&channel, &publication(data, *offset), &position(*offset), Sighting::Overheard);
        }
        witness.doubt(&Slots::all());
        let seen = newest(&witness);
        (witness, seen.into_iter().collect::<std::collections::HashSet<_>>().into_iter().collect())
    }

    #[test]
    fn what_comes_late_fits_and_the_newest_is_compared() {
        let (witness, seen) = witness(&[("a", 1), ("c", 3), ("b", 2), ("c", 3)]);
        assert_eq!(seen.len(), 1);
        assert!(!witness.contradicts(&seen[0], &position(5), Some(&publication("c", 3))));
        assert!(
            witness.contradicts(&seen[0], &position(5), Some(&publication("other", 3))),
            "another is there"
        );
    }

    #[test]
    fn another_publication_at_the_same_place_is_a_doubt() {
        let doubts = |(witness, seen): &(Witness, Vec<Seen>), top, there: Publication| {
            seen.iter().any(|seen| witness.contradicts(seen, &position(top), Some(&there)))
        };
        let seen = witness(&[("a", 1), ("b", 2), ("other", 1)]);
        assert!(doubts(&seen, 2, publication("other", 1)), "{:?}", seen.1);
    }

    /// Whether there is a doubt after the last of some sightings.
    fn doubted(sightings: &[(u64, Sighting)]) -> bool {
        let (witness, channel) = (new(), Arc::from("channel"));
        for (offset, sighting) in sightings {
            witness.saw(&channel, &publication("a", *offset), &position(*offset), *sighting);
        }
        !newest(&witness).is_empty()
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_later_gets_a_higher_place_and_who_asks_at_the_same_time_any() {
        let asked = Instant::now();
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!doubted(&[(100, Sighting::Answered(asked)), (1, Sighting::Answered(asked))]));
        assert!(!doubted(&[(100, Sighting::Heard), (1, Sighting::Answered(asked))]));
        assert!(!doubted(&[(100, Sighting::Answered(asked)), (1, Sighting::Heard), (2, Sighting::Heard)]));
        let later = Instant::now() + Duration::from_millis(1);
        assert!(doubted(&[(100, Sighting::Answered(asked)), (99, Sighting::Answered(later))]));
        assert!(doubted(&[(100, Sighting::Heard), (1, Sighting::Answered(later))]));
        assert!(!doubted(&[(100, Sighting::Heard), (101, Sighting::Answered(later))]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_heard_comes_in_order_unless_it_may_be_overtaken() {
        assert!(!doubted(&[(1, Sighting::Heard), (2, Sighting::Heard), (2, Sighting::Heard)]));
        assert!(doubted(&[(1, Sighting::Heard), (30, Sighting::Heard), (2, Sighting::Heard)]));
        assert!(!doubted(&[(1, Sighting::Overheard), (30, Sighting::Overheard), (2, Sighting::Overheard)]));
    }

    #[test]
    fn a_top_below_is_a_contradiction_and_what_is_not_kept_is_none() {
        let (witness, seen) = witness(&[("a", 3)]);
        assert!(witness.contradicts(&seen[0], &position(2), None));
        assert!(!witness.contradicts(&seen[0], &position(3), None), "history was removed");
        let other = StreamPosition { offset: 1, epoch: "new".into() };
        assert!(!witness.contradicts(&seen[0], &other, None), "another epoch is told already");
    }

    #[test]
    fn publications_without_a_place_are_not_remembered() {
        assert!(witness(&[("a", 0)]).1.is_empty());
    }

    #[test]
    fn channels_of_other_slots_are_not_doubted() {
        let (witness, slots) = (new(), [7].into_iter().collect());
        for channel in ["channel", "other"] {
            witness.saw(&channel.into(), &publication("a", 1), &position(1), Sighting::Heard);
        }
        assert!(newest(&witness).is_empty(), "nobody doubts");
        witness.doubt(&slots);
        witness.saw(&"channel".into(), &publication("b", 2), &position(2), Sighting::Heard);
        let taken = witness.take();
        assert!(taken.iter().all(|(channel, _)| &**channel == "channel"), "{taken:?}");
        let offsets: Vec<u64> = taken.iter().map(|(_, seen)| seen.offset).collect();
        assert_eq!(offsets, [2, 1], "what is newest now, and what was when the doubt came");
        witness.believe();
        assert!(newest(&witness).is_empty());
    }

    #[test]
    fn times_of_different_clocks_are_no_difference() {
        let witness = Witness::new(Box::new(|_| 0), Prints::OfData);
        witness.saw(&"channel".into(), &publication("a", 1), &position(1), Sighting::Heard);
        witness.doubt(&Slots::all());
        let seen = newest(&witness);
        let later = Publication { time: 8, ..publication("a", 1) };
        assert!(!witness.contradicts(&seen[0], &position(1), Some(&later)));
        assert!(witness.contradicts(&seen[0], &position(1), Some(&publication("b", 1))));
    }
}
