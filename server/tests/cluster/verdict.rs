//! What the checker found.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::log::Micros;

/// Most examples kept of each kind.
const EXAMPLES: usize = 3;

/// A kind of broken promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Acknowledged, never delivered, never told.
    Lost,
    /// Offsets jumped and the client was told nothing.
    SilentGap,
    /// The same message twice.
    Duplicate,
    /// A message before one that it follows.
    Reorder,
    /// A message nobody sent.
    Phantom,
    /// Two messages at one place of a stream.
    Fork,
}

/// Counts of a run.
#[derive(Debug, Default)]
pub struct Verdict {
    pub attempted: u64,
    pub acked: u64,
    pub delivered: u64,
    pub disconnects: u64,
    /// Times a client was told that it misses something.
    pub honest_gaps: u64,
    /// Longest time from the acknowledgement, or the end of the fault it fell into, to a delivery.
    pub worst_delay: Micros,
    found: BTreeMap<Kind, (u64, Vec<String>)>,
}

impl Verdict {
    pub fn found(&mut self, kind: Kind, text: String) {
        let (count, examples) = self.found.entry(kind).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(text);
        }
    }

    pub fn count(&self, kind: Kind) -> u64 {
        self.found.get(&kind).map_or(0, |(count, _)| *count)
    }

    /// Whether no promise was broken. Redis that forgets may give a place to two messages.
    pub fn clean(&self, forks_allowed: bool) -> bool {
        self.found.keys().all(|kind| forks_allowed && *kind == Kind::Fork)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} sent, {} acknowledged, {} delivered, {} disconnects, {} honest gaps, worst delay {} ms",
            self.attempted,
            self.acked,
            self.delivered,
            self.disconnects,
            self.honest_gaps,
            self.worst_delay / 1000
        )?;
        for (kind, (count, examples)) in &self.found {
            write!(formatter, "; {kind:?} {count} (such as: {})", examples.join("; "))?;
        }
        Ok(())
    }
}
