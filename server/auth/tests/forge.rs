//! Makes tokens and keys, good and bad.

use super::SECRET;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::sync::LazyLock;

/// One RSA key for all tests, because making one takes long.
pub static RSA: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Joins header and claims and signs them.
pub fn token(header: &str, claims: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", b64(header), b64(claims));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", b64(signature))
}

pub fn header(algorithm: &str) -> String {
    format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#)
}

pub fn mac(algorithm: hmac::Algorithm, secret: impl AsRef<[u8]>) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(algorithm, secret.as_ref());
    move |signed| hmac::sign(&key, signed).as_ref().to_vec()
}

/// A token of the usual kind.
pub fn hs256(claims: &str) -> String {
    token(&header("HS256"), claims, mac(hmac::HMAC_SHA256, SECRET))
}

/// A token with another header, signed as the usual kind.
pub fn hs256_with_header(header: &str, claims: &str) -> String {
    token(header, claims, mac(hmac::HMAC_SHA256, SECRET))
}

pub fn sign_rsa(algorithm: &str) -> impl Fn(&[u8]) -> Vec<u8> {
    let padding = match algorithm {
        "RS256" => &RSA_PKCS1_SHA256,
        "RS384" => &RSA_PKCS1_SHA384,
        _ => &RSA_PKCS1_SHA512,
    };
    move |signed| {
        let mut signature = vec![0; RSA.public_modulus_len()];
        RSA.sign(padding, &SystemRandom::new(), signed, &mut signature).unwrap();
        signature
    }
}

pub fn curve(algorithm: &str) -> &'static EcdsaSigningAlgorithm {
    match algorithm {
        "ES256" => &ECDSA_P256_SHA256_FIXED_SIGNING,
        "ES384" => &ECDSA_P384_SHA384_FIXED_SIGNING,
        _ => &ECDSA_P521_SHA512_FIXED_SIGNING,
    }
}

pub fn ecdsa(algorithm: &str) -> EcdsaKeyPair {
    EcdsaKeyPair::generate(curve(algorithm)).unwrap()
}

pub fn sign_ecdsa(pair: &EcdsaKeyPair) -> impl Fn(&[u8]) -> Vec<u8> {
    |signed| pair.sign(&SystemRandom::new(), signed).unwrap().as_ref().to_vec()
}

pub fn spki(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Vec<u8> {
    key.as_der().unwrap().as_ref().to_vec()
}

pub fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

pub fn rsa_pem() -> String {
    pem("PUBLIC KEY", &spki(RSA.public_key()))
}

pub fn ecdsa_pem(pair: &EcdsaKeyPair) -> String {
    pem("PUBLIC KEY", &spki(pair.public_key()))
}

/// Wraps a public key in the least certificate that parses; its signature is empty.
pub fn certificate(spki: &[u8]) -> String {
    const SHA256_WITH_RSA: &[u8] = &[0x30, 11, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
    let der = |tag: u8, content: &[u8]| {
        let length = content.len() as u16;
        [&[tag, 0x82][..], &length.to_be_bytes(), content].concat()
    };
    let moment = der(0x17, b"300101000000Z");
    let to_be_signed = der(
        0x30,
        &[
            &der(2, &[1]),
            SHA256_WITH_RSA,
            &der(0x30, &[]),
            &der(0x30, &[&moment[..], &moment].concat()),
            &der(0x30, &[]),
            spki,
        ]
        .concat(),
    );
    let certificate = der(0x30, &[&to_be_signed, SHA256_WITH_RSA, &der(3, &[0])].concat());
    pem("CERTIFICATE", &certificate)
}

/// The JSON Web Key of an elliptic curve key.
pub fn ecdsa_jwk(kid: &str, algorithm: &str, pair: &EcdsaKeyPair) -> String {
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let curve = match algorithm {
        "ES256" => "P-256",
        "ES384" => "P-384",
        _ => "P-521",
    };
    format!(
        r#"{{"kty":"EC","use":"sig","kid":"{kid}","alg":"{algorithm}","crv":"{curve}","x":"{}","y":"{}"}}"#,
        b64(x),
        b64(y)
    )
}

/// The JSON Web Key of [`RSA`]; `algorithm` may be empty.
pub fn rsa_jwk(kid: &str, algorithm: &str) -> String {
    let key = RSA.public_key();
    let (n, e) = (
        b64(key.modulus().big_endian_without_leading_zero()),
        b64(key.exponent().big_endian_without_leading_zero()),
    );
    let algorithm = if algorithm.is_empty() { String::new() } else { format!(r#""alg":"{algorithm}","#) };
    format!(r#"{{"kty":"RSA","use":"sig",{algorithm}"kid":"{kid}","n":"{n}","e":"{e}"}}"#)
}

/// The JSON Web Key of an Ed25519 key.
pub fn ed25519_jwk(kid: &str, pair: &Ed25519KeyPair) -> String {
    let x = b64(pair.public_key().as_ref());
    format!(r#"{{"kty":"OKP","use":"sig","kid":"{kid}","crv":"Ed25519","x":"{x}"}}"#)
}
