//! Keys and algorithms: rows JW-1, JW-2, JW-15, JW-18 and JW-19 of the compatibility list.

use super::{NOW, SECRET, connect_with, forge, hmac_options, try_verifier};
use crate::auth::{RejectReason, TokenError, VerifierError, VerifierOptions};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RsaKeyPair};

const CLAIMS: &str = r#"{"sub":"42"}"#;

#[track_caller]
fn check(options: &VerifierOptions, token: &str, expected: Result<(), RejectReason>) {
    let result = connect_with(options, token).map(|token| assert_eq!(token.user, "42"));
    assert_eq!(result, expected.map_err(TokenError::Invalid));
}

fn hmac_token(algorithm: &str, secret: &str) -> String {
    let digest = match algorithm {
        "HS256" => hmac::HMAC_SHA256,
        "HS384" => hmac::HMAC_SHA384,
        _ => hmac::HMAC_SHA512,
    };
    forge::token(&forge::header(algorithm), CLAIMS, forge::mac(digest, secret))
}

#[test]
fn hmac_tokens_of_every_size_are_verified() {
    for algorithm in ["HS256", "HS384", "HS512"] {
        check(&hmac_options(), &hmac_token(algorithm, SECRET), Ok(()));
        check(&hmac_options(), &hmac_token(algorithm, "other"), Err(RejectReason::Signature));
    }
}

#[test]
fn rsa_tokens_are_verified_with_a_key_or_certificate() {
    let spki = forge::spki(forge::RSA.public_key());
    for pem in [forge::rsa_pem(), forge::certificate(&spki)] {
        let options = VerifierOptions { rsa_public_key: pem, ..Default::default() };
        for algorithm in ["RS256", "RS384", "RS512"] {
            let token = forge::token(&forge::header(algorithm), CLAIMS, forge::sign_rsa(algorithm));
            check(&options, &token, Ok(()));
        }
        let mismatched = forge::token(&forge::header("RS256"), CLAIMS, forge::sign_rsa("RS512"));
        check(&options, &mismatched, Err(RejectReason::Signature));
    }
}

#[test]
fn ecdsa_tokens_are_verified_on_the_curve_of_the_key_only() {
    for algorithm in ["ES256", "ES384", "ES512"] {
        let pair = forge::ecdsa(algorithm);
        let certificate = forge::certificate(&forge::spki(pair.public_key()));
        for pem in [forge::ecdsa_pem(&pair), certificate] {
            let options = VerifierOptions { ecdsa_public_key: pem, ..Default::default() };
            for named in ["ES256", "ES384", "ES512"] {
                let token = forge::token(&forge::header(named), CLAIMS, forge::sign_ecdsa(&pair));
                let other = super::super::Algorithm::parse(named).unwrap();
                let expected = if named == algorithm { Ok(()) } else { Err(RejectReason::NoKey(other)) };
                check(&options, &token, expected);
            }
        }
    }
}

#[test]
fn an_independent_library_makes_tokens_that_are_verified() {
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    let claims = serde_json::json!({ "sub": "42", "exp": NOW + 60 });
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        check(&hmac_options(), &encode(&Header::new(algorithm), &claims, &key).unwrap(), Ok(()));
    }
    for (name, algorithm) in [("ES256", Algorithm::ES256), ("ES384", Algorithm::ES384)] {
        let pair = forge::ecdsa(name);
        let options = VerifierOptions { ecdsa_public_key: forge::ecdsa_pem(&pair), ..Default::default() };
        let key = EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref());
        check(&options, &encode(&Header::new(algorithm), &claims, &key).unwrap(), Ok(()));
    }
}

#[test]
fn keys_that_are_not_configured_verify_nothing() {
    use crate::auth::Algorithm;
    let none = VerifierOptions::default();
    check(&none, &hmac_token("HS256", ""), Err(RejectReason::NoKey(Algorithm::Hs256)));
    let rsa = forge::token(&forge::header("RS256"), CLAIMS, forge::sign_rsa("RS256"));
    check(&hmac_options(), &rsa, Err(RejectReason::NoKey(Algorithm::Rs256)));
    let eddsa = forge::token(&forge::header("EdDSA"), CLAIMS, |_| vec![0; 64]);
    check(&hmac_options(), &eddsa, Err(RejectReason::NoKey(Algorithm::EdDsa)));
}

#[test]
fn the_previous_secret_counts_until_its_end() {
    let old = "the secret before";
    let token = hmac_token("HS512", old);
    let until = |valid_until| VerifierOptions {
        hmac_previous_secret_key: old.into(),
        hmac_previous_secret_key_valid_until: valid_until,
        ..hmac_options()
    };
    check(&hmac_options(), &token, Err(RejectReason::Signature));
    check(&until(0), &token, Ok(()));
    check(&until(NOW), &token, Ok(()));
    check(&until(NOW - 1), &token, Err(RejectReason::Signature));
    check(&until(NOW - 1), &hmac_token("HS512", SECRET), Ok(()));
    let only_previous = VerifierOptions { hmac_secret_key: String::new(), ..until(0) };
    check(&only_previous, &token, Ok(()));
}

#[test]
fn skipping_signatures_skips_nothing_else() {
    let options =
        VerifierOptions { insecure_skip_signature_verify: true, issuer: "me".into(), ..Default::default() };
    let unsigned = |claims| forge::token(&forge::header("HS256"), claims, |_| Vec::new());
    assert!(connect_with(&options, &unsigned(r#"{"iss":"me"}"#)).is_ok());
    let expired = connect_with(&options, &unsigned(r#"{"iss":"me","exp":1}"#));
    assert_eq!(expired, Err(TokenError::Expired));
    let foreign = connect_with(&options, &unsigned("{}"));
    assert_eq!(foreign, Err(TokenError::Invalid(RejectReason::Issuer)));
}

#[test]
fn weak_and_foreign_keys_are_refused_at_start() {
    let start = |rsa: String, ecdsa: String| {
        let options = VerifierOptions { rsa_public_key: rsa, ecdsa_public_key: ecdsa, ..Default::default() };
        try_verifier(&options).map(drop)
    };
    let none = String::new;
    let pair = forge::ecdsa("ES256");
    assert!(matches!(start(forge::ecdsa_pem(&pair), none()), Err(VerifierError::KeyKind { .. })));
    assert!(matches!(start(none(), forge::rsa_pem()), Err(VerifierError::KeyKind { .. })));
    assert!(matches!(start("no key".into(), none()), Err(VerifierError::Pem { .. })));
    let garbage = forge::pem("PUBLIC KEY", b"garbage");
    assert!(matches!(start(garbage, none()), Err(VerifierError::Pem { .. })));
    let secp256k1 = [
        0x30, 0x56, 0x30, 0x10, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 0x0a, 3,
        0x42, 0, 4,
    ];
    let foreign_curve = forge::pem("PUBLIC KEY", &[&secp256k1[..], &[1; 64]].concat());
    assert!(matches!(start(none(), foreign_curve), Err(VerifierError::KeyKind { .. })));
    assert!(start(forge::rsa_pem(), forge::ecdsa_pem(&pair)).is_ok());
    let short = short_rsa_pem();
    assert!(matches!(start(short, none()), Err(VerifierError::RsaSize { bits: 1024, .. })));
    let long = RsaKeyPair::generate(KeySize::Rsa3072).unwrap();
    assert!(start(forge::pem("PUBLIC KEY", &forge::spki(long.public_key())), none()).is_ok());
}

/// A public key with a modulus of 1024 bits, cut out of the DER of a longer one.
fn short_rsa_pem() -> String {
    let integer = [&[2, 0x81, 129, 0][..], &[0xff; 128]].concat();
    let exponent = [2, 3, 1, 0, 1];
    let key = [&[0x30, 0x81, (integer.len() + exponent.len()) as u8][..], &integer, &exponent].concat();
    let bits = [&[3, 0x81, (key.len() + 1) as u8, 0][..], &key].concat();
    let algorithm = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let info = [&[0x30, 0x81, (algorithm.len() + bits.len()) as u8][..], &algorithm, &bits].concat();
    forge::pem("PUBLIC KEY", &info)
}
