//! Keys that verify signatures: from the configuration here, from an endpoint in `jwks`.

use super::algorithm::Algorithm;
use super::error::{RejectReason, VerifierError};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ParsedPublicKey, RsaPublicKeyComponents};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use smallvec::SmallVec;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as X509PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Moduli that are accepted: shorter ones can be factored, longer ones are too slow to be safe here.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A shared secret, ready for each HMAC algorithm.
pub(super) struct HmacSecret {
    sha256: hmac::Key,
    sha384: hmac::Key,
    sha512: hmac::Key,
}

impl HmacSecret {
    /// Prepares a secret; an empty one means that there is none.
    pub fn new(secret: &str) -> Option<Self> {
        let key = |algorithm| hmac::Key::new(algorithm, secret.as_bytes());
        (!secret.is_empty()).then(|| Self {
            sha256: key(hmac::HMAC_SHA256),
            sha384: key(hmac::HMAC_SHA384),
            sha512: key(hmac::HMAC_SHA512),
        })
    }

    /// Verifies in constant time. Only HMAC algorithms have a key here, so a public key of the
    /// configuration can never be taken for a secret.
    fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> Result<(), RejectReason> {
        let key = match algorithm {
            Algorithm::Hs256 => &self.sha256,
            Algorithm::Hs384 => &self.sha384,
            Algorithm::Hs512 => &self.sha512,
            _ => return Err(RejectReason::NoKey(algorithm)),
        };
        hmac::verify(key, signed, signature).map_err(|_| RejectReason::Signature)
    }
}

/// A public key, bound to the algorithms it may be used with.
pub(super) struct PublicKey {
    bound: SmallVec<[(Algorithm, ParsedPublicKey); 1]>,
}

impl PublicKey {
    /// Verifies a signature, if this key is for `algorithm` at all.
    pub fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> Result<(), RejectReason> {
        let (_, key) =
            self.bound.iter().find(|(bound, _)| *bound == algorithm).ok_or(RejectReason::NoKey(algorithm))?;
        key.verify_sig(signed, signature).map_err(|_| RejectReason::Signature)
    }

    /// Reads the RSA key of a PEM text, for all RSA algorithms.
    pub fn rsa_from_pem(key: &'static str, pem: &str) -> Result<Self, VerifierError> {
        let wrong_kind = VerifierError::KeyKind { key, expected: "an RSA" };
        let der = subject_public_key(key, pem)?;
        let info = parse_info(key, &der)?;
        let Ok(X509PublicKey::RSA(rsa)) = info.parsed() else { return Err(wrong_kind) };
        if !RSA_BITS.contains(&rsa.key_size()) {
            return Err(VerifierError::RsaSize { key, bits: rsa.key_size() });
        }
        Self::from_bytes(&Algorithm::RSA, &der).ok_or(wrong_kind)
    }

    /// Reads the elliptic curve key of a PEM text, for the one algorithm of its curve.
    pub fn ecdsa_from_pem(key: &'static str, pem: &str) -> Result<Self, VerifierError> {
        let wrong_kind = VerifierError::KeyKind { key, expected: "a P-256, P-384 or P-521" };
        let der = subject_public_key(key, pem)?;
        let info = parse_info(key, &der)?;
        let Ok(X509PublicKey::EC(point)) = info.parsed() else { return Err(wrong_kind) };
        let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
        let algorithm = match curve.map(|oid| oid.to_id_string()).as_deref() {
            Some("1.2.840.10045.3.1.7") => Algorithm::Es256,
            Some("1.3.132.0.34") => Algorithm::Es384,
            Some("1.3.132.0.35") => Algorithm::Es512,
            _ => return Err(wrong_kind),
        };
        Self::from_bytes(&[algorithm], point.data()).ok_or(wrong_kind)
    }

    /// Takes an RSA key as modulus and exponent, big-endian.
    pub fn rsa_from_components(algorithms: &[Algorithm], modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let components =
            RsaPublicKeyComponents { n: without_leading_zeros(modulus), e: without_leading_zeros(exponent) };
        let first = components.n.first()?;
        if !RSA_BITS.contains(&(components.n.len() * 8 - first.leading_zeros() as usize)) {
            return None;
        }
        let bind = |algorithm: &Algorithm| {
            components.to_parsed_public_key(algorithm.rsa_parameters()?).ok().map(|key| (*algorithm, key))
        };
        Some(Self { bound: algorithms.iter().map(bind).collect::<Option<_>>()? })
    }

    /// Takes a key in the encoding its algorithms expect: DER for RSA, an uncompressed point for curves,
    /// 32 bytes for Ed25519. Points that are not on their curve are refused.
    pub fn from_bytes(algorithms: &[Algorithm], bytes: &[u8]) -> Option<Self> {
        let bind = |algorithm: &Algorithm| {
            ParsedPublicKey::new(algorithm.public_key_algorithm()?, bytes).ok().map(|key| (*algorithm, key))
        };
        Some(Self { bound: algorithms.iter().map(bind).collect::<Option<_>>()? })
    }
}

/// The keys written in the configuration.
pub(super) struct FixedKeys {
    pub secret: Option<HmacSecret>,
    pub previous_secret: Option<HmacSecret>,
    /// Last second at which the previous secret counts; zero for no end.
    pub previous_valid_until: i64,
    pub rsa: Option<PublicKey>,
    pub ecdsa: Option<PublicKey>,
}

impl FixedKeys {
    /// Verifies a signature with the key of the algorithm's family; `now` in seconds since 1970.
    pub fn verify(
        &self,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
        now: i64,
    ) -> Result<(), RejectReason> {
        let no_key = RejectReason::NoKey(algorithm);
        match algorithm {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
                let current = match &self.secret {
                    Some(secret) => secret.verify(algorithm, signed, signature),
                    None => Err(no_key),
                };
                let expired = self.previous_valid_until > 0 && now > self.previous_valid_until;
                match (current, &self.previous_secret) {
                    (Err(_), Some(previous)) if !expired => {
                        previous.verify(algorithm, signed, signature).or(current)
                    }
                    _ => current,
                }
            }
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => {
                self.rsa.as_ref().ok_or(no_key)?.verify(algorithm, signed, signature)
            }
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => {
                self.ecdsa.as_ref().ok_or(no_key)?.verify(algorithm, signed, signature)
            }
            Algorithm::EdDsa => Err(no_key),
        }
    }
}

/// Finds the public key of a PEM text, which may be a certificate.
fn subject_public_key(key: &'static str, pem: &str) -> Result<Vec<u8>, VerifierError> {
    if let Ok(info) = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()) {
        return Ok(info.as_ref().to_vec());
    }
    let certificate =
        CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| VerifierError::Pem { key })?;
    let (_, certificate) =
        x509_parser::parse_x509_certificate(&certificate).map_err(|_| VerifierError::Pem { key })?;
    Ok(certificate.public_key().raw.to_vec())
}

fn parse_info<'d>(key: &'static str, der: &'d [u8]) -> Result<SubjectPublicKeyInfo<'d>, VerifierError> {
    SubjectPublicKeyInfo::from_der(der).map(|(_, info)| info).map_err(|_| VerifierError::Pem { key })
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    &bytes[start..]
}
