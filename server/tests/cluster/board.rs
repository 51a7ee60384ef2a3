//! How far everybody is, while a run lasts: what conditions of a scenario wait for. Verdicts come from the log alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A place in a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    pub epoch: Arc<str>,
    pub offset: u64,
}

#[derive(Default)]
pub struct Board {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    acked: u64,
    tops: HashMap<Arc<str>, Position>,
    positions: HashMap<(u32, Arc<str>), Position>,
}

impl State {
    fn reached(&self, channel: &str, position: &Position) -> bool {
        let Some(top) = self.tops.get(channel) else { return true };
        // A subscription without a position knows offsets, but not of which epoch.
        let comparable = position.epoch.is_empty() || position.epoch == top.epoch;
        comparable && position.offset >= top.offset
    }
}

impl Board {
    /// A message was acknowledged at this place, if it is known.
    pub fn acked(&self, channel: &Arc<str>, position: Position) {
        let mut state = self.state();
        state.acked += 1;
        if position.epoch.is_empty() {
            return;
        }
        let top = state.tops.entry(channel.clone()).or_default();
        if top.epoch != position.epoch || top.offset < position.offset {
            *top = position;
        }
    }

    /// A subscriber is there, and has everything up to this place.
    pub fn reached(&self, who: u32, channel: &Arc<str>, position: Position) {
        self.state().positions.insert((who, channel.clone()), position);
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
    pub fn positions(&self, channels: &[Arc<str>]) -> HashMap<(u32, Arc<str>), Position> {
        let state = self.state();
        let some = state.positions.iter().filter(|((_, channel), _)| channels.contains(channel));
        some.map(|(key, position)| (key.clone(), position.clone())).collect()
    }

    /// Whether some subscription has not reached the last acknowledged message of its channel.
    pub fn is_behind(&self) -> bool {
        let state = self.state();
        state.positions.iter().any(|((_, channel), position)| !state.reached(channel, position))
    }

    /// The same for subscriptions that know their position.
    pub fn is_placed_behind(&self) -> bool {
        let state = self.state();
        let placed = state.positions.iter().filter(|(_, position)| !position.epoch.is_empty());
        placed.into_iter().any(|((_, channel), position)| !state.reached(channel, position))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
