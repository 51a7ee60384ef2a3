//! How many connections each user has on this node.

use hashbrown::HashMap;
use parking_lot::Mutex;
use std::sync::Arc;

/// Connections by user. One mutex, because it is touched twice in the life of a connection.
#[derive(Default)]
pub(super) struct Users(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    connections: HashMap<Arc<str>, u32>,
    total: u32,
}

impl Users {
    pub(super) fn enter(&self, user: &Arc<str>) {
        let mut inner = self.0.lock();
        *inner.connections.entry(user.clone()).or_insert(0) += 1;
        inner.total += 1;
    }

    pub(super) fn leave(&self, user: &str) {
        let mut inner = self.0.lock();
        if let Some(count) = inner.connections.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                inner.connections.remove(user);
            }
            inner.total -= 1;
        }
    }

    pub(super) fn connections_of(&self, user: &str) -> usize {
        self.0.lock().connections.get(user).map_or(0, |count| *count as usize)
    }

    /// Connections and distinct users.
    pub(super) fn totals(&self) -> (u32, u32) {
        let inner = self.0.lock();
        (inner.total, inner.connections.len() as u32)
    }
}
