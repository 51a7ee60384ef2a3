//! What a node asks of the connections it holds.

use super::types::{DisconnectUser, RefreshUser, SubscribeUser, UnsubscribeUser};
use crate::broker::{BrokerError, MaybeReady};
use std::sync::Arc;

/// How much a node holds at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that are authenticated.
    pub clients: u32,
    /// Distinct users among them.
    pub users: u32,
    /// Channels with at least one subscriber.
    pub channels: u32,
    /// Subscriptions.
    pub subscriptions: u32,
}

/// The connections of this node, fulfilled by the reactor.
///
/// Blocking: every method returns at once; effects happen on the threads that own the connections.
pub trait Connections: Send + Sync + 'static {
    /// Waits until subscribers have nearly caught up with what was published before; at once when they are not
    /// far behind.
    ///
    /// # Errors
    /// `Unavailable` when they do not catch up in time.
    fn room_to_publish(&self) -> MaybeReady<Result<(), BrokerError>> {
        MaybeReady::ready(Ok(()))
    }
    /// Subscribes matching connections.
    fn subscribe(&self, request: Arc<SubscribeUser>);
    /// Unsubscribes matching connections.
    fn unsubscribe(&self, request: Arc<UnsubscribeUser>);
    /// Ends matching connections.
    fn disconnect(&self, request: Arc<DisconnectUser>);
    /// Refreshes matching connections.
    fn refresh(&self, request: Arc<RefreshUser>);
    /// Channels with subscribers on this node, with how many.
    fn channels(&self) -> Vec<(Arc<str>, u32)>;
    /// Totals of this node.
    fn counts(&self) -> Counts;
}
