//! What is refused before permissions are asked: length, number and form of subscriptions.

use super::namespaces::Namespaces;
use super::rule::{Answer, Refused, Rule, SubscriptionKind};

/// Bounds on subscriptions of one connection; zero means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `channel.max_length`, in bytes; 255 by default.
    pub channel_length: usize,
    /// `client.channel_limit`: subscriptions of every origin together; 128 by default.
    pub channels: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { channel_length: 255, channels: 128 }
    }
}

/// A subscribe request, as far as its form goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'r> {
    /// Channel.
    pub channel: &'r str,
    /// `type`, which may be a number that is not assigned.
    pub kind: i32,
    /// `delta`, empty for none.
    pub delta: &'r str,
    /// Whether the connection is subscribed to it or just subscribing.
    pub already_subscribed: bool,
    /// How many subscriptions the connection has.
    pub held: usize,
}

impl Limits {
    /// Judges the form of a client's subscribe request.
    ///
    /// # Errors
    /// The refusal of the first rule that is broken, in the order of row SUB-1.
    pub fn check_subscribe(&self, namespaces: &Namespaces, asked: &Asked<'_>) -> Result<(), Refused> {
        let refuse = |answer, rule| Err(Refused::new(answer, rule));
        if asked.channel.is_empty() {
            return refuse(Answer::DisconnectBadRequest, Rule::EmptyChannel);
        }
        let kind = SubscriptionKind::from_wire(asked.kind);
        let polled = namespaces
            .lookup(asked.channel)
            .is_some_and(|channel| channel.namespace.kind == SubscriptionKind::SharedPoll);
        match (kind, polled) {
            (Some(SubscriptionKind::SharedPoll), false) => {
                return refuse(Answer::NotAvailable, Rule::SubscriptionType);
            }
            (Some(SubscriptionKind::SharedPoll), true) => {}
            (_, true) => return refuse(Answer::BadRequest, Rule::SubscriptionType),
            (_, false) => {}
        }
        if !matches!(asked.delta, "" | "fossil") {
            return refuse(Answer::DisconnectBadRequest, Rule::DeltaType);
        }
        if exceeds(asked.channel.len(), self.channel_length) {
            return refuse(Answer::BadRequest, Rule::ChannelLength);
        }
        if asked.already_subscribed {
            return refuse(Answer::AlreadySubscribed, Rule::AlreadySubscribed);
        }
        if exceeds(asked.held + 1, self.channels) {
            return refuse(Answer::LimitExceeded, Rule::ChannelLimit);
        }
        Ok(())
    }

    /// Tells whether a connection may begin with so many server-side subscriptions (else disconnect 3505).
    pub fn admits_at_connect(&self, subscriptions: usize) -> bool {
        !exceeds(subscriptions, self.channels)
    }
}

fn exceeds(value: usize, limit: usize) -> bool {
    limit > 0 && value > limit
}
