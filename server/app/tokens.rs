//! Token verification as sessions ask for it.

use crate::auth::{ConnectToken, SubscribeToken, TokenError, TokenVerifier};
use crate::broker::MaybeReady;
use crate::channel::OptionOverrides;
use crate::reactor::TokenAuthority;
use crate::seams::UnixMillis;
use crate::session::{AuthError, ConnectClaims, Overrides, SubscribeClaims, TokenSubscription};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// Verifiers in force: one for connections, one for subscriptions, which may be the same.
pub struct Verifiers {
    /// Verifies connection tokens.
    pub connect: Arc<TokenVerifier>,
    /// Verifies subscription tokens.
    pub subscribe: Arc<TokenVerifier>,
}

/// Verifiers that a reload can replace; a verification under way ends with those it began with.
pub struct Authority(ArcSwap<Verifiers>);

impl Authority {
    /// Starts with `verifiers`.
    pub fn new(verifiers: Verifiers) -> Self {
        Self(ArcSwap::from_pointee(verifiers))
    }

    /// Puts new verifiers in force.
    pub fn replace(&self, verifiers: Verifiers) {
        self.0.store(Arc::new(verifiers));
    }
}

impl TokenAuthority for Authority {
    fn verify_connect(
        &self,
        token: String,
        now: UnixMillis,
    ) -> MaybeReady<Result<Box<ConnectClaims>, AuthError>> {
        let verifier = self.0.load().connect.clone();
        MaybeReady::later(async move {
            let verified = verifier.verify_connect(&token, now).await;
            verified.map(|token| Box::new(token.into())).map_err(|error| refused("connection", &error))
        })
    }

    fn verify_subscribe(
        &self,
        token: String,
        now: UnixMillis,
    ) -> MaybeReady<Result<Box<SubscribeClaims>, AuthError>> {
        let verifier = self.0.load().subscribe.clone();
        MaybeReady::later(async move {
            let verified = verifier.verify_subscribe(&token, now).await;
            verified.map(|token| Box::new(token.into())).map_err(|error| refused("subscription", &error))
        })
    }
}

fn refused(kind: &'static str, error: &TokenError) -> AuthError {
    tracing::debug!(%error, kind, "token was refused");
    match error {
        TokenError::Expired => AuthError::Expired,
        TokenError::Invalid(_) => AuthError::Invalid,
        TokenError::UnknownChannel(_) | TokenError::Internal(_) => AuthError::Internal,
    }
}

impl From<ConnectToken> for ConnectClaims {
    fn from(token: ConnectToken) -> Self {
        let subscriptions = token.subs.into_iter().map(|(channel, grant)| {
            let overrides = grant.overrides.into();
            (
                channel,
                TokenSubscription { info: grant.info, data: grant.data, overrides, cache_recover: false },
            )
        });
        Self {
            user: token.user,
            expire_at: token.expire_at,
            info: token.info,
            meta: token.meta,
            subscriptions: subscriptions.collect(),
            ..Self::default()
        }
    }
}

impl From<SubscribeToken> for SubscribeClaims {
    fn from(token: SubscribeToken) -> Self {
        Self {
            user: token.user,
            channel: token.channel,
            client: token.client,
            expire_at: token.expire_at,
            info: token.grant.info,
            data: token.grant.data,
            overrides: token.grant.overrides.into(),
        }
    }
}

impl From<OptionOverrides> for Overrides {
    fn from(overrides: OptionOverrides) -> Self {
        Self {
            presence: overrides.presence,
            join_leave: overrides.join_leave,
            push_join_leave: overrides.force_push_join_leave,
            recovery: overrides.force_recovery,
            positioning: overrides.force_positioning,
        }
    }
}
