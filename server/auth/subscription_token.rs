//! What a subscription token grants.

use super::claims::{SubscribeClaims, expire_at, payload};
use super::error::{RejectReason, TokenError};
use crate::channel::{Namespaces, OptionOverrides};
use bytes::Bytes;

/// What a token says about one subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionGrant {
    /// Channel information (`chan_info`); empty when absent.
    pub info: Bytes,
    /// Data for the subscribe result; empty when absent.
    pub data: Bytes,
    /// Options that differ from the namespace.
    pub overrides: OptionOverrides,
}

/// A verified subscription token.
///
/// Source: protocol documentation, "Channel JWT authorization".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeToken {
    /// User it was made for; empty for anonymous connections.
    pub user: String,
    /// Channel it is for, never empty.
    pub channel: String,
    /// The one connection it is for; empty for any of the user's (a claim of earlier versions).
    pub client: String,
    /// When the subscription expires, seconds since 1970; zero means never.
    pub expire_at: i64,
    /// What it says about the subscription.
    pub grant: SubscriptionGrant,
}

impl SubscribeToken {
    /// Turns claims that passed every check into what they grant.
    pub(super) fn from_claims(
        claims: &SubscribeClaims<'_>,
        channel: String,
        user: String,
    ) -> Result<Self, RejectReason> {
        Ok(Self {
            user,
            channel,
            client: claims.client.clone().unwrap_or_default(),
            expire_at: expire_at(claims.expire_at, claims.exp),
            grant: SubscriptionGrant {
                info: payload(claims.info, claims.b64info.as_deref())?,
                data: payload(claims.data, claims.b64data.as_deref())?,
                overrides: claims.overrides.unwrap_or_default().into(),
            },
        })
    }

    /// Checks that the channel belongs to a configured namespace.
    ///
    /// # Errors
    /// `UnknownChannel` if not; a retry cannot help, the client gets code 102.
    pub fn check_channel(&self, namespaces: &Namespaces) -> Result<(), TokenError> {
        match namespaces.lookup(&self.channel) {
            Some(_) => Ok(()),
            None => Err(TokenError::UnknownChannel(self.channel.clone())),
        }
    }

    /// Tells whether the token was made for this request; if not, the connection ends with 3500.
    pub fn is_for(&self, channel: &str, user: &str, client: &str) -> bool {
        self.channel == channel && self.user == user && (self.client.is_empty() || self.client == client)
    }
}
