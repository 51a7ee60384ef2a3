//! Client connections: who may connect, for how long, and how much they may ask for.

use super::proxy::{SwitchedProxy, TargetDisconnect};
use crate::config::setting::section;
use crate::config::values::{Duration, Secret};

section! {
    /// Client connections.
    pub struct Client {
        /// Asking the application when clients connect and when connections expire.
        proxy: ClientProxies,
        /// Values of the Origin header that are accepted; `*` stands for part of a name, alone for any origin.
        allowed_origins: Vec<String>,
        /// Verification of connection tokens.
        token: Token,
        /// Verification of subscription tokens, when it differs from that of connection tokens.
        subscription_token: SubscriptionToken,
        /// Lets clients without a token in, as user with an empty id.
        allow_anonymous_connect_without_token: bool,
        /// Refuses connection tokens whose user id is empty.
        disallow_anonymous_connection_tokens: bool,
        /// Time between pings of the server; longer than `pong_timeout`.
        ping_interval: Duration = "25s",
        /// Time allowed to answer a ping.
        pong_timeout: Duration = "8s",
        /// Time granted to refresh an expired connection token.
        expired_close_delay: Duration = "25s",
        /// Time granted to refresh an expired subscription token.
        expired_sub_close_delay: Duration = "25s",
        /// Time granted to send the connect command.
        stale_close_delay: Duration = "10s",
        /// Largest number of channels per connection.
        channel_limit: usize = "128",
        /// Bytes that may wait to be written before a slow client is disconnected.
        queue_max_size: usize = "1048576",
        /// Time between renewals of presence entries.
        presence_update_interval: Duration = "27s",
        /// Number of commands of one connection processed at once; zero means one after the other.
        concurrency: usize,
        /// Time between checks that a positioned subscription has missed nothing.
        channel_position_check_delay: Duration = "40s",
        /// Age of a publication above which a position check does not rely on it; zero means no limit.
        channel_position_max_time_lag: Duration,
        /// Largest number of connections of this node; zero means no limit.
        connection_limit: usize,
        /// Largest number of connections of one user on this node; zero means no limit.
        user_connection_limit: usize,
        /// Largest number of new connections per second on this node; zero means no limit.
        connection_rate_limit: usize,
        /// Tells clients the time of the server when they connect.
        connect_include_server_time: bool,
        /// Largest number of publications in one answer to a history command.
        history_max_publication_limit: usize = "300",
        /// Largest number of publications recovered at once.
        recovery_max_publication_limit: usize = "300",
        /// Takes claims of tokens without looking at the signature. Insecure: for tokens verified elsewhere.
        insecure_skip_token_signature_verify: bool,
        /// Header that holds the user id, set by a trusted proxy in front of this server.
        user_id_http_header: String,
        /// Lets anyone connect, subscribe and publish. Insecure: for development.
        insecure: bool,
        /// A channel of each user's own, subscribed to on connect.
        subscribe_to_user_personal_channel: PersonalChannel,
        /// Disconnects that stand for connect errors on unidirectional transports.
        connect_code_to_unidirectional_disconnect: ConnectCodeToDisconnect,
    }
}

section! {
    /// Proxies of the connection itself.
    pub struct ClientProxies {
        /// Asks the application who a connecting client is.
        connect: SwitchedProxy,
        /// Asks the application whether an expired connection may stay.
        refresh: SwitchedProxy,
    }
}

section! {
    /// Keys and expected claims of tokens.
    pub struct Token {
        /// Secret of HS256, HS384 and HS512 signatures.
        hmac_secret_key: Secret,
        /// Secret still accepted while it is being replaced.
        hmac_previous_secret_key: Secret,
        /// Unix time in seconds until which the previous secret is accepted; zero means without end.
        hmac_previous_secret_key_valid_until: i64,
        /// Public key of RSA signatures, PEM.
        rsa_public_key: String,
        /// Public key of ECDSA signatures, PEM.
        ecdsa_public_key: String,
        /// Where public keys are fetched from; may refer to groups of `issuer_regex` and `audience_regex`.
        jwks_public_endpoint: String,
        /// Audience a token must name; excludes `audience_regex`.
        audience: String,
        /// Expression the audience of a token must match.
        audience_regex: String,
        /// Issuer a token must name; excludes `issuer_regex`.
        issuer: String,
        /// Expression the issuer of a token must match.
        issuer_regex: String,
        /// Claim that holds the user id instead of `sub`.
        user_id_claim: String,
        /// Allows expressions in the endpoint that could let a token choose the host keys come from. Insecure.
        insecure_skip_jwks_endpoint_safety_check: bool,
    }
}

section! {
    /// Verification of subscription tokens.
    pub struct SubscriptionToken {
        /// Uses the keys of this section; otherwise those of connection tokens apply.
        enabled: bool,
        /// Keys and expected claims.
        token: Token => flat,
    }
}

section! {
    /// A channel of each user's own.
    pub struct PersonalChannel {
        /// Subscribes each user to the channel of that user on connect.
        enabled: bool,
        /// Namespace of these channels; empty means none.
        personal_channel_namespace: String,
        /// Keeps only the newest connection of a user; needs presence in the namespace.
        single_connection: bool,
    }
}

section! {
    /// Disconnects that stand for connect errors.
    pub struct ConnectCodeToDisconnect {
        /// Switches the table on.
        enabled: bool,
        /// The table.
        transforms: Vec<DisconnectTransform>,
    }
}

section! {
    /// The disconnect that stands for a connect error.
    pub struct DisconnectTransform (item) {
        /// Code of the error.
        code: u32,
        /// What the client gets instead.
        to: TargetDisconnect,
    }
}
