//! Fetching, sharing, rotating and failing.

use super::endpoint::Endpoint;
use crate::auth::tests::forge;
use crate::auth::{RejectReason, TokenError, TokenVerifier, VerifierOptions};
use crate::seams::UnixMillis;
use aws_lc_rs::signature::Ed25519KeyPair;
use futures_util::FutureExt;
use tokio::runtime::Handle;

const START: u64 = 1_800_000_000_000;
const MINUTE: u64 = 60_000;

fn verifier(endpoint: &Endpoint) -> TokenVerifier {
    let options = VerifierOptions {
        jwks_public_endpoint: endpoint.url("/jwks"),
        hmac_secret_key: "ignored".into(),
        ..Default::default()
    };
    TokenVerifier::new(&options, &Handle::current()).unwrap()
}

fn rsa_token(kid: &str, algorithm: &str) -> String {
    let header = format!(r#"{{"alg":"{algorithm}","kid":"{kid}"}}"#);
    forge::token(&header, "{}", forge::sign_rsa(algorithm))
}

async fn verify(verifier: &TokenVerifier, token: &str, at: u64) -> Result<(), RejectReason> {
    match verifier.verify_connect(token, UnixMillis(START + at)).await {
        Ok(_) => Ok(()),
        Err(TokenError::Invalid(reason)) => Err(reason),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn keys_of_every_kind_verify_tokens() {
    let endpoint = Endpoint::start().await;
    let ed = Ed25519KeyPair::generate().unwrap();
    let curves: Vec<_> = ["ES256", "ES384", "ES512"].map(|name| (name, forge::ecdsa(name))).into();
    let mut keys = vec![forge::rsa_jwk("rsa", ""), forge::ed25519_jwk("ed", &ed)];
    keys.extend(curves.iter().map(|(name, pair)| forge::ecdsa_jwk(name, name, pair)));
    endpoint.publish(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    let verifier = verifier(&endpoint);
    for algorithm in ["RS256", "RS384", "RS512"] {
        assert_eq!(verify(&verifier, &rsa_token("rsa", algorithm), 0).await, Ok(()));
    }
    for (name, pair) in &curves {
        let token =
            forge::token(&format!(r#"{{"alg":"{name}","kid":"{name}"}}"#), "{}", forge::sign_ecdsa(pair));
        assert_eq!(verify(&verifier, &token, 0).await, Ok(()), "{name}");
    }
    let signed = |bytes: &[u8]| ed.sign(bytes).as_ref().to_vec();
    let token = forge::token(r#"{"alg":"EdDSA","kid":"ed"}"#, "{}", signed);
    assert_eq!(verify(&verifier, &token, 0).await, Ok(()));
    assert_eq!(endpoint.asked(), ["/jwks"]);
}

#[tokio::test]
async fn a_cached_key_needs_no_second_poll() {
    let endpoint = Endpoint::start().await;
    endpoint.publish(&[&forge::rsa_jwk("a", "RS256")]);
    let verifier = verifier(&endpoint);
    let token = rsa_token("a", "RS256");
    assert!(verifier.verify_connect(&token, UnixMillis(START)).now_or_never().is_none());
    assert_eq!(verify(&verifier, &token, 0).await, Ok(()));
    assert!(verifier.verify_connect(&token, UnixMillis(START)).now_or_never().unwrap().is_ok());
}

#[tokio::test]
async fn concurrent_tokens_share_one_fetch() {
    let endpoint = Endpoint::start().await;
    endpoint.publish(&[&forge::rsa_jwk("a", "RS256")]);
    let verifier = verifier(&endpoint);
    let token = rsa_token("a", "RS256");
    let all = futures_util::future::join_all((0..100).map(|_| verify(&verifier, &token, 0))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(endpoint.asked().len(), 1);
}

#[tokio::test]
async fn the_algorithm_of_a_key_must_be_the_token_s() {
    let endpoint = Endpoint::start().await;
    endpoint.publish(&[&forge::rsa_jwk("a", "RS256")]);
    let verifier = verifier(&endpoint);
    assert_eq!(verify(&verifier, &rsa_token("a", "RS256"), 0).await, Ok(()));
    assert!(matches!(verify(&verifier, &rsa_token("a", "RS512"), 0).await, Err(RejectReason::NoKey(_))));
    let mac = forge::mac(aws_lc_rs::hmac::HMAC_SHA256, "ignored");
    let hmac = forge::token(r#"{"alg":"HS256","kid":"a"}"#, "{}", mac);
    assert!(matches!(verify(&verifier, &hmac, 0).await, Err(RejectReason::NoKey(_))));
    let nameless = forge::token(&forge::header("RS256"), "{}", forge::sign_rsa("RS256"));
    assert_eq!(verify(&verifier, &nameless, 0).await, Err(RejectReason::NoKeyId));
    let unsigned = forge::token(r#"{"alg":"none","kid":"a"}"#, "{}", |_| Vec::new());
    assert_eq!(verify(&verifier, &unsigned, 0).await, Err(RejectReason::UnsupportedAlgorithm));
    assert_eq!(endpoint.asked().len(), 1);
}

#[tokio::test]
async fn a_rotated_key_is_found_and_made_up_ones_are_not_asked_for_again() {
    let endpoint = Endpoint::start().await;
    endpoint.publish(&[&forge::rsa_jwk("a", "RS256")]);
    let verifier = verifier(&endpoint);
    assert_eq!(verify(&verifier, &rsa_token("a", "RS256"), 0).await, Ok(()));
    endpoint.publish(&[&forge::rsa_jwk("b", "RS256")]);
    assert_eq!(verify(&verifier, &rsa_token("b", "RS256"), 1).await, Ok(()));
    assert_eq!(verify(&verifier, &rsa_token("a", "RS256"), 1).await, Ok(()), "the old key has its hour");
    for number in 0..1000 {
        let token = rsa_token(&format!("made-up-{number}"), "RS256");
        assert_eq!(verify(&verifier, &token, 2 + number).await, Err(RejectReason::UnknownKey));
    }
    assert_eq!(endpoint.asked().len(), 2);
    endpoint.publish(&[&forge::rsa_jwk("c", "RS256")]);
    assert_eq!(verify(&verifier, &rsa_token("c", "RS256"), 1 + MINUTE).await, Ok(()));
    assert_eq!(endpoint.asked().len(), 3);
}

#[tokio::test]
async fn a_withdrawn_key_ends_although_it_is_used() {
    let endpoint = Endpoint::start().await;
    endpoint.publish(&[&forge::rsa_jwk("a", "RS256")]);
    let verifier = verifier(&endpoint);
    let token = rsa_token("a", "RS256");
    assert_eq!(verify(&verifier, &token, 0).await, Ok(()));
    endpoint.publish(&[&forge::rsa_jwk("b", "RS256")]);
    for minute in 1..60 {
        assert_eq!(verify(&verifier, &token, minute * MINUTE).await, Ok(()));
    }
    assert_eq!(endpoint.asked().len(), 1);
    assert_eq!(verify(&verifier, &token, 60 * MINUTE).await, Ok(()), "confirmed in the background");
    while endpoint.asked().len() < 2 {
        tokio::task::yield_now().await;
    }
    // The fetch is under way or done; a token of the new key waits for it.
    assert_eq!(verify(&verifier, &rsa_token("b", "RS256"), 60 * MINUTE).await, Ok(()));
    assert_eq!(verify(&verifier, &token, 60 * MINUTE + 1).await, Err(RejectReason::UnknownKey));
}

#[tokio::test]
async fn failures_are_tried_twice_and_then_for_a_second_not_again() {
    let endpoint = Endpoint::start().await;
    let verifier = verifier(&endpoint);
    let token = rsa_token("a", "RS256");
    let unavailable = Err(RejectReason::KeysUnavailable);
    endpoint.answer("500 Internal Server Error", &[], b"{}");
    assert_eq!(verify(&verifier, &token, 0).await, unavailable);
    assert_eq!(verify(&verifier, &token, 999).await, unavailable);
    assert_eq!(endpoint.asked().len(), 2);
    endpoint.publish(&[&forge::rsa_jwk("a", "RS256")]);
    assert_eq!(verify(&verifier, &token, 1000).await, Ok(()));
    assert_eq!(endpoint.asked().len(), 3);
}

#[tokio::test]
async fn answers_other_than_a_key_set_with_status_200_are_failures() {
    let set = format!(r#"{{"keys":[{}]}}"#, forge::rsa_jwk("a", "RS256"));
    let elsewhere = Endpoint::start().await;
    elsewhere.publish(&[&forge::rsa_jwk("a", "RS256")]);
    let redirect = format!("location: {}", elsewhere.url("/jwks"));
    let large = format!("{set}{}", " ".repeat(1 << 20));
    for (status, header, body) in [
        ("201 Created", "", set.as_str()),
        ("204 No Content", "", ""),
        ("302 Found", redirect.as_str(), ""),
        ("307 Temporary Redirect", redirect.as_str(), ""),
        ("404 Not Found", "", set.as_str()),
        ("200 OK", "", "<html>"),
        ("200 OK", "", large.as_str()),
    ] {
        let endpoint = Endpoint::start().await;
        let headers: Vec<_> = (!header.is_empty()).then_some(header).into_iter().collect();
        endpoint.answer(status, &headers, body.as_bytes());
        let result = verify(&verifier(&endpoint), &rsa_token("a", "RS256"), 0).await;
        assert_eq!(result, Err(RejectReason::KeysUnavailable), "{status}");
    }
    assert!(elsewhere.asked().is_empty(), "redirects are not followed");
}

#[tokio::test]
async fn a_silent_endpoint_costs_two_attempts_of_a_second() {
    let endpoint = Endpoint::start().await;
    endpoint.stall();
    let verifier = verifier(&endpoint);
    let began = std::time::Instant::now();
    let result = verify(&verifier, &rsa_token("a", "RS256"), 0).await;
    assert_eq!(result, Err(RejectReason::KeysUnavailable));
    assert!(began.elapsed() >= std::time::Duration::from_secs(2));
    assert_eq!(endpoint.asked().len(), 2);
}

#[tokio::test]
async fn a_dropped_token_does_not_stop_the_fetch() {
    let endpoint = Endpoint::start().await;
    endpoint.publish(&[&forge::rsa_jwk("a", "RS256")]);
    let verifier = verifier(&endpoint);
    let token = rsa_token("a", "RS256");
    assert!(verifier.verify_connect(&token, UnixMillis(START)).now_or_never().is_none());
    assert_eq!(verify(&verifier, &token, 0).await, Ok(()));
    assert_eq!(endpoint.asked().len(), 1);
}
