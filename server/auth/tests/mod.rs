//! Tokens against the verifier: what is accepted, what it grants, and what is refused for which reason.

mod attacks;
mod connection;
pub(super) mod forge;
mod signatures;
mod subscription;

use super::{ConnectToken, SubscribeToken, TokenError, TokenVerifier, VerifierError, VerifierOptions};
use crate::seams::UnixMillis;
use futures_util::FutureExt;
use std::sync::LazyLock;
use tokio::runtime::Runtime;

/// The second at which tests happen.
pub(super) const NOW: i64 = 1_800_000_000;

pub(super) const SECRET: &str = "correct horse battery staple";

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().build().unwrap());

fn hmac_options() -> VerifierOptions {
    VerifierOptions { hmac_secret_key: SECRET.to_owned(), ..Default::default() }
}

fn try_verifier(options: &VerifierOptions) -> Result<TokenVerifier, VerifierError> {
    TokenVerifier::new(options, RUNTIME.handle())
}

fn verifier(options: &VerifierOptions) -> TokenVerifier {
    try_verifier(options).unwrap()
}

fn now() -> UnixMillis {
    UnixMillis(NOW as u64 * 1000)
}

/// Verifies on the first poll, outside of any runtime.
fn connect_with(options: &VerifierOptions, token: &str) -> Result<ConnectToken, TokenError> {
    verifier(options).verify_connect(token, now()).now_or_never().expect("ready on the first poll")
}

fn subscribe_with(options: &VerifierOptions, token: &str) -> Result<SubscribeToken, TokenError> {
    verifier(options).verify_subscribe(token, now()).now_or_never().expect("ready on the first poll")
}

/// Verifies claims signed with the secret.
fn connect(claims: &str) -> Result<ConnectToken, TokenError> {
    connect_with(&hmac_options(), &forge::hs256(claims))
}

fn subscribe(claims: &str) -> Result<SubscribeToken, TokenError> {
    subscribe_with(&hmac_options(), &forge::hs256(claims))
}
