//! Acting on the connections of users.

use super::super::errors::Refusal;
use super::super::service::Service;
use crate::broker::StreamPosition;
use crate::node::{DisconnectUser, RefreshUser, SubscribeUser, Target, UnsubscribeUser};
use gyre_proto::api;
use gyre_proto::codes::DisconnectCode;

impl Service {
    pub(in crate::api) fn subscribe_user(
        &self,
        request: api::SubscribeRequest,
    ) -> Result<api::SubscribeResult, Refusal> {
        // An empty channel is refused before payloads are looked at, as upstream does.
        if request.channel.is_empty() {
            return Err(Refusal::bad_request("channel is empty"));
        }
        let (info, data) = (request.info_bytes(), request.data_bytes());
        let overrides = request.r#override.unwrap_or_default();
        let value = |value: Option<api::BoolValue>| value.map(|value| value.value);
        self.node.subscribe_user(SubscribeUser {
            target: Target { user: request.user, client: request.client, session: request.session },
            channel: request.channel,
            expire_at: request.expire_at,
            info: info?,
            data: data?,
            recover_since: request.recover_since.map(position),
            presence: value(overrides.presence),
            join_leave: value(overrides.join_leave),
            push_join_leave: value(overrides.force_push_join_leave),
            recovery: value(overrides.force_recovery),
            positioning: value(overrides.force_positioning),
        })?;
        Ok(api::SubscribeResult {})
    }

    pub(in crate::api) fn unsubscribe_user(
        &self,
        request: api::UnsubscribeRequest,
    ) -> Result<api::UnsubscribeResult, Refusal> {
        self.node.unsubscribe_user(UnsubscribeUser {
            target: Target { user: request.user, client: request.client, session: request.session },
            channel: request.channel,
        })?;
        Ok(api::UnsubscribeResult {})
    }

    pub(in crate::api) fn disconnect_user(
        &self,
        request: api::DisconnectRequest,
    ) -> Result<api::DisconnectResult, Refusal> {
        let api::Disconnect { code, reason } = request.disconnect.unwrap_or_else(force_disconnect);
        self.node.disconnect_user(DisconnectUser {
            target: Target { user: request.user, client: request.client, session: request.session },
            whitelist: request.whitelist,
            code,
            reason,
        })?;
        Ok(api::DisconnectResult {})
    }

    pub(in crate::api) fn refresh_user(
        &self,
        request: api::RefreshRequest,
    ) -> Result<api::RefreshResult, Refusal> {
        self.node.refresh_user(RefreshUser {
            target: Target { user: request.user, client: request.client, session: request.session },
            expired: request.expired,
            expire_at: request.expire_at,
            info: request.info,
        })?;
        Ok(api::RefreshResult {})
    }
}

/// What a disconnect says when the caller does not choose.
fn force_disconnect() -> api::Disconnect {
    let code = DisconnectCode::ForceNoReconnect;
    api::Disconnect { code: code as u32, reason: "force disconnect".to_owned() }
}

/// Reads a stream position.
pub(super) fn position(position: api::StreamPosition) -> StreamPosition {
    StreamPosition { offset: position.offset, epoch: position.epoch.into() }
}
