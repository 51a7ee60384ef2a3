//! Verbs that act on connections. They return before the connections have acted.

use super::{Connections, DisconnectUser, Node, NodeError, RefreshUser, SubscribeUser, UnsubscribeUser};
use crate::observability::{Action, BrokerMessage};
use std::sync::Arc;

impl Node {
    /// Subscribes existing connections. Options the request leaves open are filled in from the namespace.
    ///
    /// # Errors
    /// `BadRequest` when the channel is empty; `UnknownChannel`; `AlreadyExpired` when the
    /// subscription would be over before it began.
    ///
    /// Source: `proto/api/api.proto` `SubscribeRequest`.
    pub fn subscribe_user(&self, mut request: SubscribeUser) -> Result<(), NodeError> {
        let options = self.named_options(&request.channel)?;
        if request.expire_at > 0 && request.expire_at <= self.parts.clock.now().unix.seconds() {
            return Err(NodeError::AlreadyExpired(request.expire_at));
        }
        request.presence.get_or_insert(options.presence);
        request.join_leave.get_or_insert(options.join_leave);
        request.push_join_leave.get_or_insert(options.force_push_join_leave);
        request.recovery.get_or_insert(options.force_recovery);
        request.positioning.get_or_insert(options.force_positioning);
        self.tell(|connections| connections.subscribe(Arc::new(request)));
        Ok(())
    }

    /// Ends subscriptions. An empty channel ends none but is told to the connections all the same.
    ///
    /// # Errors
    /// `UnknownChannel`.
    ///
    /// Source: `proto/api/api.proto` `UnsubscribeRequest`.
    pub fn unsubscribe_user(&self, request: UnsubscribeUser) -> Result<(), NodeError> {
        if !request.channel.is_empty() {
            self.options(&request.channel)?;
        }
        self.tell(|connections| connections.unsubscribe(Arc::new(request)));
        Ok(())
    }

    /// Ends connections.
    ///
    /// Source: `proto/api/api.proto` `DisconnectRequest`.
    pub fn disconnect_user(&self, request: DisconnectUser) {
        self.tell(|connections| connections.disconnect(Arc::new(request)));
    }

    /// Renews or ends the life of connections.
    ///
    /// Source: `proto/api/api.proto` `RefreshRequest`.
    pub fn refresh_user(&self, request: RefreshUser) {
        self.tell(|connections| connections.refresh(Arc::new(request)));
    }

    fn tell(&self, what: impl FnOnce(&dyn Connections)) {
        self.parts.metrics.sent(BrokerMessage::Control, 1);
        if let Some(connections) = self.connections.get() {
            what(&**connections);
        }
    }

    /// Counts an action of this node, for callers that talk to the engines themselves.
    pub fn count(&self, action: Action) {
        self.parts.metrics.action(action);
    }
}
