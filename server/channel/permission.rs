//! Who may subscribe, publish, see presence and read history, rule by rule in a fixed order.
//!
//! The first rule that applies decides, and the decision names it.

use super::namespaces::{Channel, Namespaces};
use super::rule::{Answer, Refused, Rule, SubscriptionKind};

/// Who asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asker<'u> {
    /// User; empty for an anonymous connection.
    pub user: &'u str,
    /// `client.insecure`: everything without a private prefix is allowed.
    pub insecure: bool,
}

/// What has to happen for a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribePath {
    /// It is granted, with the flags of [`granted_flags`].
    Granted,
    /// The token of the request decides; it beats every other way.
    VerifyToken,
    /// The subscribe proxy decides; its refusal is final. Without one configured: code 108.
    AskProxy,
    /// The subscription stream proxy decides. Without one configured: code 108.
    AskStreamProxy,
}

/// What has to happen for a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishPath {
    /// It is published.
    Granted,
    /// The publish proxy decides. Without one configured: code 108.
    AskProxy,
    /// It goes to the subscription's own stream. Without one: code 108.
    ToStreamProxy,
}

/// A way and the rule that chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<P> {
    /// What has to happen.
    pub path: P,
    /// Why.
    pub rule: Rule,
}

/// Wishes of a subscribe request, or the ones of them that are granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `positioned`.
    pub positioned: bool,
    /// `recoverable`.
    pub recoverable: bool,
    /// `join_leave`.
    pub join_leave: bool,
}

/// Finds the namespace of a channel and checks its name, the first two rules of every request.
///
/// # Errors
/// 102 for a namespace that is not configured, 107 for a name that clients may not use.
pub fn find<'c>(namespaces: &'c Namespaces, name: &'c str) -> Result<Channel<'c>, Refused> {
    let channel = namespaces.lookup(name).ok_or(Refused::new(Answer::UnknownChannel, Rule::Namespace))?;
    if !channel.has_valid_name() {
        return Err(Refused::new(Answer::BadRequest, Rule::ChannelName));
    }
    Ok(channel)
}

/// Judges a client's subscribe request; `kind` is the `type` it names.
///
/// # Errors
/// The refusal of the rule that decided.
///
/// Source: rows SUB-2, CH-7, CH-8 and NS-13 of the compatibility list.
pub fn subscribe(
    channel: &Channel<'_>,
    asker: Asker<'_>,
    has_token: bool,
    kind: i32,
) -> Result<Decision<SubscribePath>, Refused> {
    let asked = SubscriptionKind::from_wire(kind);
    if asked.unwrap_or_default() != channel.namespace.kind {
        return Err(Refused::new(Answer::PermissionDenied, Rule::SubscriptionType));
    }
    if channel.is_private() && !has_token {
        return Err(Refused::new(Answer::PermissionDenied, Rule::PrivatePrefix));
    }
    let decision = subscribe_path(channel, asker, has_token)?;
    if asked.is_none() {
        return Err(Refused::new(Answer::DisconnectServerError, Rule::SubscriptionType));
    }
    Ok(decision)
}

fn subscribe_path(
    channel: &Channel<'_>,
    asker: Asker<'_>,
    has_token: bool,
) -> Result<Decision<SubscribePath>, Refused> {
    let options = &channel.namespace.options;
    let user_limited = channel.is_user_limited();
    let client = options.allow_subscribe_for_client
        && counts(asker.user, options.allow_subscribe_for_anonymous)
        && !user_limited;
    let (path, rule) = if has_token {
        (SubscribePath::VerifyToken, Rule::SubscriptionToken)
    } else if user_limited && channel.lists_user(asker.user) {
        (SubscribePath::Granted, Rule::UserLimited)
    } else if options.subscribe_proxy_enabled && !user_limited {
        (SubscribePath::AskProxy, Rule::SubscribeProxy)
    } else if options.subscribe_stream_proxy_enabled && !user_limited {
        (SubscribePath::AskStreamProxy, Rule::SubscribeStreamProxy)
    } else if client {
        (SubscribePath::Granted, Rule::AllowSubscribeForClient)
    } else if asker.insecure {
        (SubscribePath::Granted, Rule::Insecure)
    } else {
        let rule = if user_limited { Rule::UserLimited } else { Rule::NothingAllows };
        return Err(Refused::new(Answer::PermissionDenied, rule));
    };
    Ok(Decision { path, rule })
}

/// Grants those wishes of a subscribe request that the namespace allows; the others are passed over.
///
/// Applies to granted and token subscriptions. Answers of proxies ignore the wishes (row SUB-6).
///
/// Source: rows SUB-4 and SUB-5 of the compatibility list.
pub fn granted_flags(channel: &Channel<'_>, asker: Asker<'_>, wanted: Flags) -> Flags {
    let options = &channel.namespace.options;
    let history = || history_access(channel, asker, true).is_some();
    Flags {
        positioned: wanted.positioned && (options.allow_positioning || history()),
        recoverable: wanted.recoverable && (options.allow_recovery || history()),
        join_leave: wanted.join_leave
            && options.join_leave
            && presence_access(channel, asker, true).is_some(),
    }
}

/// Judges a channel that a connect request lists in `subs` and that the server did not grant by itself.
///
/// The rule tells why it is accepted, or why it is left out without an error. Applies to connections made
/// by token or as anonymous or insecure ones. A channel of an unknown namespace ends the connection with
/// 3501 instead, which the caller finds out with [`Namespaces::lookup`].
///
/// # Errors
/// The rule that leaves the channel out.
///
/// Source: row SSS-3 of the compatibility list. Namespaces of another kind than streams and with a stream
/// proxy are left out as well, because a subscription to them could not work.
pub fn connect_subscription(channel: &Channel<'_>, asker: Asker<'_>) -> Result<Rule, Rule> {
    let options = &channel.namespace.options;
    if channel.is_private() {
        return Err(Rule::PrivatePrefix);
    }
    if options.subscribe_proxy_enabled {
        return Err(Rule::SubscribeProxy);
    }
    if options.subscribe_stream_proxy_enabled {
        return Err(Rule::SubscribeStreamProxy);
    }
    if channel.namespace.kind != SubscriptionKind::Stream {
        return Err(Rule::SubscriptionType);
    }
    if !channel.has_valid_name() {
        return Err(Rule::ChannelName);
    }
    let user_limited = channel.is_user_limited();
    if user_limited && !asker.user.is_empty() && channel.lists_user(asker.user) {
        Ok(Rule::UserLimited)
    } else if options.allow_subscribe_for_client
        && counts(asker.user, options.allow_subscribe_for_anonymous)
        && !user_limited
    {
        Ok(Rule::AllowSubscribeForClient)
    } else if asker.insecure {
        Ok(Rule::Insecure)
    } else {
        Err(if user_limited { Rule::UserLimited } else { Rule::NothingAllows })
    }
}

/// Judges a client's publication.
///
/// # Errors
/// The refusal of the rule that decided.
///
/// Source: row PUB-1 of the compatibility list.
pub fn publish(
    channel: &Channel<'_>,
    asker: Asker<'_>,
    subscribed: bool,
    data: &[u8],
) -> Result<Decision<PublishPath>, Refused> {
    let options = &channel.namespace.options;
    if !channel.namespace.data_format.accepts(data) {
        return Err(Refused::new(Answer::BadRequest, Rule::DataFormat));
    }
    let known = counts(asker.user, options.allow_publish_for_anonymous);
    let (path, rule) = if options.publish_proxy_enabled {
        (PublishPath::AskProxy, Rule::PublishProxy)
    } else if options.subscribe_stream_proxy_enabled {
        if !options.subscribe_stream_proxy_bidirectional || !subscribed {
            return Err(Refused::new(Answer::NotAvailable, Rule::SubscribeStreamProxy));
        }
        (PublishPath::ToStreamProxy, Rule::SubscribeStreamProxy)
    } else if options.allow_publish_for_client && known {
        (PublishPath::Granted, Rule::AllowPublishForClient)
    } else if options.allow_publish_for_subscriber && subscribed && known {
        (PublishPath::Granted, Rule::AllowPublishForSubscriber)
    } else if asker.insecure {
        (PublishPath::Granted, Rule::Insecure)
    } else {
        return Err(Refused::new(Answer::PermissionDenied, Rule::NothingAllows));
    };
    Ok(Decision { path, rule })
}

/// Judges a client's request for presence or its statistics; gives the rule that allows it.
///
/// # Errors
/// 108 where presence is off, 103 without permission.
///
/// Source: row PRE-1 of the compatibility list.
pub fn presence(channel: &Channel<'_>, asker: Asker<'_>, subscribed: bool) -> Result<Rule, Refused> {
    if !channel.namespace.options.presence {
        return Err(Refused::new(Answer::NotAvailable, Rule::PresenceOff));
    }
    presence_access(channel, asker, subscribed)
        .ok_or(Refused::new(Answer::PermissionDenied, Rule::NothingAllows))
}

/// Judges a client's request for history; gives the rule that allows it.
///
/// # Errors
/// 108 where history is off, 103 without permission.
///
/// Source: row HIS-1 of the compatibility list.
pub fn history(channel: &Channel<'_>, asker: Asker<'_>, subscribed: bool) -> Result<Rule, Refused> {
    if !channel.namespace.has_history() {
        return Err(Refused::new(Answer::NotAvailable, Rule::HistoryOff));
    }
    history_access(channel, asker, subscribed)
        .ok_or(Refused::new(Answer::PermissionDenied, Rule::NothingAllows))
}

fn presence_access(channel: &Channel<'_>, asker: Asker<'_>, subscribed: bool) -> Option<Rule> {
    let options = &channel.namespace.options;
    let known = counts(asker.user, options.allow_presence_for_anonymous);
    if options.allow_presence_for_client && known {
        Some(Rule::AllowPresenceForClient)
    } else if options.allow_presence_for_subscriber && subscribed && known {
        Some(Rule::AllowPresenceForSubscriber)
    } else {
        asker.insecure.then_some(Rule::Insecure)
    }
}

fn history_access(channel: &Channel<'_>, asker: Asker<'_>, subscribed: bool) -> Option<Rule> {
    let options = &channel.namespace.options;
    let known = counts(asker.user, options.allow_history_for_anonymous);
    if options.allow_history_for_client && known {
        Some(Rule::AllowHistoryForClient)
    } else if options.allow_history_for_subscriber && subscribed && known {
        Some(Rule::AllowHistoryForSubscriber)
    } else {
        asker.insecure.then_some(Rule::Insecure)
    }
}

/// `…_for_anonymous` only widens the other options to connections without a user.
fn counts(user: &str, for_anonymous: bool) -> bool {
    !user.is_empty() || for_anonymous
}
