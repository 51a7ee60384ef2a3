//! What a connection token grants.

use super::claims::{ConnectClaims, SubscriptionClaims, expire_at, payload};
use super::error::TokenError;
use super::subscription_token::SubscriptionGrant;
use crate::channel::Namespaces;
use bytes::Bytes;
use std::collections::BTreeMap;

/// A verified connection token.
///
/// Source: protocol documentation, "Client JWT authentication".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectToken {
    /// User; empty for an anonymous connection.
    pub user: String,
    /// When the connection expires, seconds since 1970; zero means never.
    pub expire_at: i64,
    /// Connection information (`conn_info`); empty when absent.
    pub info: Bytes,
    /// Data that stays on the server, as JSON; empty when absent.
    pub meta: Bytes,
    /// Server-side subscriptions by channel: `subs`, or `channels` when `subs` is empty.
    pub subs: BTreeMap<String, SubscriptionGrant>,
}

impl ConnectToken {
    /// Turns claims that passed every check into what they grant.
    pub(super) fn from_claims(claims: &ConnectClaims<'_>, user: String) -> Result<Self, TokenError> {
        let mut subs = BTreeMap::new();
        match &claims.subs {
            Some(entries) if !entries.is_empty() => {
                for (channel, entry) in entries {
                    subs.insert(
                        channel.clone(),
                        entry.as_ref().map_or(Ok(SubscriptionGrant::default()), grant)?,
                    );
                }
            }
            _ => {
                let channels = claims.channels.iter().flatten();
                subs.extend(channels.map(|channel| (channel.clone(), SubscriptionGrant::default())));
            }
        }
        let info = payload(claims.info, claims.b64info.as_deref())
            .map_err(|_| TokenError::Internal("b64info is not base64"))?;
        Ok(Self {
            user,
            expire_at: expire_at(claims.expire_at, claims.exp),
            info,
            meta: payload(claims.meta, None)?,
            subs,
        })
    }

    /// Checks that every channel belongs to a configured namespace.
    ///
    /// # Errors
    /// `UnknownChannel` with the first that does not; a retry cannot help, the client gets code 102.
    pub fn check_channels(&self, namespaces: &Namespaces) -> Result<(), TokenError> {
        match self.subs.keys().find(|channel| namespaces.lookup(channel).is_none()) {
            Some(channel) => Err(TokenError::UnknownChannel(channel.clone())),
            None => Ok(()),
        }
    }
}

fn grant(claims: &SubscriptionClaims<'_>) -> Result<SubscriptionGrant, TokenError> {
    Ok(SubscriptionGrant {
        info: payload(claims.info, claims.b64info.as_deref())?,
        data: payload(claims.data, claims.b64data.as_deref())?,
        overrides: claims.overrides.unwrap_or_default().into(),
    })
}
