//! What a node must know about a channel's namespace.

use super::DataFormat;
use std::sync::Arc;
use std::time::Duration;

/// Finds the options of channels. Fulfilled by whoever knows the configuration.
///
/// Blocking: answers at once; called for every channel of a broadcast.
pub trait Namespaces: Send + Sync + 'static {
    /// Returns the options of `channel`, or `None` when its namespace is not configured.
    fn options(&self, channel: &str) -> Option<Arc<ChannelOptions>>;
}

/// Options of a namespace that the verbs of a node obey.
///
/// Source: features-core rows NS-1 to NS-13 of the compatibility checklist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelOptions {
    /// What subscriptions to its channels are.
    pub kind: ChannelKind,
    /// Payloads its channels take.
    pub data_format: DataFormat,
    /// Publications kept; zero turns history off.
    pub history_size: u64,
    /// How long publications are kept; zero turns history off.
    pub history_ttl: Duration,
    /// How long stream positions are kept, with the global default applied; zero means forever.
    pub history_meta_ttl: Duration,
    /// Every publication is sent as a delta to subscribers that negotiated it.
    pub delta_publish: bool,
    /// Subscribers are kept in presence.
    pub presence: bool,
    /// Subscribers cause join and leave messages.
    pub join_leave: bool,
    /// Join and leave messages go to all subscribers without their asking.
    pub force_push_join_leave: bool,
    /// Subscriptions recover.
    pub force_recovery: bool,
    /// Subscriptions are positioned.
    pub force_positioning: bool,
}

impl ChannelOptions {
    /// Whether publications are kept.
    pub fn has_history(&self) -> bool {
        self.history_size > 0 && !self.history_ttl.is_zero()
    }
}

/// What subscriptions to a channel are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelKind {
    /// A stream of publications.
    #[default]
    Stream,
    /// A map of keys, as the application wrote it, or of clients or users that are present.
    Map,
    /// Items polled from the backend on behalf of all subscribers.
    SharedPoll,
}
