//! Judging tokens: which checks, in which order.

use super::algorithm::Algorithm;
use super::claims::{self, Audience, ConnectClaims, NumericDate, SubscribeClaims, user_claim};
use super::compact::Compact;
use super::connection_token::ConnectToken;
use super::error::{RejectReason, TokenError, VerifierError};
use super::jwks::{Jwks, UrlTemplate};
use super::keys::{FixedKeys, HmacSecret, PublicKey};
use super::subscription_token::SubscribeToken;
use crate::channel::pattern;
use crate::seams::UnixMillis;
use regex::Regex;
use std::fmt;
use tokio::runtime::Handle;

/// What a verifier is built from: a token section of the configuration and one switch from beside it.
///
/// Empty texts mean that a value is not configured.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct VerifierOptions {
    /// Secret of HS256, HS384 and HS512.
    pub hmac_secret_key: String,
    /// Secret that is still accepted while tokens made with it live.
    pub hmac_previous_secret_key: String,
    /// Seconds since 1970 after which the previous secret is refused; zero for no end.
    pub hmac_previous_secret_key_valid_until: i64,
    /// PEM of the key for RS256, RS384 and RS512: a public key or a certificate, 2048 to 8192 bits.
    pub rsa_public_key: String,
    /// PEM of the key for ES256, ES384 or ES512, whichever belongs to its curve.
    pub ecdsa_public_key: String,
    /// Address of a JSON Web Key Set; keys above are ignored when it is set.
    pub jwks_public_endpoint: String,
    /// Value that `aud` must contain.
    pub audience: String,
    /// Pattern that a value of `aud` must match.
    pub audience_regex: String,
    /// Value that `iss` must have.
    pub issuer: String,
    /// Pattern that `iss` must match.
    pub issuer_regex: String,
    /// Claim that holds the user; empty for `sub`.
    pub user_id_claim: String,
    /// Accepts patterns through which a token could choose its own key endpoint. Dangerous.
    pub insecure_skip_jwks_endpoint_safety_check: bool,
    /// Accepts any signature; every other check stays. Dangerous.
    pub insecure_skip_signature_verify: bool,
}

/// Names no secret, so that options may end up in a log.
impl fmt::Debug for VerifierOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("VerifierOptions")
            .field("hmac", &!self.hmac_secret_key.is_empty())
            .field("hmac_previous", &!self.hmac_previous_secret_key.is_empty())
            .field("rsa", &!self.rsa_public_key.is_empty())
            .field("ecdsa", &!self.ecdsa_public_key.is_empty())
            .field("jwks", &!self.jwks_public_endpoint.is_empty())
            .field("user_id_claim", &self.user_id_claim)
            .field("insecure_skip_signature_verify", &self.insecure_skip_signature_verify)
            .finish_non_exhaustive()
    }
}

/// Verifies connection and subscription tokens.
///
/// The order of checks is: claims are readable, patterns for issuer and audience, signature, exact issuer
/// and audience, presence of `channel`, `exp` and `nbf` without any leeway. So a client learns that a token
/// expired only when everything else about it is right.
///
/// Order and blocking: calls are independent. Futures are ready on their first poll unless a key has to be
/// fetched, and may be polled outside of any runtime.
pub struct TokenVerifier {
    keys: KeySource,
    issuer: Expected,
    audience: Expected,
    user_id_claim: Option<String>,
    skip_signature: bool,
}

enum KeySource {
    Fixed(Box<FixedKeys>),
    Published(Jwks),
}

/// What a claim must be.
enum Expected {
    Anything,
    Exactly(String),
    Matching(Regex),
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let published = matches!(self.keys, KeySource::Published(_));
        formatter.debug_struct("TokenVerifier").field("published_keys", &published).finish_non_exhaustive()
    }
}

impl TokenVerifier {
    /// Builds a verifier; keys of an endpoint are fetched on `runtime` when tokens ask for them.
    ///
    /// # Errors
    /// The option that cannot be used and why; meant to end the start of the process.
    pub fn new(options: &VerifierOptions, runtime: &Handle) -> Result<Self, VerifierError> {
        let claim = &options.user_id_claim;
        if !claim.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_') {
            return Err(VerifierError::UserIdClaim(claim.clone()));
        }
        let issuer = Expected::new("issuer", &options.issuer, "issuer_regex", &options.issuer_regex)?;
        let audience =
            Expected::new("audience", &options.audience, "audience_regex", &options.audience_regex)?;
        let keys = if options.jwks_public_endpoint.is_empty() {
            KeySource::Fixed(Box::new(fixed_keys(options)?))
        } else {
            let patterns = [
                ("issuer_regex", options.issuer_regex.as_str()),
                ("audience_regex", options.audience_regex.as_str()),
            ];
            let template = UrlTemplate::new(&options.jwks_public_endpoint, &patterns)?;
            if let Err(error) = template.check_safety(&patterns) {
                if !options.insecure_skip_jwks_endpoint_safety_check {
                    return Err(error);
                }
                tracing::warn!(%error, "safety check of the key endpoint is switched off: tokens can choose where their keys come from");
            }
            KeySource::Published(Jwks::new(template, runtime.clone()))
        };
        Ok(Self {
            keys,
            issuer,
            audience,
            user_id_claim: (!claim.is_empty()).then(|| claim.clone()),
            skip_signature: options.insecure_skip_signature_verify,
        })
    }

    /// Verifies a connection token as of `now`.
    ///
    /// Whether its channels exist is not checked here, see [`ConnectToken::check_channels`].
    ///
    /// # Errors
    /// See [`TokenError`]. `UnknownChannel` does not occur.
    ///
    /// Source: protocol documentation, "Client JWT authentication"; RFC 7519.
    pub async fn verify_connect(&self, token: &str, now: UnixMillis) -> Result<ConnectToken, TokenError> {
        let token = Compact::parse(token)?;
        let claims: ConnectClaims = claims::parse(&token.claims)?;
        self.check_origin(&token, claims.iss.as_deref(), claims.aud.as_ref(), now).await?;
        if claims.channel.as_deref().is_some_and(|channel| !channel.is_empty()) {
            return Err(RejectReason::ChannelForbidden.into());
        }
        check_dates(claims.exp, claims.nbf, now)?;
        let user = self.user(&token, claims.sub.as_deref())?;
        ConnectToken::from_claims(&claims, user)
    }

    /// Verifies a subscription token as of `now`.
    ///
    /// Whether it fits the request and whether its channel exists is not checked here, see
    /// [`SubscribeToken::is_for`] and [`SubscribeToken::check_channel`].
    ///
    /// # Errors
    /// See [`TokenError`]. `UnknownChannel` does not occur.
    ///
    /// Source: protocol documentation, "Channel JWT authorization"; RFC 7519.
    pub async fn verify_subscribe(&self, token: &str, now: UnixMillis) -> Result<SubscribeToken, TokenError> {
        let token = Compact::parse(token)?;
        let claims: SubscribeClaims = claims::parse(&token.claims)?;
        self.check_origin(&token, claims.iss.as_deref(), claims.aud.as_ref(), now).await?;
        check_dates(claims.exp, claims.nbf, now)?;
        let channel = claims.channel.clone().unwrap_or_default();
        if channel.is_empty() {
            return Err(RejectReason::ChannelMissing.into());
        }
        let user = self.user(&token, claims.sub.as_deref())?;
        Ok(SubscribeToken::from_claims(&claims, channel, user)?)
    }

    /// Who made the token, and for whom: patterns first because they name the key endpoint.
    async fn check_origin(
        &self,
        token: &Compact<'_>,
        issuer: Option<&str>,
        audience: Option<&Audience>,
        now: UnixMillis,
    ) -> Result<(), RejectReason> {
        let issuer = issuer.unwrap_or_default();
        let audience = audience.map_or(&[][..], Audience::values);
        self.issuer.check_pattern(std::iter::once(issuer)).ok_or(RejectReason::Issuer)?;
        self.audience.check_pattern(audience.iter().map(String::as_str)).ok_or(RejectReason::Audience)?;
        if !self.skip_signature {
            self.check_signature(token, issuer, audience, now).await?;
        }
        if !self.audience.check_exact(audience.iter().map(String::as_str)) {
            return Err(RejectReason::Audience);
        }
        if !self.issuer.check_exact(std::iter::once(issuer)) {
            return Err(RejectReason::Issuer);
        }
        Ok(())
    }

    async fn check_signature(
        &self,
        token: &Compact<'_>,
        issuer: &str,
        audience: &[String],
        now: UnixMillis,
    ) -> Result<(), RejectReason> {
        let algorithm = Algorithm::parse(&token.algorithm).ok_or(RejectReason::UnsupportedAlgorithm)?;
        match &self.keys {
            KeySource::Fixed(keys) => keys.verify(algorithm, token.signed, &token.signature, now.seconds()),
            KeySource::Published(keys) => {
                // A pattern of the audience comes later and wins, when both have a group of the same name.
                let value = |name: &str| {
                    let audiences = audience.iter().map(String::as_str);
                    let of_audience = self.audience.group(audiences, name);
                    of_audience.or_else(|| self.issuer.group(std::iter::once(issuer), name))
                };
                let key = keys.key(&token.key_id, algorithm, value, now).await?;
                key.verify(algorithm, token.signed, &token.signature)
            }
        }
    }

    fn user(&self, token: &Compact<'_>, subject: Option<&str>) -> Result<String, RejectReason> {
        match &self.user_id_claim {
            Some(name) => user_claim(&token.claims, name),
            None => Ok(subject.unwrap_or_default().to_owned()),
        }
    }
}

impl Expected {
    fn new(
        exact_key: &'static str,
        exact: &str,
        key: &'static str,
        pattern: &str,
    ) -> Result<Self, VerifierError> {
        match (exact.is_empty(), pattern.is_empty()) {
            (true, true) => Ok(Self::Anything),
            (false, true) => Ok(Self::Exactly(exact.to_owned())),
            (true, false) => pattern::compile(pattern)
                .map(Self::Matching)
                .map_err(|source| VerifierError::Pattern { key, source }),
            (false, false) => Err(VerifierError::ExactAndPattern(exact_key)),
        }
    }

    fn check_pattern<'v>(&self, mut values: impl Iterator<Item = &'v str>) -> Option<()> {
        match self {
            Self::Matching(pattern) => values.any(|value| pattern.is_match(value)).then_some(()),
            _ => Some(()),
        }
    }

    fn check_exact<'v>(&self, mut values: impl Iterator<Item = &'v str>) -> bool {
        match self {
            Self::Exactly(expected) => values.any(|value| value == expected),
            _ => true,
        }
    }

    /// The text of a named group in the first value that matches; empty if the group took no part.
    fn group<'v>(&self, mut values: impl Iterator<Item = &'v str>, name: &str) -> Option<&'v str> {
        let Self::Matching(pattern) = self else { return None };
        pattern.capture_names().flatten().find(|group| *group == name)?;
        let found = values.find_map(|value| pattern.captures(value))?;
        Some(found.name(name).map_or("", |group| group.as_str()))
    }
}

fn fixed_keys(options: &VerifierOptions) -> Result<FixedKeys, VerifierError> {
    let rsa = &options.rsa_public_key;
    let ecdsa = &options.ecdsa_public_key;
    Ok(FixedKeys {
        secret: HmacSecret::new(&options.hmac_secret_key),
        previous_secret: HmacSecret::new(&options.hmac_previous_secret_key),
        previous_valid_until: options.hmac_previous_secret_key_valid_until,
        rsa: (!rsa.is_empty()).then(|| PublicKey::rsa_from_pem("rsa_public_key", rsa)).transpose()?,
        ecdsa: (!ecdsa.is_empty())
            .then(|| PublicKey::ecdsa_from_pem("ecdsa_public_key", ecdsa))
            .transpose()?,
    })
}

/// Valid strictly before `exp` and strictly after `nbf`.
fn check_dates(
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    now: UnixMillis,
) -> Result<(), TokenError> {
    let now = now.0 as f64;
    let expired = exp.is_some_and(|exp| exp.millis() <= now);
    let early = nbf.is_some_and(|nbf| nbf.millis() >= now);
    if expired || early { Err(TokenError::Expired) } else { Ok(()) }
}
