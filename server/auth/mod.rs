//! Who is it: tokens, keys and origins.
//!
//! Owns the verification of connection and subscription tokens, the cache of published keys, the API key
//! and the check of a browser's origin. Knows no namespaces, sessions or transports: whether the channels
//! named by a token exist is for the caller to ask `channel`.
//!
//! A token becomes a [`ConnectToken`] or [`SubscribeToken`] by way of `compact` (three parts), `claims`
//! (what it says), `verifier` (in which order it is judged) and `keys` or `jwks` (who signed it).

mod algorithm;
mod api_key;
mod claims;
mod compact;
mod connection_token;
mod error;
mod issue;
mod jwks;
mod keys;
mod origin;
mod subscription_token;
mod verifier;

#[cfg(test)]
mod tests;

pub use algorithm::Algorithm;
pub use api_key::{ApiKey, ApiKeyPlaces};
pub use compact::inspect;
pub use connection_token::ConnectToken;
pub use error::{RejectReason, TokenError, VerifierError};
pub use issue::{NewToken, issue};
pub use origin::{OriginError, OriginPolicy};
pub use subscription_token::{SubscribeToken, SubscriptionGrant};
pub use verifier::{TokenVerifier, VerifierOptions};
