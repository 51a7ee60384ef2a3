//! Channels: what a name means, and what clients may do in it.

use super::proxy::Proxy;
use crate::config::setting::section;
use crate::config::values::Duration;

section! {
    /// Channels and their namespaces.
    pub struct Channel {
        /// Asking the application about events in channels.
        proxy: ChannelProxies,
        /// Options of channels whose name has no namespace.
        without_namespace: ChannelOptions,
        /// Options of channels by namespace.
        namespaces: Vec<ChannelNamespace>,
        /// Time for which the position of a channel outlives its last publication. Whole seconds.
        history_meta_ttl: Duration = "720h",
        /// Form of data required of publications: json, json_object or binary; empty means no check.
        publication_data_format: String,
        /// Largest number of bytes in a channel name.
        max_length: usize = "255",
        /// Start of names of private channels, which need a subscription token.
        private_prefix: String = "$",
        /// What ends the namespace in a channel name.
        namespace_boundary: String = ":",
        /// What starts the list of users in a channel name.
        user_boundary: String = "#",
        /// What separates users in a channel name.
        user_separator: String = ",",
    }
}

section! {
    /// The proxies that bear the name `default` in channel options.
    pub struct ChannelProxies {
        /// Asked when a client subscribes.
        subscribe: Proxy,
        /// Asked when a client publishes.
        publish: Proxy,
        /// Asked when a subscription expires.
        sub_refresh: Proxy,
        /// Feeds a subscription from a stream of the application; gRPC only.
        subscribe_stream: Proxy,
        /// Told when a channel in cache mode has nothing to show.
        cache_empty: Proxy,
        /// Asked when a client sets a key of a map channel.
        map_publish: Proxy,
        /// Asked when a client removes a key of a map channel.
        map_remove: Proxy,
        /// Polled for the values of shared poll channels.
        shared_poll_refresh: Proxy,
    }
}

section! {
    /// A namespace: channels whose name starts with `name` and the boundary.
    pub struct ChannelNamespace (named item) {
        /// Name, at least two of `-a-zA-Z0-9_.`.
        name: String,
        /// Options of its channels.
        options: ChannelOptions => flat,
    }
}

section! {
    /// Options of channels.
    pub struct ChannelOptions {
        /// Keeps who is subscribed.
        presence: bool,
        /// Sends join and leave messages to subscribers that ask for them.
        join_leave: bool,
        /// Sends join and leave messages to all subscribers.
        force_push_join_leave: bool,
        /// Start of the map channel that mirrors the connections subscribed here.
        map_clients_presence_channel_prefix: String,
        /// Start of the map channel that mirrors the users subscribed here.
        map_users_presence_channel_prefix: String,
        /// Number of publications kept; zero means none.
        history_size: usize,
        /// Time for which publications are kept. Whole seconds.
        history_ttl: Duration,
        /// Overrides `channel.history_meta_ttl`. Whole seconds.
        history_meta_ttl: Duration,
        /// Watches the position of every subscription, to notice loss.
        force_positioning: bool,
        /// Watches the position of subscriptions that ask for it.
        allow_positioning: bool,
        /// Recovers missed publications of every subscription.
        force_recovery: bool,
        /// Recovers missed publications of subscriptions that ask for it.
        allow_recovery: bool,
        /// What is recovered: stream for all that was missed, cache for the latest; empty means stream.
        force_recovery_mode: String,
        /// Delivers the latest publication on subscribing, without the client asking; cache mode only.
        auto_cache_recover: bool,
        /// Kinds of delta compression a subscriber may ask for; fossil is the only one.
        allowed_delta_types: Vec<String>,
        /// Lets subscribers filter publications by tags.
        allow_tags_filter: bool,
        /// Computes deltas for all publications, without the publisher asking.
        delta_publish: bool,
        /// Lets any client with a user id subscribe.
        allow_subscribe_for_client: bool,
        /// Lets clients without a user id subscribe too.
        allow_subscribe_for_anonymous: bool,
        /// Lets any client with a user id publish.
        allow_publish_for_client: bool,
        /// Lets subscribers publish.
        allow_publish_for_subscriber: bool,
        /// Lets clients without a user id publish too.
        allow_publish_for_anonymous: bool,
        /// Lets any client with a user id ask for presence.
        allow_presence_for_client: bool,
        /// Lets subscribers ask for presence.
        allow_presence_for_subscriber: bool,
        /// Lets clients without a user id ask for presence too.
        allow_presence_for_anonymous: bool,
        /// Lets any client with a user id ask for history.
        allow_history_for_client: bool,
        /// Lets subscribers ask for history.
        allow_history_for_subscriber: bool,
        /// Lets clients without a user id ask for history too.
        allow_history_for_anonymous: bool,
        /// Reads the users of a channel from its name.
        allow_user_limited_channels: bool,
        /// Expression the name after the namespace must match.
        channel_regex: String,
        /// Overrides `channel.publication_data_format`.
        publication_data_format: String,
        /// Asks the application when a client subscribes.
        subscribe_proxy_enabled: bool,
        /// Proxy to ask; `default` is `channel.proxy.subscribe`.
        subscribe_proxy_name: String = "default",
        /// Asks the application when a client publishes.
        publish_proxy_enabled: bool,
        /// Proxy to ask; `default` is `channel.proxy.publish`.
        publish_proxy_name: String = "default",
        /// Asks the application when a subscription expires.
        sub_refresh_proxy_enabled: bool,
        /// Proxy to ask; `default` is `channel.proxy.sub_refresh`.
        sub_refresh_proxy_name: String = "default",
        /// Feeds subscriptions from a stream of the application.
        subscribe_stream_proxy_enabled: bool,
        /// Proxy to ask; `default` is `channel.proxy.subscribe_stream`.
        subscribe_stream_proxy_name: String = "default",
        /// Passes publications of the client into the stream.
        subscribe_stream_proxy_bidirectional: bool,
        /// Tells the application when recovery in cache mode finds nothing, then looks once more.
        cache_empty_proxy_enabled: bool,
        /// Proxy to tell; `default` is `channel.proxy.cache_empty`.
        cache_empty_proxy_name: String = "default",
        /// Kind of subscription: stream, map, map_clients, map_users or shared_poll; empty means stream.
        subscription_type: String,
        /// Options of map channels.
        map: MapOptions,
        /// Options of shared poll channels.
        shared_poll: SharedPollOptions,
    }
}

section! {
    /// Options of map channels.
    pub struct MapOptions {
        /// What outlives what: ephemeral, recoverable or persistent.
        mode: String,
        /// Time for which a key lives without being set again; not for persistent maps.
        key_ttl: Duration,
        /// Number of changes kept for recovery.
        stream_size: usize,
        /// Time for which changes are kept.
        stream_ttl: Duration,
        /// Time for which the position of the channel outlives its last change; at least `stream_ttl`.
        meta_ttl: Duration,
        /// Removes the key of a client that unsubscribes.
        remove_client_on_unsubscribe: bool,
        /// Forces the key of what a client sets: client_id or user_id; empty leaves the choice to the client.
        client_key: String,
        /// Lets any client with a user id set keys.
        allow_publish_for_client: bool,
        /// Lets subscribers set keys.
        allow_publish_for_subscriber: bool,
        /// Lets clients without a user id set keys too.
        allow_publish_for_anonymous: bool,
        /// Lets any client with a user id remove keys.
        allow_remove_for_client: bool,
        /// Lets subscribers remove keys.
        allow_remove_for_subscriber: bool,
        /// Lets clients without a user id remove keys too.
        allow_remove_for_anonymous: bool,
        /// Asks the application when a client sets a key.
        publish_proxy_enabled: bool,
        /// Proxy to ask; `default` is `channel.proxy.map_publish`.
        publish_proxy_name: String = "default",
        /// Asks the application when a client removes a key.
        remove_proxy_enabled: bool,
        /// Proxy to ask; `default` is `channel.proxy.map_remove`.
        remove_proxy_name: String = "default",
        /// Keys per page when the client does not say.
        default_page_size: usize,
        /// Smallest number of keys per page a client may ask for.
        min_page_size: usize,
        /// Largest number of keys per page a client may ask for.
        max_page_size: usize,
        /// Largest number of changes sent when a subscription goes live.
        live_transition_max_publication_limit: usize,
        /// Time allowed to a subscriber to catch up.
        subscribe_catch_up_timeout: Duration,
    }
}

section! {
    /// Options of shared poll channels.
    pub struct SharedPollOptions {
        /// Proxy to poll; empty or `default` is `channel.proxy.shared_poll_refresh`.
        proxy_name: String,
        /// Time between polls.
        refresh_interval: Duration,
        /// Largest number of keys per poll.
        refresh_batch_size: usize,
        /// Largest number of keys a connection may track.
        max_keys_per_connection: usize,
        /// Whether values have versions: versioned or versionless; empty means versionless.
        mode: String,
        /// Time for which polling goes on after the last subscriber left.
        channel_shutdown_delay: Duration,
        /// Time granted beyond the expiration of a tracked key.
        track_expired_extra_delay: Duration,
        /// Lets the server API publish values between polls; versioned mode only.
        publish_enabled: bool,
    }
}
