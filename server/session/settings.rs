//! Limits and switches of sessions, resolved from the section `client` of the configuration.

use super::Close;
use std::collections::BTreeMap;
use std::time::Duration;

/// The channel a user is subscribed to without asking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonalChannel {
    /// Namespace of the channel; empty means none.
    pub namespace: String,
    /// Only the newest connection of a user stays.
    pub single_connection: bool,
}

/// Limits and switches of sessions. Zero turns a limit off unless said otherwise.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Version told in connect results.
    pub version: String,
    /// Identifier of this node, told to emulated connections.
    pub node: String,
    /// Time between pings; zero sends none.
    pub ping_interval: Duration,
    /// Time a peer has for its pong; zero expects none.
    pub pong_timeout: Duration,
    /// Time a peer has to authenticate.
    pub stale_close_delay: Duration,
    /// Time after expiration in which a client may still refresh.
    pub expired_close_delay: Duration,
    /// Time after expiration in which a client may still refresh a subscription.
    pub expired_sub_close_delay: Duration,
    /// Time between presence renewals.
    pub presence_update_interval: Duration,
    /// Shortest time between position checks of one subscription.
    pub position_check_delay: Duration,
    /// Most subscriptions of one connection.
    pub channel_limit: usize,
    /// Longest channel name a client may send, in bytes.
    pub channel_max_length: usize,
    /// Most connections of one user on this node.
    pub user_connection_limit: usize,
    /// Connect results carry the server's time.
    pub include_server_time: bool,
    /// Most publications of one history answer.
    pub history_limit: i32,
    /// Most publications recovered.
    pub recovery_limit: u64,
    /// No token needed, no permissions checked.
    pub insecure: bool,
    /// Connections without a token become anonymous.
    pub allow_anonymous_without_token: bool,
    /// Tokens without a user are refused.
    pub disallow_anonymous_tokens: bool,
    /// The channel of the user itself.
    pub personal_channel: Option<PersonalChannel>,
    /// Method of the built-in RPC that answers empty; none when off.
    pub rpc_ping: Option<String>,
    /// Commands of one connection that may wait for answers at the same time; zero means one.
    pub concurrency: usize,
    /// The application says who connects without a token.
    pub connect_proxy: bool,
    /// The application says whether expired connections stay, not a new token.
    pub refresh_proxy: bool,
    /// Names of headers clients may emulate because some proxy passes them on.
    pub emulated_headers: Vec<String>,
    /// What a connect error becomes on unidirectional transports, where it differs from the usual.
    pub unidirectional_closes: BTreeMap<u32, Close>,
}

impl Settings {
    /// The configured close for a connect error on a unidirectional transport.
    pub fn unidirectional_close(&self, code: u32) -> Option<Close> {
        self.unidirectional_closes.get(&code).cloned()
    }
}
