//! Key material of a run and the tokens signed with it.
//!
//! Keys are generated once per process; nothing secret is stored in the repository.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

/// Secret of the base configuration's `client.token.hmac_secret_key`.
pub const HMAC_SECRET: &str = "wire-hmac-secret";

/// Every key pair a scenario can name.
pub struct Keys {
    rsa: RsaKeyPair,
    rsa_other: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    p521: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

pub static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let ecdsa = |algorithm| EcdsaKeyPair::generate(algorithm).expect("generate an ECDSA key");
    let rsa = || RsaKeyPair::generate(KeySize::Rsa2048).expect("generate an RSA key");
    Keys {
        rsa: rsa(),
        rsa_other: rsa(),
        p256: ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
        p384: ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
        p521: ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING),
        ed25519: Ed25519KeyPair::generate().expect("generate an Ed25519 key"),
    }
});

impl Keys {
    /// The public half of a named key as PEM, as a configuration file holds it.
    pub fn public_pem(&self, name: &str) -> Option<String> {
        let pair: &dyn AsDer<PublicKeyX509Der<'static>> = match name {
            "rsa" => self.rsa.public_key(),
            "rsa_other" => self.rsa_other.public_key(),
            "p256" => self.p256.public_key(),
            "p384" => self.p384.public_key(),
            "p521" => self.p521.public_key(),
            "ed25519" => self.ed25519.public_key(),
            _ => return None,
        };
        let der = pair.as_der().ok()?;
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        Some(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n")))
    }

    /// The public half of a named key as a JSON Web Key without `kid`, `use` and `alg`.
    pub fn public_jwk(&self, name: &str) -> Option<Map<String, Value>> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let value = match name {
            "rsa" | "rsa_other" => {
                let pair = if name == "rsa" { &self.rsa } else { &self.rsa_other };
                let public = pair.public_key();
                json!({
                    "kty": "RSA",
                    "n": encode(public.modulus().big_endian_without_leading_zero()),
                    "e": encode(public.exponent().big_endian_without_leading_zero()),
                })
            }
            "p256" => elliptic("P-256", self.p256.public_key().as_ref()),
            "p384" => elliptic("P-384", self.p384.public_key().as_ref()),
            "p521" => elliptic("P-521", self.p521.public_key().as_ref()),
            "ed25519" => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(self.ed25519.public_key().as_ref())})
            }
            _ => return None,
        };
        value.as_object().cloned()
    }

    fn sign(&self, algorithm: &str, key: &str, message: &[u8]) -> Result<Vec<u8>, String> {
        let random = SystemRandom::new();
        let rsa = |padding: &'static dyn signature::RsaEncoding| {
            let pair = match key {
                "rsa" => &self.rsa,
                "rsa_other" => &self.rsa_other,
                other => return Err(format!("{other} is no RSA key")),
            };
            let mut output = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &random, message, &mut output).map_err(|e| e.to_string())?;
            Ok(output)
        };
        let secret = |hmac_algorithm| {
            let secret = match key {
                "hmac" => HMAC_SECRET,
                other => other.strip_prefix("text:").ok_or_else(|| format!("{other} is no HMAC key"))?,
            };
            let key = hmac::Key::new(hmac_algorithm, secret.as_bytes());
            Ok(hmac::sign(&key, message).as_ref().to_vec())
        };
        match algorithm {
            "HS256" => secret(hmac::HMAC_SHA256),
            "HS384" => secret(hmac::HMAC_SHA384),
            "HS512" => secret(hmac::HMAC_SHA512),
            "RS256" => rsa(&signature::RSA_PKCS1_SHA256),
            "RS384" => rsa(&signature::RSA_PKCS1_SHA384),
            "RS512" => rsa(&signature::RSA_PKCS1_SHA512),
            "ES256" | "ES384" | "ES512" => {
                let pair = match key {
                    "p256" => &self.p256,
                    "p384" => &self.p384,
                    "p521" => &self.p521,
                    other => return Err(format!("{other} is no ECDSA key")),
                };
                let signature = pair.sign(&random, message).map_err(|e| e.to_string())?;
                Ok(signature.as_ref().to_vec())
            }
            "EdDSA" => Ok(self.ed25519.sign(message).as_ref().to_vec()),
            _ => Ok(Vec::new()),
        }
    }
}

fn elliptic(curve: &str, point: &[u8]) -> Value {
    let half = (point.len() - 1) / 2;
    let (x, y) = point[1..].split_at(half);
    json!({"kty": "EC", "crv": curve, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
}

/// Mints a token from its claims.
///
/// Members whose name starts with `$` steer the signing: `$alg` (default `HS256`), `$key` (default `hmac`; `text:…`
/// is a literal HMAC secret), `$header` (merged into the header), `$header_text` and `$claims_text` (replace the JSON
/// text), `$signature` (`empty`, `zeros` or `flipped`), `$sign_as` (algorithm of the signature when it differs from
/// the header's).
pub fn mint(spec: &Map<String, Value>) -> Result<String, String> {
    let text = |name: &str| spec.get(name).and_then(Value::as_str);
    let algorithm = text("$alg").unwrap_or("HS256");
    let key = text("$key").unwrap_or("hmac");
    let mut header = json!({"alg": algorithm, "typ": "JWT"});
    for (name, value) in spec.get("$header").and_then(Value::as_object).into_iter().flatten() {
        header[name.as_str()] = value.clone();
    }
    let claims: Map<String, Value> =
        spec.iter().filter(|(name, _)| !name.starts_with('$')).map(|(n, v)| (n.clone(), v.clone())).collect();
    let header = text("$header_text").map_or_else(|| header.to_string(), str::to_owned);
    let claims = text("$claims_text").map_or_else(|| Value::Object(claims).to_string(), str::to_owned);
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut signature = KEYS.sign(text("$sign_as").unwrap_or(algorithm), key, message.as_bytes())?;
    match text("$signature") {
        Some("empty") => signature.clear(),
        Some("zeros") => signature.fill(0),
        Some("flipped") => signature[0] ^= 1,
        Some(other) => return Err(format!("unknown signature treatment {other:?}")),
        None => {}
    }
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Random bytes for masks, identifiers and handshake keys.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system provides randomness");
    bytes
}
