//! What the verbs of a node take and give.

use crate::broker::{BrokerError, StreamPosition, Tags};
use crate::cluster::{QueueFull, SurveyError};
use crate::presence::PresenceError;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Publishing as the server API asks for it; history options come from the namespace.
#[derive(Clone, Debug, Default)]
pub struct PublishRequest {
    /// Payload, checked against the namespace's data format.
    pub data: Bytes,
    /// Deliver without saving.
    pub skip_history: bool,
    /// Tags to attach.
    pub tags: Option<Arc<Tags>>,
    /// See [`crate::broker::PublishOptions::idempotency_key`].
    pub idempotency_key: String,
    /// Send deltas to subscribers that negotiated them.
    pub delta: bool,
    /// See [`crate::broker::PublishOptions::version`].
    pub version: u64,
    /// See [`crate::broker::PublishOptions::version_epoch`].
    pub version_epoch: String,
}

/// Which connections of the cluster an operation is for: all of `user`, narrowed by the others when not empty.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// User; the empty user means all anonymous connections.
    pub user: String,
    /// Only this connection.
    pub client: String,
    /// Only the connection with this session identifier.
    pub session: String,
}

/// Subscribing existing connections on the server's behalf.
#[derive(Clone, Debug, Default)]
pub struct SubscribeUser {
    /// Connections to subscribe.
    pub target: Target,
    /// Channel.
    pub channel: String,
    /// When the subscription expires, seconds since 1970; zero means never.
    pub expire_at: i64,
    /// Channel information, becomes `chan_info`.
    pub info: Bytes,
    /// Custom data for the subscribe push.
    pub data: Bytes,
    /// Recover publications after this position.
    pub recover_since: Option<StreamPosition>,
    /// Overrides of namespace options.
    pub presence: Option<bool>,
    /// Overrides `join_leave`.
    pub join_leave: Option<bool>,
    /// Overrides `force_push_join_leave`.
    pub push_join_leave: Option<bool>,
    /// Overrides `force_recovery`.
    pub recovery: Option<bool>,
    /// Overrides `force_positioning`.
    pub positioning: Option<bool>,
}

/// Ending subscriptions on the server's behalf.
#[derive(Clone, Debug, Default)]
pub struct UnsubscribeUser {
    /// Connections to unsubscribe.
    pub target: Target,
    /// Channel.
    pub channel: String,
}

/// Ending connections.
#[derive(Clone, Debug, Default)]
pub struct DisconnectUser {
    /// Connections to end.
    pub target: Target,
    /// Client identifiers that stay.
    pub whitelist: Vec<String>,
    /// Code, 3503 by default.
    pub code: u32,
    /// Text that goes with the code.
    pub reason: String,
}

/// Renewing or ending the life of connections.
#[derive(Clone, Debug, Default)]
pub struct RefreshUser {
    /// Connections to refresh.
    pub target: Target,
    /// End them now with 3005.
    pub expired: bool,
    /// New end of life, seconds since 1970; zero means none.
    pub expire_at: i64,
    /// New connection information; empty keeps the old.
    pub info: Bytes,
}

/// Channels with subscribers, and how many.
#[derive(Clone, Debug, Default)]
pub struct ChannelsPage {
    /// Connections per channel.
    pub channels: BTreeMap<String, u32>,
}

/// One node of the cluster.
#[derive(Clone, Debug, Default)]
pub struct NodeInfo {
    /// Identifier, new at each start.
    pub uid: String,
    /// Configured name, or host and port.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Connections.
    pub clients: u32,
    /// Distinct users.
    pub users: u32,
    /// Channels with subscribers.
    pub channels: u32,
    /// Subscriptions.
    pub subscriptions: u32,
    /// Seconds since start.
    pub uptime: u32,
    /// Values since the last aggregation, by name; empty before the first.
    pub metrics: BTreeMap<String, f64>,
    /// Seconds over which `metrics` were aggregated.
    pub metrics_interval: f64,
}

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The namespace is not configured (code 102).
    #[error("channel {0:?} belongs to no configured namespace")]
    UnknownChannel(String),
    /// The request cannot be served as it is (code 107).
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    /// The namespace does not have the feature (code 108).
    #[error("{0} is not available")]
    NotAvailable(&'static str),
    /// The pattern of channel names cannot be read (code 100, as upstream answers).
    #[error("bad channel pattern")]
    BadPattern(#[from] super::GlobError),
    /// A subscription was asked to expire at a moment that is past (code 100, as upstream answers).
    #[error("expiration {0} is in the past")]
    AlreadyExpired(i64),
    /// Other nodes were not asked or did not answer (code 100).
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// A node answered that it cannot (code 100).
    #[error("node {node} answered a survey with code {code}")]
    NoAnswer {
        /// Identifier of the node.
        node: String,
        /// What it answered.
        code: u32,
    },
    /// Other nodes were not told (code 100).
    #[error(transparent)]
    NotTold(#[from] QueueFull),
    /// The broker failed (code 112 or 100).
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Presence failed (code 100).
    #[error(transparent)]
    Presence(#[from] PresenceError),
}
