//! What a node asks of the connections it holds.

use super::emulation::EmulationError;
use super::types::{DisconnectUser, RefreshUser, SubscribeUser, UnsubscribeUser};
use crate::broker::{BrokerError, MaybeReady};
use crate::cluster::Cluster;
use bytes::Bytes;
use gyre_proto::control;
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
    /// Hands commands to the connection of this node with this session, which only receives by itself, and
    /// waits until they were handled. Commands in JSON are one JSON string.
    ///
    /// # Errors
    /// `NoSession`, also when the session is that of a connection without emulation; `Malformed`.
    fn emulate(&self, session: &str, commands: Bytes) -> MaybeReady<Result<(), EmulationError>> {
        let _ = (session, commands);
        MaybeReady::ready(Err(EmulationError::NoSession))
    }
    /// Channels of this node with subscribers, with how many.
    fn channels(&self) -> Vec<(Arc<str>, u32)>;
    /// Totals of this node.
    fn counts(&self) -> Counts;
}

/// The connections of this node and of all others, for those who act on them without the node.
pub struct Everywhere {
    /// Connections of this node.
    pub local: Arc<dyn Connections>,
    /// The way to the others.
    pub cluster: Arc<Cluster>,
}

impl Everywhere {
    fn tell(&self, fill: impl FnOnce(&mut control::Command)) {
        if let Err(error) = self.cluster.tell(fill) {
            tracing::warn!(%error, "other nodes were not told");
        }
    }
}

impl Connections for Everywhere {
    fn subscribe(&self, request: Arc<SubscribeUser>) {
        self.tell(|command| command.subscribe = Some(Box::new((&*request).into())));
        self.local.subscribe(request);
    }

    fn unsubscribe(&self, request: Arc<UnsubscribeUser>) {
        self.tell(|command| command.unsubscribe = Some(Box::new((&*request).into())));
        self.local.unsubscribe(request);
    }

    fn disconnect(&self, request: Arc<DisconnectUser>) {
        self.tell(|command| command.disconnect = Some(Box::new((&*request).into())));
        self.local.disconnect(request);
    }

    fn refresh(&self, request: Arc<RefreshUser>) {
        self.tell(|command| command.refresh = Some(Box::new((&*request).into())));
        self.local.refresh(request);
    }

    fn emulate(&self, session: &str, commands: Bytes) -> MaybeReady<Result<(), EmulationError>> {
        self.local.emulate(session, commands)
    }

    fn channels(&self) -> Vec<(Arc<str>, u32)> {
        self.local.channels()
    }

    fn counts(&self) -> Counts {
        self.local.counts()
    }
}
