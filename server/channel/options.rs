//! Options of a namespace that decide what is allowed and what a subscription gets.

use std::sync::Arc;
use std::time::Duration;

/// One namespace's options, or those of channels without one, after checking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelOptions {
    /// Keeps the list of subscribers.
    pub presence: bool,
    /// Announces subscribers that come and go to those who asked for it.
    pub join_leave: bool,
    /// Announces them to every subscriber.
    pub force_push_join_leave: bool,
    /// Publications kept; history needs this and `history_ttl`.
    pub history_size: usize,
    /// How long publications are kept.
    pub history_ttl: Duration,
    /// How long the position of a stream is remembered; zero for the global value.
    pub history_meta_ttl: Duration,
    /// Watches the position of every subscription.
    pub force_positioning: bool,
    /// Lets clients ask for that.
    pub allow_positioning: bool,
    /// Recovers missed publications for every subscription.
    pub force_recovery: bool,
    /// Lets clients ask for that.
    pub allow_recovery: bool,
    /// `stream`, `cache`, or empty for `stream`.
    pub force_recovery_mode: String,
    /// Delivers the latest publication to every new subscriber in cache mode.
    pub auto_cache_recover: bool,
    /// Deltas clients may negotiate: `fossil`.
    pub allowed_delta_types: Vec<String>,
    /// Makes deltas for every publication.
    pub delta_publish: bool,
    /// Lets clients filter publications by tags.
    pub allow_tags_filter: bool,
    /// Lets every user subscribe.
    pub allow_subscribe_for_client: bool,
    /// Extends it to connections without a user.
    pub allow_subscribe_for_anonymous: bool,
    /// Lets every user publish.
    pub allow_publish_for_client: bool,
    /// Lets subscribers publish.
    pub allow_publish_for_subscriber: bool,
    /// Extends both to connections without a user.
    pub allow_publish_for_anonymous: bool,
    /// Lets every user see presence.
    pub allow_presence_for_client: bool,
    /// Lets subscribers see presence.
    pub allow_presence_for_subscriber: bool,
    /// Extends both to connections without a user.
    pub allow_presence_for_anonymous: bool,
    /// Lets every user read history.
    pub allow_history_for_client: bool,
    /// Lets subscribers read history.
    pub allow_history_for_subscriber: bool,
    /// Extends both to connections without a user.
    pub allow_history_for_anonymous: bool,
    /// Gives the list of users in a name its meaning.
    pub allow_user_limited_channels: bool,
    /// Pattern for the part of a name after the namespace, in the dialect of Go; empty for ASCII.
    pub channel_regex: String,
    /// `json`, `json_object`, `binary`, or empty for the global value.
    pub publication_data_format: String,
    /// The application decides about subscriptions.
    pub subscribe_proxy_enabled: bool,
    /// Proxy that is asked then.
    pub subscribe_proxy_name: Arc<str>,
    /// The application decides about publications.
    pub publish_proxy_enabled: bool,
    /// Proxy that is asked then.
    pub publish_proxy_name: Arc<str>,
    /// Proxy that is asked whether an expired subscription stays.
    pub sub_refresh_proxy: Option<Arc<str>>,
    /// The application streams the publications of each subscription.
    pub subscribe_stream_proxy_enabled: bool,
    /// Proxy that opens the stream then.
    pub subscribe_stream_proxy_name: Arc<str>,
    /// Publications of clients go into that stream.
    pub subscribe_stream_proxy_bidirectional: bool,
    /// Proxy that is told when cache recovery finds nothing.
    pub cache_empty_proxy: Option<Arc<str>>,
    /// `stream`, `map`, `map_clients`, `map_users`, `shared_poll`, or empty for `stream`.
    pub subscription_type: String,
}
