//! What a session asks of namespaces and permissions.

use super::SubscribeClaims;
use crate::broker::PublishOptions;
use bytes::Bytes;
use gyre_proto::codes::ClientErrorCode;
use std::sync::Arc;
use std::time::Duration;

/// Options a token or the server API sets for one subscription; none leaves the namespace's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Overrides `presence`.
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

/// What one subscription may do.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// Seconds since 1970; zero means never.
    pub expire_at: i64,
    /// The client renews the subscription by itself.
    pub client_side_refresh: bool,
    /// Channel information.
    pub info: Bytes,
    /// Data for the subscribe result.
    pub data: Bytes,
    /// List the client in presence.
    pub presence: bool,
    /// Tell others of join and leave.
    pub join_leave: bool,
    /// Deliver joins and leaves to this client.
    pub push_join_leave: bool,
    /// Keep the position.
    pub positioning: bool,
    /// Let the client recover.
    pub recovery: bool,
    /// Recovery means the newest publication only.
    pub cache_mode: bool,
    /// The newest publication comes without asking.
    pub auto_cache_recover: bool,
    /// Deltas may be negotiated.
    pub delta: bool,
    /// The client may filter by tags.
    pub tags_filter: bool,
    /// How long offset and epoch outlive their last touch.
    pub history_meta_ttl: Duration,
    /// Other connections of the user end when this one joins.
    pub single_connection: bool,
    /// Proxy to ask when the cache is empty.
    pub cache_empty_proxy: Option<Arc<str>>,
}

/// A subscribe command, as far as permission depends on it.
#[derive(Clone, Copy, Debug)]
pub struct SubscribeAsk<'a> {
    /// Channel.
    pub channel: &'a str,
    /// User of the connection.
    pub user: &'a str,
    /// A subscription token was sent.
    pub has_token: bool,
    /// Subscription type on the wire.
    pub kind: i32,
    /// The client wants positioning.
    pub positioned: bool,
    /// The client wants recovery.
    pub recoverable: bool,
    /// The client wants joins and leaves.
    pub join_leave: bool,
}

/// What a subscribe command gets.
#[derive(Debug)]
pub enum SubscribeDecision {
    /// The token decides.
    NeedsToken,
    /// The application decides, asked by this proxy.
    AskProxy(Arc<str>),
    /// The application decides and provides the publications; with `true`, it takes those of the client.
    AskFeed(Arc<str>, bool),
    /// It is allowed.
    Granted(Box<Grant>),
}

/// What a publish command gets.
#[derive(Debug)]
pub enum PublishDecision {
    /// It is published like this.
    Granted(Box<PublishOptions>),
    /// The application decides, asked by this proxy; what it does not change is published like this.
    AskProxy(Arc<str>, Box<PublishOptions>),
    /// It goes to the application in the stream that feeds the subscription.
    IntoFeed,
}

/// Namespaces and permissions, as sessions ask for them.
///
/// Blocking: every method decides at once, from configuration alone.
///
/// # Errors
/// Each method returns the code the client gets.
pub trait Policy: Send + Sync {
    /// Decides a subscribe command.
    fn subscribe(&self, ask: &SubscribeAsk<'_>) -> Result<SubscribeDecision, ClientErrorCode>;
    /// What a good subscription token grants.
    fn token_grant(&self, ask: &SubscribeAsk<'_>, claims: &SubscribeClaims)
    -> Result<Grant, ClientErrorCode>;
    /// What a subscription made by the server grants.
    fn server_grant(&self, channel: &str, overrides: &Overrides) -> Result<Grant, ClientErrorCode>;
    /// What a channel named in the connect command grants; none when it is not allowed.
    fn connect_grant(&self, channel: &str, user: &str) -> Result<Option<Grant>, ClientErrorCode>;
    /// Name of a user's own channel.
    fn personal_channel(&self, namespace: &str, user: &str) -> String;
    /// Decides a publish command.
    fn publish(
        &self,
        channel: &str,
        user: &str,
        subscribed: bool,
        data: &[u8],
    ) -> Result<PublishDecision, ClientErrorCode>;
    /// The proxy that decides whether an expired subscription to a channel stays; none when none does.
    fn sub_refresh_proxy(&self, channel: &str) -> Option<Arc<str>>;
    /// The proxy that answers calls of a method.
    fn rpc(&self, method: &str) -> Result<Arc<str>, ClientErrorCode>;
    /// Decides a presence or presence stats command.
    fn presence(&self, channel: &str, user: &str, subscribed: bool) -> Result<(), ClientErrorCode>;
    /// Decides a history command; returns how long offset and epoch outlive their last touch.
    fn history(&self, channel: &str, user: &str, subscribed: bool) -> Result<Duration, ClientErrorCode>;
}
