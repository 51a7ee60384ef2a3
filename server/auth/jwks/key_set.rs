//! Reading a JSON Web Key Set.

use super::super::algorithm::Algorithm;
use super::super::keys::PublicKey;
use super::cache::PublishedKey;
use super::fetch::FetchError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// The members of a key that matter, all optional because sets mix keys of many kinds.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    r#use: String,
    #[serde(default)]
    kid: String,
    #[serde(default)]
    alg: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
}

/// Reads the keys that sign tokens: `use` is `sig`, and the kind is RSA, an elliptic curve or Ed25519.
/// Keys of other kinds and damaged ones are passed over, so that one of them does not hide the rest.
///
/// # Errors
/// `Format` if the text is no key set.
///
/// Source: RFC 7517 section 5.
pub(super) fn parse(body: &[u8]) -> Result<Vec<PublishedKey>, FetchError> {
    let set: KeySet = serde_json::from_slice(body).map_err(|_| FetchError::Format)?;
    Ok(set.keys.into_iter().filter_map(published_key).collect())
}

fn published_key(value: Value) -> Option<PublishedKey> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if jwk.r#use != "sig" {
        return None;
    }
    let algorithms = algorithms(&jwk)?;
    let key = match jwk.kty.as_str() {
        "RSA" => PublicKey::rsa_from_components(&algorithms, &decode(&jwk.n)?, &decode(&jwk.e)?),
        "EC" => PublicKey::from_bytes(&algorithms, &uncompressed_point(&jwk, algorithms.first()?)?),
        _ => PublicKey::from_bytes(&algorithms, &decode(&jwk.x)?),
    }?;
    Some(PublishedKey { id: jwk.kid, key, algorithms })
}

/// What the key is for: its `alg`, which must fit its kind, or everything its kind can do.
fn algorithms(jwk: &Jwk) -> Option<Vec<Algorithm>> {
    let possible = match (jwk.kty.as_str(), jwk.crv.as_str()) {
        ("RSA", _) => Algorithm::RSA.to_vec(),
        ("EC", "P-256") => vec![Algorithm::Es256],
        ("EC", "P-384") => vec![Algorithm::Es384],
        ("EC", "P-521") => vec![Algorithm::Es512],
        // The name of RFC 9864 means the same.
        ("OKP", "Ed25519") if jwk.alg == "Ed25519" => return Some(vec![Algorithm::EdDsa]),
        ("OKP", "Ed25519") => vec![Algorithm::EdDsa],
        _ => return None,
    };
    if jwk.alg.is_empty() {
        return Some(possible);
    }
    Algorithm::parse(&jwk.alg).filter(|named| possible.contains(named)).map(|named| vec![named])
}

fn uncompressed_point(jwk: &Jwk, algorithm: &Algorithm) -> Option<Vec<u8>> {
    const UNCOMPRESSED: u8 = 4;
    let size: usize = match algorithm {
        Algorithm::Es256 => 32,
        Algorithm::Es384 => 48,
        _ => 66,
    };
    let mut point = vec![UNCOMPRESSED];
    for coordinate in [&jwk.x, &jwk.y] {
        let coordinate = decode(coordinate)?;
        // Some providers leave leading zeros out, against RFC 7518 section 6.2.1.2.
        point.resize(point.len() + size.checked_sub(coordinate.len())?, 0);
        point.extend(coordinate);
    }
    Some(point)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok().filter(|bytes| !bytes.is_empty())
}
