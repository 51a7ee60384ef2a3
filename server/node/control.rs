//! Verbs that act on connections of all nodes. They return before the connections have acted.

use super::{Connections, DisconnectUser, Node, NodeError, RefreshUser, SubscribeUser, UnsubscribeUser};
use crate::observability::Action;
use gyre_proto::control;
use std::sync::Arc;

impl Node {
    /// Subscribes existing connections. Options the request leaves open are filled in from the namespace.
    ///
    /// # Errors
    /// `BadRequest` when the channel is empty; `UnknownChannel`; `AlreadyExpired` when the
    /// subscription would be over before it began; `NotTold`.
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
        self.tell(|command| command.subscribe = Some(Box::new((&request).into())))?;
        self.local(|connections| connections.subscribe(Arc::new(request)));
        Ok(())
    }

    /// Ends subscriptions. An empty channel ends none but is told to the connections all the same.
    ///
    /// # Errors
    /// `UnknownChannel`; `NotTold`.
    ///
    /// Source: `proto/api/api.proto` `UnsubscribeRequest`.
    pub fn unsubscribe_user(&self, request: UnsubscribeUser) -> Result<(), NodeError> {
        if !request.channel.is_empty() {
            self.options(&request.channel)?;
        }
        self.tell(|command| command.unsubscribe = Some(Box::new((&request).into())))?;
        self.local(|connections| connections.unsubscribe(Arc::new(request)));
        Ok(())
    }

    /// Ends connections.
    ///
    /// # Errors
    /// `NotTold`: nothing has happened then.
    ///
    /// Source: `proto/api/api.proto` `DisconnectRequest`.
    pub fn disconnect_user(&self, request: DisconnectUser) -> Result<(), NodeError> {
        self.tell(|command| command.disconnect = Some(Box::new((&request).into())))?;
        self.local(|connections| connections.disconnect(Arc::new(request)));
        Ok(())
    }

    /// Renews or ends the life of connections.
    ///
    /// # Errors
    /// `NotTold`: nothing has happened then.
    ///
    /// Source: `proto/api/api.proto` `RefreshRequest`.
    pub fn refresh_user(&self, request: RefreshUser) -> Result<(), NodeError> {
        self.tell(|command| command.refresh = Some(Box::new((&request).into())))?;
        self.local(|connections| connections.refresh(Arc::new(request)));
        Ok(())
    }

    /// Tells the other nodes. Done first, so that nothing has happened when it fails.
    fn tell(&self, fill: impl FnOnce(&mut control::Command)) -> Result<(), NodeError> {
        Ok(self.parts.cluster.tell(fill)?)
    }

    pub(super) fn local(&self, what: impl FnOnce(&dyn Connections)) {
        if let Some(connections) = self.connections.get() {
            what(&**connections);
        }
    }

    /// Counts an action of this node, for callers that talk to the engines themselves.
    pub fn count(&self, action: Action) {
        self.parts.metrics.action(action);
    }
}
