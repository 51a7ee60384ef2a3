//! Why a token was refused, and why a verifier could not be built.

use super::algorithm::Algorithm;

/// What the caller does about a token that was not accepted.
///
/// No variant carries a part of the token, so all of it can be logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token is authentic but `exp` has passed or `nbf` has not come: the client should fetch a new one.
    /// Error 109 on connect and subscribe; disconnect 3005 on connection refresh.
    #[error("token expired")]
    Expired,
    /// The token must not be trusted. Disconnect 3500, or error 103 when a subscription asked for it.
    #[error("invalid token: {0}")]
    Invalid(RejectReason),
    /// The token is authentic but names a channel of a namespace that is not configured. Error 102.
    #[error("channel {0:?} of the token belongs to no configured namespace")]
    UnknownChannel(String),
    /// The token is authentic but cannot be used as it is. Error 100.
    #[error("token cannot be used: {0}")]
    Internal(&'static str),
}

/// The first check that a token failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    /// Longer than `MAX_TOKEN_BYTES`.
    #[error("token is too long")]
    TooLong,
    /// Not three parts of base64url.
    #[error("token is not three parts of unpadded base64url")]
    Format,
    /// The header is no JSON object with text members, or repeats one.
    #[error("token header is malformed")]
    Header,
    /// The header demands an extension; none is supported (RFC 7515 section 4.1.11).
    #[error("token header has critical extensions")]
    CriticalHeader,
    /// The claims are not of the expected types, or repeat one.
    #[error("token claims are malformed")]
    Claims,
    /// Arrays and objects of the claims lie deeper than any honest token needs.
    #[error("token claims are nested too deeply")]
    Nesting,
    /// `iss` is not what the configuration asks for.
    #[error("issuer does not match")]
    Issuer,
    /// `aud` is not what the configuration asks for.
    #[error("audience does not match")]
    Audience,
    /// The header names no algorithm that is supported; unsigned tokens end here.
    #[error("token algorithm is not supported")]
    UnsupportedAlgorithm,
    /// The algorithm is supported but no key for it is configured, or the key is for another one.
    #[error("no key for token algorithm {}", .0.name())]
    NoKey(Algorithm),
    /// The signature is not one of a known key.
    #[error("signature does not match")]
    Signature,
    /// Published keys are in use and the header names none.
    #[error("token header has no kid")]
    NoKeyId,
    /// The endpoint publishes no key with this `kid`.
    #[error("key of the token is not published")]
    UnknownKey,
    /// The endpoint could not be read.
    #[error("published keys are unavailable")]
    KeysUnavailable,
    /// Claims would have led to another address than the configured ones.
    #[error("token claims do not lead to a key endpoint")]
    KeyEndpoint,
    /// A connection token has `channel`, so it is a subscription token.
    #[error("connection token has a channel claim")]
    ChannelForbidden,
    /// A subscription token has no `channel`.
    #[error("subscription token has no channel claim")]
    ChannelMissing,
    /// A `b64…` claim is not padded base64.
    #[error("base64 claim is malformed")]
    Base64,
    /// The configured user claim is neither text nor number, or is repeated.
    #[error("user claim is neither text nor number")]
    UserClaim,
}

impl From<RejectReason> for TokenError {
    fn from(reason: RejectReason) -> Self {
        Self::Invalid(reason)
    }
}

/// Why a verifier could not be built from the configuration. Key material is never part of it.
#[derive(Debug, thiserror::Error)]
pub enum VerifierError {
    /// The key is no PEM public key or certificate.
    #[error("{key} is not a PEM public key or certificate")]
    Pem {
        /// Configuration key.
        key: &'static str,
    },
    /// The key is of another kind than its place wants.
    #[error("{key} is not {expected} public key")]
    KeyKind {
        /// Configuration key.
        key: &'static str,
        /// The kind, with its article.
        expected: &'static str,
    },
    /// The RSA modulus is too short or too long.
    #[error("{key} has {bits} bits, between 2048 and 8192 are required")]
    RsaSize {
        /// Configuration key.
        key: &'static str,
        /// Size that was found.
        bits: usize,
    },
    /// An exact value and a pattern for the same claim.
    #[error("{0} and {0}_regex cannot be used together")]
    ExactAndPattern(&'static str),
    /// A pattern does not compile.
    #[error("{key}: {source}")]
    Pattern {
        /// Configuration key.
        key: &'static str,
        /// What is wrong with it.
        source: crate::channel::PatternError,
    },
    /// The claim name has other characters than letters and underscores.
    #[error("user_id_claim {0:?} does not match ^[a-zA-Z_]+$")]
    UserIdClaim(String),
    /// The endpoint is no http or https address.
    #[error("jwks_public_endpoint {0:?} is not an http or https address")]
    Endpoint(String),
    /// A placeholder that no pattern fills.
    #[error(
        "jwks_public_endpoint uses {{{{{0}}}}}, which is no named group of issuer_regex or audience_regex"
    )]
    UnknownPlaceholder(String),
    /// A token could choose the address its keys are read from.
    #[error(
        "{key} fills jwks_public_endpoint, so it must list its values (value1|value2) without classes, \
         wildcards or repetitions"
    )]
    OpenPattern {
        /// Configuration key.
        key: &'static str,
    },
}
