//! How far everybody is, while a run lasts: what conditions of a scenario wait for. Verdicts come from the log alone.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A place in a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    pub epoch: String,
    pub offset: u64,
}

#[derive(Default)]
pub struct Board {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    acked: u64,
    tops: HashMap<String, Position>,
    positions: HashMap<(u32, String), Position>,
}

impl Board {
    /// A message was acknowledged at this place, if it is known.
    pub fn acked(&self, channel: &str, position: Position) {
        let mut state = self.state();
        state.acked += 1;
        if position.epoch.is_empty() {
            return;
        }
        let top = state.tops.entry(channel.to_owned()).or_default();
        if top.epoch != position.epoch || top.offset < position.offset {
            *top = position;
        }
    }

    /// A subscriber is there, and has everything up to this place.
    pub fn reached(&self, who: u32, channel: &str, position: Position) {
        self.state().positions.insert((who, channel.to_owned()), position);
    }

    /// How many messages were acknowledged.
    pub fn count(&self) -> u64 {
        self.state().acked
    }

    /// How many subscriptions were there at some time.
    pub fn subscriptions(&self) -> usize {
        self.state().positions.len()
    }

    /// Where the subscriptions of some channels are.
    pub fn positions(&self, channels: &[String]) -> HashMap<(u32, String), Position> {
        let state = self.state();
        let some = state.positions.iter().filter(|((_, channel), _)| channels.contains(channel));
        some.map(|(key, position)| (key.clone(), position.clone())).collect()
    }

    /// Whether a subscription knows its position in a stream.
    pub fn is_placed(&self, who: u32, channel: &str) -> bool {
        let state = self.state();
        state.positions.get(&(who, channel.to_owned())).is_some_and(|position| !position.epoch.is_empty())
    }

    /// Subscriptions that have not reached the last acknowledged message of their channel.
    pub fn behind(&self) -> Vec<(u32, String)> {
        let state = self.state();
        let reached = |channel: &str, position: &Position| {
            let Some(top) = state.tops.get(channel) else { return true };
            // A subscription without a position knows offsets, but not of which epoch.
            let comparable = position.epoch.is_empty() || position.epoch == top.epoch;
            comparable && position.offset >= top.offset
        };
        let late = state.positions.iter().filter(|((_, channel), position)| !reached(channel, position));
        late.map(|(key, _)| key.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
