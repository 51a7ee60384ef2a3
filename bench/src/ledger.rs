//! What was published and what arrived: every delivery is matched with the sequence its channel promised.

use crate::wire::payload::Stamp;
use hdrhistogram::Histogram;
use std::collections::{BTreeSet, VecDeque};

/// Index of a channel in the run's table.
pub type ChannelIndex = u32;

/// Counts of everything that went wrong; a run is void unless all are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Faults {
    /// Deliveries that never came.
    pub lost: u64,
    /// Deliveries that came again.
    pub duplicated: u64,
    /// Deliveries that came after a later one of the same channel.
    pub reordered: u64,
    /// Deliveries of a channel the connection never subscribed to.
    pub misrouted: u64,
    /// Connections or subscriptions that ended though nobody asked for it.
    pub disconnects: u64,
    /// Requests answered with an error or not answered.
    pub failed_requests: u64,
}

impl Faults {
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            (self.lost, "lost"),
            (self.duplicated, "duplicated"),
            (self.reordered, "reordered"),
            (self.misrouted, "misrouted"),
            (self.disconnects, "unexpected disconnects"),
            (self.failed_requests, "failed requests"),
        ];
        let mut first = true;
        for (count, name) in parts.into_iter().filter(|(count, _)| *count > 0) {
            write!(out, "{}{count} {name}", if first { "" } else { ", " })?;
            first = false;
        }
        Ok(())
    }
}

/// What one subscriber has seen of its channel.
#[derive(Debug, Default)]
pub struct Cursor {
    next: u64,
    missing: BTreeSet<u64>,
}

impl Cursor {
    /// Expects `next` as the first sequence number; numbers start at 1.
    pub fn starting_at(next: u64) -> Self {
        Self { next, missing: BTreeSet::new() }
    }
}

struct Channel {
    name: String,
    published: u64,
    subscribers: u32,
    /// Deliveries still due per publication, oldest first; the front belongs to sequence `completed + 1`.
    due: VecDeque<u32>,
    completed: u64,
}

/// Publications and deliveries of one run.
pub struct Ledger {
    channels: Vec<Channel>,
    delivered: u64,
    outstanding: u64,
    faults: Faults,
    latency: Histogram<u64>,
    latency_since_ns: u64,
}

impl Ledger {
    pub fn new() -> Self {
        Self {
            channels: Vec::new(),
            delivered: 0,
            outstanding: 0,
            faults: Faults::default(),
            latency: new_histogram(),
            latency_since_ns: u64::MAX,
        }
    }

    pub fn add_channel(&mut self, name: String) -> ChannelIndex {
        self.channels.push(Channel {
            name,
            published: 0,
            subscribers: 0,
            due: VecDeque::new(),
            completed: 0,
        });
        (self.channels.len() - 1) as ChannelIndex
    }

    pub fn channel_name(&self, channel: ChannelIndex) -> &str {
        &self.channels[channel as usize].name
    }

    /// Counts one more subscriber whose deliveries are due from the next publication on.
    pub fn subscribed(&mut self, channel: ChannelIndex) {
        self.channels[channel as usize].subscribers += 1;
    }

    /// Allots the next sequence number of `channel` and expects its deliveries.
    pub fn publish(&mut self, channel: ChannelIndex, intended_ns: u64) -> Stamp {
        let entry = &mut self.channels[channel as usize];
        entry.published += 1;
        let sequence = entry.published;
        if entry.subscribers == 0 {
            entry.completed = sequence;
        } else {
            entry.due.push_back(entry.subscribers);
            self.outstanding += 1;
        }
        Stamp { channel, sequence, intended_ns }
    }

    /// Records the arrival of `stamp` at a subscriber of `channel`.
    pub fn deliver(&mut self, channel: Option<ChannelIndex>, cursor: &mut Cursor, stamp: Stamp, now_ns: u64) {
        if channel != Some(stamp.channel) {
            self.faults.misrouted += 1;
            return;
        }
        if stamp.sequence < cursor.next {
            let late = cursor.missing.remove(&stamp.sequence);
            if !late {
                self.faults.duplicated += 1;
                return;
            }
            self.faults.lost -= 1;
            self.faults.reordered += 1;
        } else {
            if stamp.sequence > cursor.next {
                self.faults.lost += stamp.sequence - cursor.next;
                cursor.missing.extend(cursor.next..stamp.sequence);
            }
            cursor.next = stamp.sequence + 1;
        }
        self.delivered += 1;
        if stamp.intended_ns >= self.latency_since_ns {
            self.latency.saturating_record(now_ns.saturating_sub(stamp.intended_ns));
        }
        self.settle(stamp);
    }

    fn settle(&mut self, stamp: Stamp) {
        let entry = &mut self.channels[stamp.channel as usize];
        let Some(index) = stamp.sequence.checked_sub(entry.completed + 1) else {
            return;
        };
        if let Some(due) = entry.due.get_mut(index as usize) {
            *due = due.saturating_sub(1);
        }
        while entry.due.front() == Some(&0) {
            entry.due.pop_front();
            entry.completed += 1;
            self.outstanding -= 1;
        }
    }

    /// Counts what a subscriber never got, at the end of a run; reads everything published so far as due.
    pub fn close_cursor(&mut self, channel: ChannelIndex, cursor: &Cursor) {
        // Gaps within the stream were counted when they were seen; only the tail is left.
        self.faults.lost += (self.channels[channel as usize].published + 1).saturating_sub(cursor.next);
    }

    /// Starts latency recording for publications intended from `since_ns` on.
    pub fn record_latency_since(&mut self, since_ns: u64) {
        self.latency_since_ns = since_ns;
        self.latency.reset();
    }

    /// Sequence number of the last publication of `channel`.
    pub fn published(&self, channel: ChannelIndex) -> u64 {
        self.channels[channel as usize].published
    }

    /// Whether everyone has got all publications of `channel`.
    pub fn is_settled(&self, channel: ChannelIndex) -> bool {
        self.channels[channel as usize].due.is_empty()
    }

    /// Publications that some subscriber has not received yet.
    pub fn outstanding(&self) -> u64 {
        self.outstanding
    }

    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    pub fn latency(&self) -> &Histogram<u64> {
        &self.latency
    }

    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    pub fn faults_mut(&mut self) -> &mut Faults {
        &mut self.faults
    }
}

/// A histogram of nanoseconds from 1 µs to 60 s with three significant digits.
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("constant bounds are valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arrivals: &[u64]) -> Faults {
        let mut ledger = Ledger::new();
        let channel = ledger.add_channel("a".into());
        ledger.subscribed(channel);
        let stamps: Vec<Stamp> = (0..4).map(|_| ledger.publish(channel, 0)).collect();
        let mut cursor = Cursor::starting_at(1);
        for &sequence in arrivals {
            ledger.deliver(Some(channel), &mut cursor, stamps[sequence as usize - 1], 1);
        }
        ledger.close_cursor(channel, &cursor);
        ledger.faults().clone()
    }

    #[test]
    fn an_ordered_stream_is_clean_and_completes() {
        assert!(run(&[1, 2, 3, 4]).is_clean());
    }

    #[test]
    fn gaps_and_missing_tails_are_losses() {
        assert_eq!(run(&[1, 3, 4]), Faults { lost: 1, ..Faults::default() });
        assert_eq!(run(&[1, 2]), Faults { lost: 2, ..Faults::default() });
        assert_eq!(run(&[]), Faults { lost: 4, ..Faults::default() });
    }

    #[test]
    fn repeats_are_duplicates_and_late_ones_are_reordered() {
        assert_eq!(run(&[1, 2, 2, 3, 4]), Faults { duplicated: 1, ..Faults::default() });
        assert_eq!(run(&[1, 3, 2, 4]), Faults { reordered: 1, ..Faults::default() });
        assert_eq!(run(&[2, 1, 1, 3, 4]), Faults { reordered: 1, duplicated: 1, ..Faults::default() });
    }

    #[test]
    fn a_foreign_channel_is_misrouted() {
        let mut ledger = Ledger::new();
        let mine = ledger.add_channel("mine".into());
        let other = ledger.add_channel("other".into());
        let stamp = ledger.publish(other, 0);
        ledger.deliver(Some(mine), &mut Cursor::starting_at(1), stamp, 0);
        assert_eq!(ledger.faults(), &Faults { misrouted: 1, ..Faults::default() });
    }

    #[test]
    fn a_publication_is_outstanding_until_its_last_subscriber_has_it() {
        let mut ledger = Ledger::new();
        let channel = ledger.add_channel("a".into());
        ledger.subscribed(channel);
        ledger.subscribed(channel);
        let (first, second) = (ledger.publish(channel, 0), ledger.publish(channel, 0));
        let (mut one, mut two) = (Cursor::starting_at(1), Cursor::starting_at(1));
        ledger.deliver(Some(channel), &mut one, first, 0);
        ledger.deliver(Some(channel), &mut one, second, 0);
        assert_eq!(ledger.outstanding(), 2);
        assert!(!ledger.is_settled(channel));
        ledger.deliver(Some(channel), &mut two, first, 0);
        assert_eq!(ledger.outstanding(), 1);
        ledger.deliver(Some(channel), &mut two, second, 0);
        assert_eq!(ledger.outstanding(), 0);
        assert!(ledger.is_settled(channel));
    }
}
