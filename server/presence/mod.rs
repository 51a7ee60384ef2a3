//! Who is in a channel: the contract every presence engine fulfils.

#[cfg(test)]
pub(crate) mod contract_tests;
mod memory;
mod redis;

pub use memory::MemoryPresence;
pub use redis::{RedisPresence, RedisPresenceSettings};

use crate::broker::{ClientInfo, MaybeReady};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many are in a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PresenceStats {
    /// Connections.
    pub clients: u32,
    /// Distinct users; the empty user counts as one.
    pub users: u32,
}

/// Why a presence engine did not answer.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    /// The store did not answer: a retry may help, clients get code 100.
    #[error("presence store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// An engine for presence.
pub trait PresenceStore: Send + Sync + 'static {
    /// Adds or renews a client.
    fn add(&self, channel: &Arc<str>, info: Arc<ClientInfo>) -> MaybeReady<Result<(), PresenceError>>;
    /// Removes a client; unknown ones are no error.
    fn remove(&self, channel: &Arc<str>, client: &str, user: &str) -> MaybeReady<Result<(), PresenceError>>;
    /// Returns everyone in `channel` by client identifier.
    fn get(&self, channel: &Arc<str>)
    -> MaybeReady<Result<BTreeMap<String, Arc<ClientInfo>>, PresenceError>>;
    /// Counts everyone in `channel`.
    fn stats(&self, channel: &Arc<str>) -> MaybeReady<Result<PresenceStats, PresenceError>>;
}
