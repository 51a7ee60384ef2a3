//! JSON Web Tokens.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use gyre::auth::{TokenVerifier, VerifierOptions, inspect};
use gyre::seams::UnixMillis;
use std::sync::LazyLock;

const SECRET: &str = "a secret of the fuzz targets";
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

static VERIFIER: LazyLock<TokenVerifier> = LazyLock::new(|| {
    let options = VerifierOptions { hmac_secret_key: SECRET.to_owned(), ..Default::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    TokenVerifier::new(&options, runtime.handle()).expect("a verifier")
});

/// Judges tokens. With an even first byte the rest is the token, which must be refused because nobody
/// guesses a signature; with an odd one it is a header and claims, signed with the right secret.
pub fn tokens(data: &[u8]) {
    let [mode, data @ ..] = data else { return };
    if mode & 1 == 0 {
        let Ok(token) = std::str::from_utf8(data) else { return };
        assert!(!accepted(token), "{token:?}");
        let _ = inspect(token);
        return;
    }
    let (header, claims) = super::halves(data);
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    let token = format!("{signed}.{signature}");
    if accepted(&token) {
        // Members nobody asks for may hold what is no UTF-8, and then a token cannot be shown.
        if let Ok((algorithm, _)) = inspect(&token) {
            assert_eq!(algorithm, "HS256");
        }
    }
}

fn accepted(token: &str) -> bool {
    let connect = VERIFIER.verify_connect(token, NOW).now_or_never().expect("keys are at hand");
    let subscribe = VERIFIER.verify_subscribe(token, NOW).now_or_never().expect("keys are at hand");
    // A token is for one of the two: the channel decides.
    assert!(connect.is_err() || subscribe.is_err());
    connect.is_ok() || subscribe.is_ok()
}
