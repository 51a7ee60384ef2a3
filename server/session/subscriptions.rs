//! The subscriptions of one connection.

use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;

/// One subscription.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Channel.
    pub channel: Arc<str>,
    /// Made by the server, not by a subscribe command.
    pub server_side: bool,
    /// Came from the connection token.
    pub from_token: bool,
    /// A stream of the application feeds it.
    pub fed: bool,
    /// The answer to the join is under way.
    pub joining: bool,
    /// The client is listed in presence.
    pub presence: bool,
    /// Others hear of join and leave.
    pub join_leave: bool,
    /// Publications must follow each other without a gap.
    pub positioned: bool,
    /// The client may recover.
    pub recoverable: bool,
    /// The client renews the subscription by itself.
    pub client_side_refresh: bool,
    /// Seconds since 1970 at which it expires; zero means never.
    pub expire_at: i64,
    /// Channel information, boxed because few have it.
    pub info: Option<Box<Bytes>>,
    /// When the position was last compared with the stream's.
    pub checked: Option<Instant>,
}

impl Subscription {
    /// Channel information; empty when none.
    pub fn info(&self) -> Bytes {
        self.info.as_deref().cloned().unwrap_or_default()
    }

    /// Replaces channel information.
    pub fn set_info(&mut self, info: Bytes) {
        self.info = (!info.is_empty()).then(|| Box::new(info));
    }
}

/// The subscriptions of one connection, few enough that a scan beats a map.
#[derive(Debug, Default)]
pub struct Subscriptions(Vec<Subscription>);

impl Subscriptions {
    /// How many there are, including those being joined.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Finds one.
    pub fn get(&self, channel: &str) -> Option<&Subscription> {
        self.0.iter().find(|subscription| &*subscription.channel == channel)
    }

    /// Finds one to change.
    pub fn get_mut(&mut self, channel: &str) -> Option<&mut Subscription> {
        self.0.iter_mut().find(|subscription| &*subscription.channel == channel)
    }

    /// Whether `channel` is subscribed for good, not just being joined.
    pub fn is_subscribed(&self, channel: &str) -> bool {
        self.get(channel).is_some_and(|subscription| !subscription.joining)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Subscription> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Subscription> {
        self.0.iter_mut()
    }

    pub(super) fn insert(&mut self, subscription: Subscription) {
        debug_assert!(self.get(&subscription.channel).is_none());
        if self.0.is_empty() {
            self.0.reserve_exact(1);
        }
        self.0.push(subscription);
    }

    pub(super) fn remove(&mut self, channel: &str) -> Option<Subscription> {
        let at = self.0.iter().position(|subscription| &*subscription.channel == channel)?;
        Some(self.0.swap_remove(at))
    }

    pub(super) fn drain(&mut self) -> Vec<Subscription> {
        std::mem::take(&mut self.0)
    }
}
