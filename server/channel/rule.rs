//! The names of the rules, and the answers they lead to.

use std::fmt;

/// What a subscription carries, as a request and as a namespace names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubscriptionKind {
    /// Publications.
    #[default]
    Stream,
    /// A map of keys.
    Map,
    /// The map of connections.
    MapClients,
    /// The map of users.
    MapUsers,
    /// A polled set of keys.
    SharedPoll,
}

impl SubscriptionKind {
    /// Reads the `type` of a request; nothing for numbers that are not assigned.
    pub fn from_wire(number: i32) -> Option<Self> {
        Some(match number {
            0 => Self::Stream,
            1 => Self::Map,
            2 => Self::MapClients,
            3 => Self::MapUsers,
            4 => Self::SharedPoll,
            _ => return None,
        })
    }

    /// Reads the `subscription_type` of a namespace; the empty word is a stream.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "" | "stream" => Self::Stream,
            "map" => Self::Map,
            "map_clients" => Self::MapClients,
            "map_users" => Self::MapUsers,
            "shared_poll" => Self::SharedPoll,
            _ => return None,
        })
    }
}

/// A rule that granted or refused something, for logs and explanations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The channel is empty.
    EmptyChannel,
    /// The text before the boundary is no configured namespace.
    Namespace,
    /// `channel_regex`, or ASCII where there is none.
    ChannelName,
    /// `channel.max_length`.
    ChannelLength,
    /// `client.channel_limit`.
    ChannelLimit,
    /// The connection is subscribed or just subscribing.
    AlreadySubscribed,
    /// The request names a delta that does not exist.
    DeltaType,
    /// `subscription_type`.
    SubscriptionType,
    /// `channel.private_prefix`: only a token opens the channel.
    PrivatePrefix,
    /// The request has a subscription token.
    SubscriptionToken,
    /// `allow_user_limited_channels`: the channel names its users.
    UserLimited,
    /// `subscribe_proxy_enabled`.
    SubscribeProxy,
    /// `subscribe_stream_proxy_enabled`.
    SubscribeStreamProxy,
    /// `allow_subscribe_for_client`, with `_anonymous` for connections without a user.
    AllowSubscribeForClient,
    /// `publication_data_format`.
    DataFormat,
    /// `publish_proxy_enabled`.
    PublishProxy,
    /// `allow_publish_for_client`, with `_anonymous`.
    AllowPublishForClient,
    /// `allow_publish_for_subscriber`, with `_anonymous`.
    AllowPublishForSubscriber,
    /// `presence` is off.
    PresenceOff,
    /// `allow_presence_for_client`, with `_anonymous`.
    AllowPresenceForClient,
    /// `allow_presence_for_subscriber`, with `_anonymous`.
    AllowPresenceForSubscriber,
    /// `history_size` or `history_ttl` is zero.
    HistoryOff,
    /// `allow_history_for_client`, with `_anonymous`.
    AllowHistoryForClient,
    /// `allow_history_for_subscriber`, with `_anonymous`.
    AllowHistoryForSubscriber,
    /// `client.insecure`.
    Insecure,
    /// No rule allows it.
    NothingAllows,
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::EmptyChannel => "the channel is empty",
            Self::Namespace => "the namespace is not configured",
            Self::ChannelName => "the name does not fit channel_regex, or is not ASCII without one",
            Self::ChannelLength => "the name is longer than channel.max_length",
            Self::ChannelLimit => "the connection has client.channel_limit subscriptions",
            Self::AlreadySubscribed => "the connection is already subscribed",
            Self::DeltaType => "the delta type does not exist",
            Self::SubscriptionType => "the namespace has another subscription_type",
            Self::PrivatePrefix => "a channel with channel.private_prefix needs a subscription token",
            Self::SubscriptionToken => "the subscription token decides",
            Self::UserLimited => "the channel names its users and allow_user_limited_channels is on",
            Self::SubscribeProxy => "subscribe_proxy_enabled: the proxy decides",
            Self::SubscribeStreamProxy => "subscribe_stream_proxy_enabled: the proxy decides",
            Self::AllowSubscribeForClient => "allow_subscribe_for_client",
            Self::DataFormat => "the payload does not fit publication_data_format",
            Self::PublishProxy => "publish_proxy_enabled: the proxy decides",
            Self::AllowPublishForClient => "allow_publish_for_client",
            Self::AllowPublishForSubscriber => "allow_publish_for_subscriber",
            Self::PresenceOff => "presence is off in the namespace",
            Self::AllowPresenceForClient => "allow_presence_for_client",
            Self::AllowPresenceForSubscriber => "allow_presence_for_subscriber",
            Self::HistoryOff => "history_size or history_ttl is not set in the namespace",
            Self::AllowHistoryForClient => "allow_history_for_client",
            Self::AllowHistoryForSubscriber => "allow_history_for_subscriber",
            Self::Insecure => "client.insecure",
            Self::NothingAllows => "no option of the namespace allows it",
        })
    }
}

/// How a refusal reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Error reply 102.
    UnknownChannel,
    /// Error reply 103.
    PermissionDenied,
    /// Error reply 105.
    AlreadySubscribed,
    /// Error reply 106.
    LimitExceeded,
    /// Error reply 107.
    BadRequest,
    /// Error reply 108.
    NotAvailable,
    /// Disconnect 3501.
    DisconnectBadRequest,
    /// Disconnect 3004.
    DisconnectServerError,
}

impl Answer {
    /// The code on the wire: below 3000 of an error reply, otherwise of a disconnect.
    pub fn code(self) -> u32 {
        match self {
            Self::UnknownChannel => 102,
            Self::PermissionDenied => 103,
            Self::AlreadySubscribed => 105,
            Self::LimitExceeded => 106,
            Self::BadRequest => 107,
            Self::NotAvailable => 108,
            Self::DisconnectBadRequest => 3501,
            Self::DisconnectServerError => 3004,
        }
    }
}

/// A refusal and its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused with {}: {rule}", .answer.code())]
pub struct Refused {
    /// What the client is told.
    pub answer: Answer,
    /// Why.
    pub rule: Rule,
}

impl Refused {
    pub(super) fn new(answer: Answer, rule: Rule) -> Self {
        Self { answer, rule }
    }
}
