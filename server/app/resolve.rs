//! From the configuration to what each room is built with.

use super::callers::emulated_headers;
use super::calls::{Calls, proxy_name};
use super::policy::NamespacePolicy;
use super::tokens::Verifiers;
use crate::auth::{TokenVerifier, VerifierError, VerifierOptions};
use crate::channel::{ChannelOptions, NamespaceError, Namespaces, Syntax};
use crate::config::sections::client::Token;
use crate::config::{Config, sections};
use crate::node;
use crate::observability::Transport;
use crate::proxy::Events;
use crate::reactor::{Compression, Environment, Limits, TransportLimits};
use crate::session::{Close, PersonalChannel, Settings};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Bytes that may wait for slow peers of one shard; beyond it, peers that do not read are closed first.
const OUTBOUND_BUDGET: usize = 512 << 20;

/// Bytes of one message when the configuration says there is no limit.
const UNLIMITED: usize = 1 << 30;

/// Options of a namespace as the channel room judges by.
fn channel_options(raw: &sections::channel::ChannelOptions) -> ChannelOptions {
    ChannelOptions {
        presence: raw.presence,
        join_leave: raw.join_leave,
        force_push_join_leave: raw.force_push_join_leave,
        history_size: raw.history_size,
        history_ttl: raw.history_ttl.to_std(),
        history_meta_ttl: raw.history_meta_ttl.to_std(),
        force_positioning: raw.force_positioning,
        allow_positioning: raw.allow_positioning,
        force_recovery: raw.force_recovery,
        allow_recovery: raw.allow_recovery,
        force_recovery_mode: raw.force_recovery_mode.clone(),
        auto_cache_recover: raw.auto_cache_recover,
        allowed_delta_types: raw.allowed_delta_types.clone(),
        delta_publish: raw.delta_publish,
        allow_tags_filter: raw.allow_tags_filter,
        allow_subscribe_for_client: raw.allow_subscribe_for_client,
        allow_subscribe_for_anonymous: raw.allow_subscribe_for_anonymous,
        allow_publish_for_client: raw.allow_publish_for_client,
        allow_publish_for_subscriber: raw.allow_publish_for_subscriber,
        allow_publish_for_anonymous: raw.allow_publish_for_anonymous,
        allow_presence_for_client: raw.allow_presence_for_client,
        allow_presence_for_subscriber: raw.allow_presence_for_subscriber,
        allow_presence_for_anonymous: raw.allow_presence_for_anonymous,
        allow_history_for_client: raw.allow_history_for_client,
        allow_history_for_subscriber: raw.allow_history_for_subscriber,
        allow_history_for_anonymous: raw.allow_history_for_anonymous,
        allow_user_limited_channels: raw.allow_user_limited_channels,
        channel_regex: raw.channel_regex.clone(),
        publication_data_format: raw.publication_data_format.clone(),
        subscribe_proxy_enabled: raw.subscribe_proxy_enabled,
        subscribe_proxy_name: proxy_name(&raw.subscribe_proxy_name),
        publish_proxy_enabled: raw.publish_proxy_enabled,
        publish_proxy_name: proxy_name(&raw.publish_proxy_name),
        sub_refresh_proxy: raw.sub_refresh_proxy_enabled.then(|| proxy_name(&raw.sub_refresh_proxy_name)),
        subscribe_stream_proxy_enabled: raw.subscribe_stream_proxy_enabled,
        subscribe_stream_proxy_name: proxy_name(&raw.subscribe_stream_proxy_name),
        subscribe_stream_proxy_bidirectional: raw.subscribe_stream_proxy_bidirectional,
        cache_empty_proxy: raw.cache_empty_proxy_enabled.then(|| proxy_name(&raw.cache_empty_proxy_name)),
        subscription_type: raw.subscription_type.clone(),
    }
}

/// Builds the namespaces.
///
/// # Errors
/// The first option that has no meaning.
pub fn namespaces(config: &Config) -> Result<Namespaces, NamespaceError> {
    let channel = &config.channel;
    let syntax = Syntax {
        private_prefix: channel.private_prefix.clone(),
        namespace_boundary: channel.namespace_boundary.clone(),
        user_boundary: channel.user_boundary.clone(),
        user_separator: channel.user_separator.clone(),
    };
    let named = channel.namespaces.iter().map(|raw| (raw.name.clone(), channel_options(&raw.options)));
    Namespaces::new(
        syntax,
        &channel.publication_data_format,
        channel_options(&channel.without_namespace),
        named,
    )
}

/// Namespaces as the verbs of the node see them, made once so that a lookup copies nothing.
pub struct NodeNamespaces {
    namespaces: Arc<Namespaces>,
    options: HashMap<Box<str>, Arc<node::ChannelOptions>>,
}

impl NodeNamespaces {
    /// Prepares the options of all namespaces of `config`.
    pub fn new(config: &Config, namespaces: Arc<Namespaces>) -> Self {
        let channel = &config.channel;
        let named = channel.namespaces.iter().map(|namespace| (namespace.name.as_str(), &namespace.options));
        let all = named.chain([("", &channel.without_namespace)]);
        let options = all.map(|(name, raw)| (Box::from(name), Arc::new(node_options(config, raw)))).collect();
        Self { namespaces, options }
    }
}

impl node::Namespaces for NodeNamespaces {
    fn options(&self, channel: &str) -> Option<Arc<node::ChannelOptions>> {
        let namespace = self.namespaces.lookup(channel)?.namespace;
        self.options.get(&*namespace.name).cloned()
    }
}

fn node_options(config: &Config, raw: &sections::channel::ChannelOptions) -> node::ChannelOptions {
    let format = match raw.publication_data_format.as_str() {
        "" => config.channel.publication_data_format.as_str(),
        own => own,
    };
    let own_ttl = raw.history_meta_ttl.to_std();
    node::ChannelOptions {
        kind: match raw.subscription_type.as_str() {
            "map" | "map_clients" | "map_users" => node::ChannelKind::Map,
            "shared_poll" => node::ChannelKind::SharedPoll,
            _ => node::ChannelKind::Stream,
        },
        data_format: node::DataFormat::parse(format).unwrap_or_default(),
        history_size: raw.history_size as u64,
        history_ttl: raw.history_ttl.to_std(),
        history_meta_ttl: if own_ttl.is_zero() { config.channel.history_meta_ttl.to_std() } else { own_ttl },
        delta_publish: raw.delta_publish,
        presence: raw.presence,
        join_leave: raw.join_leave,
        force_push_join_leave: raw.force_push_join_leave,
        force_recovery: raw.force_recovery,
        force_positioning: raw.force_positioning,
    }
}

/// Builds what shards work with.
pub fn environment(
    config: &Config,
    namespaces: Arc<Namespaces>,
    application: Arc<dyn Events>,
    node: &str,
) -> Environment {
    let client = &config.client;
    let personal = &client.subscribe_to_user_personal_channel;
    let settings = Settings {
        version: crate::VERSION.to_owned(),
        node: node.to_owned(),
        ping_interval: client.ping_interval.to_std(),
        pong_timeout: client.pong_timeout.to_std(),
        stale_close_delay: client.stale_close_delay.to_std(),
        expired_close_delay: client.expired_close_delay.to_std(),
        expired_sub_close_delay: client.expired_sub_close_delay.to_std(),
        presence_update_interval: client.presence_update_interval.to_std(),
        position_check_delay: client.channel_position_check_delay.to_std(),
        channel_limit: client.channel_limit,
        channel_max_length: config.channel.max_length,
        user_connection_limit: client.user_connection_limit,
        include_server_time: client.connect_include_server_time,
        history_limit: i32::try_from(client.history_max_publication_limit).unwrap_or(i32::MAX),
        recovery_limit: client.recovery_max_publication_limit as u64,
        insecure: client.insecure,
        allow_anonymous_without_token: client.allow_anonymous_connect_without_token,
        disallow_anonymous_tokens: client.disallow_anonymous_connection_tokens,
        personal_channel: personal.enabled.then(|| PersonalChannel {
            namespace: personal.personal_channel_namespace.clone(),
            single_connection: personal.single_connection,
        }),
        rpc_ping: config.rpc.ping.enabled.then(|| config.rpc.ping.method.clone()),
        concurrency: client.concurrency,
        connect_proxy: client.proxy.connect.enabled,
        refresh_proxy: client.proxy.refresh.enabled,
        emulated_headers: emulated_headers(config),
        unidirectional_closes: unidirectional_closes(config),
    };
    let limits = Limits {
        queue_max_size: client.queue_max_size,
        outbound_budget: OUTBOUND_BUDGET,
        transports: transport_limits(config),
        compression: compression(&config.websocket.frames),
        uni_compression: compression(&config.uni_websocket.frames),
        position_max_lag: client.channel_position_max_time_lag.to_std(),
    };
    let history_meta_ttl = config.channel.history_meta_ttl.to_std();
    let policy = NamespacePolicy {
        namespaces,
        calls: Calls::new(config),
        insecure: client.insecure,
        history_meta_ttl,
    };
    Environment { settings, policy: Box::new(policy), application, limits }
}

/// Time one write to a streamed HTTP response or WebTransport stream may be stuck.
///
/// Source: row TRC-7 of the protocol.
const STREAM_WRITE_TIMEOUT: Duration = Duration::from_secs(1);

fn transport_limits(config: &Config) -> [TransportLimits; Transport::COUNT] {
    let streamed = TransportLimits { write_timeout: STREAM_WRITE_TIMEOUT, message_size: 0, inflated_size: 0 };
    let mut limits = [streamed; Transport::COUNT];
    limits[Transport::WebSocket as usize] = websocket_limits(&config.websocket.frames);
    limits[Transport::UniWebSocket as usize] = websocket_limits(&config.uni_websocket.frames);
    limits[Transport::GrpcStream as usize].write_timeout = config.grpc_stream.write_timeout.to_std();
    // Upstream waits for readers until their queue is full.
    limits[Transport::UniGrpc as usize].write_timeout = Duration::ZERO;
    limits
}

fn compression(section: &sections::transports::WebSocketFrames) -> Compression {
    Compression { min_size: section.compression_min_size, level: section.compression_level as u32 }
}

fn websocket_limits(section: &sections::transports::WebSocketFrames) -> TransportLimits {
    let message_size = usize::try_from(section.message_size_limit).unwrap_or(UNLIMITED);
    let inflated_size = match section.decompressed_message_size_limit {
        0 => message_size.saturating_mul(10),
        own => usize::try_from(own).unwrap_or(UNLIMITED),
    };
    TransportLimits { write_timeout: section.write_timeout.to_std(), message_size, inflated_size }
}

/// What connect errors become on unidirectional transports, as configured.
fn unidirectional_closes(config: &Config) -> BTreeMap<u32, Close> {
    let section = &config.client.connect_code_to_unidirectional_disconnect;
    let transforms = section.transforms.iter().filter(|_| section.enabled);
    let close = |code: u32, reason: &str| Close { code, reason: reason.to_owned().into() };
    transforms.map(|transform| (transform.code, close(transform.to.code, &transform.to.reason))).collect()
}

/// Why token verifiers cannot be built: a key or pattern of a section cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("use section {section}")]
pub struct TokenError {
    /// Section of the configuration.
    section: &'static str,
    /// Why not.
    source: VerifierError,
}

/// Builds the token verifiers.
///
/// # Errors
/// The first key or pattern that cannot be used.
pub fn verifiers(config: &Config, runtime: &tokio::runtime::Handle) -> Result<Verifiers, TokenError> {
    let connect = Arc::new(verifier(config, "client.token", &config.client.token, runtime)?);
    let own = &config.client.subscription_token;
    let subscribe = if own.enabled {
        Arc::new(verifier(config, "client.subscription_token", &own.token, runtime)?)
    } else {
        connect.clone()
    };
    Ok(Verifiers { connect, subscribe })
}

fn verifier(
    config: &Config,
    section: &'static str,
    token: &Token,
    runtime: &tokio::runtime::Handle,
) -> Result<TokenVerifier, TokenError> {
    let options = verifier_options(token, config.client.insecure_skip_token_signature_verify);
    TokenVerifier::new(&options, runtime).map_err(|source| TokenError { section, source })
}

/// A token section as the verifier takes it.
pub fn verifier_options(token: &Token, insecure_skip_signature_verify: bool) -> VerifierOptions {
    VerifierOptions {
        hmac_secret_key: token.hmac_secret_key.to_string(),
        hmac_previous_secret_key: token.hmac_previous_secret_key.to_string(),
        hmac_previous_secret_key_valid_until: token.hmac_previous_secret_key_valid_until,
        rsa_public_key: token.rsa_public_key.clone(),
        ecdsa_public_key: token.ecdsa_public_key.clone(),
        jwks_public_endpoint: token.jwks_public_endpoint.clone(),
        audience: token.audience.clone(),
        audience_regex: token.audience_regex.clone(),
        issuer: token.issuer.clone(),
        issuer_regex: token.issuer_regex.clone(),
        user_id_claim: token.user_id_claim.clone(),
        insecure_skip_jwks_endpoint_safety_check: token.insecure_skip_jwks_endpoint_safety_check,
        insecure_skip_signature_verify,
    }
}
