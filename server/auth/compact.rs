//! Taking a token apart, before anything in it is believed.

use super::error::RejectReason;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Longest token that is looked at. Twice what a message may hold by default, so that a raised message
/// limit leaves room for tokens with many channels; all of it is parsed before the signature is known.
pub(super) const MAX_TOKEN_BYTES: usize = 128 * 1024;

/// Deepest nesting of arrays and objects in the claims.
const MAX_NESTING: usize = 128;

/// Every header starts with `{"`, which base64 always turns into this.
const HEADER_START: &str = "eyJ";

/// The three parts of a token.
pub(super) struct Compact<'t> {
    /// `alg` of the header.
    pub algorithm: String,
    /// `kid` of the header, empty when absent.
    pub key_id: String,
    /// Claims as JSON text.
    pub claims: Vec<u8>,
    /// The bytes that are signed: header and claims as they were sent.
    pub signed: &'t [u8],
    /// Signature.
    pub signature: Vec<u8>,
}

/// The members of a header that matter; others are ignored, so keys or addresses in it have no effect.
#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    cty: Option<String>,
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

impl<'t> Compact<'t> {
    /// Splits and decodes a token without judging its signature.
    ///
    /// # Errors
    /// The reason why this is no token; nothing of it can be used then.
    ///
    /// Source: RFC 7515 section 7.1. Stricter than upstream: repeated header members, critical extensions
    /// and base64 with stray bits are refused.
    pub fn parse(token: &'t str) -> Result<Self, RejectReason> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(RejectReason::TooLong);
        }
        if !token.starts_with(HEADER_START) {
            return Err(RejectReason::Format);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(RejectReason::Format)?;
        let (header, claims) = signed.split_once('.').ok_or(RejectReason::Format)?;
        let header = decode(header)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| RejectReason::Header)?;
        if header.crit.is_some() {
            return Err(RejectReason::CriticalHeader);
        }
        let _ = (header.typ, header.cty);
        let claims = decode(claims)?;
        if !nests_within(&claims, MAX_NESTING) {
            return Err(RejectReason::Nesting);
        }
        Ok(Self {
            algorithm: header.alg.unwrap_or_default(),
            key_id: header.kid.unwrap_or_default(),
            claims,
            signed: signed.as_bytes(),
            signature: decode(signature)?,
        })
    }
}

/// Shows the algorithm and the claims of a token without verifying it, for command line tools only.
///
/// # Errors
/// The reason why this is no token.
pub fn inspect(token: &str) -> Result<(String, String), RejectReason> {
    let compact = Compact::parse(token)?;
    let claims = String::from_utf8(compact.claims).map_err(|_| RejectReason::Claims)?;
    Ok((compact.algorithm, claims))
}

fn decode(part: &str) -> Result<Vec<u8>, RejectReason> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| RejectReason::Format)
}

/// Counts brackets outside of strings; whether the text is JSON at all is not its concern.
fn nests_within(json: &[u8], limit: usize) -> bool {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_string => {
                bytes.next();
            }
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > limit {
                    return false;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_counts_brackets_outside_of_strings() {
        assert!(nests_within(br#"{"a":[[1]]}"#, 3));
        assert!(!nests_within(br#"{"a":[[1]]}"#, 2));
        assert!(nests_within(br#"{"a":"[[[[","b":"\"[["}"#, 1));
        assert!(!nests_within("[".repeat(10_000).as_bytes(), MAX_NESTING));
    }
}
