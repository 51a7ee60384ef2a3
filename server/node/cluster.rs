//! This node's half of what nodes tell each other.

use super::emulation::EMULATION;
use super::{
    DisconnectUser, Glob, Node, NodeError, NodeInfo, RefreshUser, SubscribeUser, Target, UnsubscribeUser,
};
use crate::broker::{MaybeReady, StreamPosition};
use crate::cluster::{Answers, Handler, Member, Reply, ReplyCode};
use bytes::Bytes;
use gyre_proto::codes::UnsubscribeCode;
use gyre_proto::{api, control};
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The survey that lists channels: asked with a `ChannelsRequest`, answered with a `ChannelsResult`.
pub(super) const CHANNELS: &str = "channels";

impl Handler for Node {
    fn describe(&self) -> control::Node {
        let NodeInfo { uid, name, version, clients, users, channels, subscriptions, uptime, .. } =
            self.own_info();
        let aggregated = self.aggregated.load();
        let metrics = (!aggregated.items.is_empty()).then(|| control::Metrics {
            interval: aggregated.interval.as_secs_f64(),
            items: aggregated.items.clone(),
        });
        control::Node {
            uid,
            name,
            version,
            num_clients: clients,
            num_users: users,
            num_channels: channels,
            uptime,
            metrics,
            num_subs: subscriptions,
            ..Default::default()
        }
    }

    fn subscribe(&self, request: control::Subscribe) {
        if is_for_known_users(request.all_users, request.label_filter.is_some()) {
            self.local(|connections| connections.subscribe(Arc::new(request.into())));
        }
    }

    fn unsubscribe(&self, request: control::Unsubscribe) {
        if is_for_known_users(request.all_users, request.label_filter.is_some()) {
            self.local(|connections| connections.unsubscribe(Arc::new(request.into())));
        }
    }

    fn disconnect(&self, request: control::Disconnect) {
        if is_for_known_users(request.all_users, request.label_filter.is_some()) {
            self.local(|connections| connections.disconnect(Arc::new(request.into())));
        }
    }

    fn refresh(&self, request: control::Refresh) {
        if is_for_known_users(request.all_users, request.label_filter.is_some()) {
            self.local(|connections| connections.refresh(Arc::new(request.into())));
        }
    }

    fn answer(&self, operation: &str, data: Bytes) -> MaybeReady<Reply> {
        match operation {
            CHANNELS => MaybeReady::ready(self.answer_channels(data)),
            EMULATION => self.answer_emulation(data),
            _ => MaybeReady::ready(Reply::code(ReplyCode::UNKNOWN)),
        }
    }
}

/// Requests for all users or by labels come from commercial nodes; carrying them out for the empty user would
/// reach the wrong connections.
fn is_for_known_users(all_users: bool, by_labels: bool) -> bool {
    if all_users || by_labels {
        tracing::warn!(
            "another node asked for something that chooses connections by labels; it is not done here"
        );
    }
    !all_users && !by_labels
}

impl Node {
    fn answer_channels(&self, data: Bytes) -> Reply {
        let Ok(request) = api::ChannelsRequest::decode(data) else {
            return Reply::code(ReplyCode::INVALID);
        };
        let Ok(glob) = glob(&request.pattern) else { return Reply::code(ReplyCode::INVALID) };
        let channels = self
            .own_channels(glob.as_ref())
            .map(|(channel, num_clients)| (channel.to_string(), api::ChannelInfo { num_clients }))
            .collect();
        Reply::data(api::ChannelsResult { channels }.encode_to_vec())
    }

    /// Channels of this node with subscribers.
    pub(super) fn own_channels(&self, glob: Option<&Glob>) -> impl Iterator<Item = (Arc<str>, u32)> {
        let channels = self.connections.get().map(|connections| connections.channels()).unwrap_or_default();
        channels
            .into_iter()
            .filter(move |(name, clients)| *clients > 0 && glob.is_none_or(|glob| glob.matches(name)))
    }
}

/// The pattern of a channels request; none for the empty one, which matches all.
pub(super) fn glob(pattern: &str) -> Result<Option<Glob>, NodeError> {
    Ok(if pattern.is_empty() { None } else { Some(Glob::compile(pattern)?) })
}

/// Adds up what the nodes have.
pub(super) fn sum_channels(answers: Answers) -> Result<BTreeMap<String, u32>, NodeError> {
    let mut channels = BTreeMap::new();
    for (node, reply) in answers {
        let result = match reply.code {
            ReplyCode::OK => api::ChannelsResult::decode(reply.data).ok(),
            _ => None,
        };
        let Some(result) = result else { return Err(NodeError::NoAnswer { node, code: reply.code.0 }) };
        for (channel, info) in result.channels {
            *channels.entry(channel).or_default() += info.num_clients;
        }
    }
    Ok(channels)
}

impl From<Member> for NodeInfo {
    fn from(member: Member) -> Self {
        let node = member.info;
        let metrics = node.metrics.unwrap_or_default();
        Self {
            uid: node.uid,
            name: node.name,
            version: node.version,
            clients: node.num_clients,
            users: node.num_users,
            channels: node.num_channels,
            subscriptions: node.num_subs,
            uptime: node.uptime,
            metrics: metrics.items,
            metrics_interval: metrics.interval,
        }
    }
}

impl From<&SubscribeUser> for control::Subscribe {
    fn from(request: &SubscribeUser) -> Self {
        let SubscribeUser { target, channel, expire_at, info, data, recover_since, .. } = request;
        let Target { user, client, session } = target.clone();
        Self {
            user,
            client,
            session,
            channel: channel.clone(),
            expire_at: *expire_at,
            channel_info: info.clone(),
            data: data.clone(),
            recover_since: recover_since.as_ref().map(|since| control::StreamPosition {
                offset: since.offset,
                epoch: since.epoch.as_str().to_owned(),
            }),
            emit_presence: request.presence.unwrap_or_default(),
            emit_join_leave: request.join_leave.unwrap_or_default(),
            push_join_leave: request.push_join_leave.unwrap_or_default(),
            recover: request.recovery.unwrap_or_default(),
            position: request.positioning.unwrap_or_default(),
            ..Default::default()
        }
    }
}

impl From<control::Subscribe> for SubscribeUser {
    fn from(request: control::Subscribe) -> Self {
        Self {
            target: Target { user: request.user, client: request.client, session: request.session },
            channel: request.channel,
            expire_at: request.expire_at,
            info: request.channel_info,
            data: request.data,
            recover_since: request
                .recover_since
                .map(|since| StreamPosition { offset: since.offset, epoch: since.epoch.as_str().into() }),
            presence: Some(request.emit_presence),
            join_leave: Some(request.emit_join_leave),
            push_join_leave: Some(request.push_join_leave),
            recovery: Some(request.recover),
            positioning: Some(request.position),
        }
    }
}

impl From<&UnsubscribeUser> for control::Unsubscribe {
    fn from(request: &UnsubscribeUser) -> Self {
        let Target { user, client, session } = request.target.clone();
        let code = UnsubscribeCode::Server;
        Self {
            user,
            client,
            session,
            channel: request.channel.clone(),
            code: code as i32 as u32,
            reason: code.reason().to_owned(),
            ..Default::default()
        }
    }
}

impl From<control::Unsubscribe> for UnsubscribeUser {
    fn from(request: control::Unsubscribe) -> Self {
        Self {
            target: Target { user: request.user, client: request.client, session: request.session },
            channel: request.channel,
        }
    }
}

impl From<&DisconnectUser> for control::Disconnect {
    fn from(request: &DisconnectUser) -> Self {
        let Target { user, client, session } = request.target.clone();
        Self {
            user,
            client,
            session,
            whitelist: request.whitelist.clone(),
            code: request.code,
            reason: request.reason.clone(),
            ..Default::default()
        }
    }
}

impl From<control::Disconnect> for DisconnectUser {
    fn from(request: control::Disconnect) -> Self {
        Self {
            target: Target { user: request.user, client: request.client, session: request.session },
            whitelist: request.whitelist,
            code: request.code,
            reason: request.reason,
        }
    }
}

impl From<&RefreshUser> for control::Refresh {
    fn from(request: &RefreshUser) -> Self {
        let Target { user, client, session } = request.target.clone();
        Self {
            user,
            client,
            session,
            expired: request.expired,
            expire_at: request.expire_at,
            info: request.info.clone(),
            ..Default::default()
        }
    }
}

impl From<control::Refresh> for RefreshUser {
    fn from(request: control::Refresh) -> Self {
        Self {
            target: Target { user: request.user, client: request.client, session: request.session },
            expired: request.expired,
            expire_at: request.expire_at,
            info: request.info,
        }
    }
}
