//! Keys that let a backend call the server API.

use std::fmt;
use subtle::{Choice, ConstantTimeEq};

/// The configured key; an empty one opens nothing.
#[derive(Clone)]
pub struct ApiKey(Box<[u8]>);

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKey(..)")
    }
}

/// Where a request may carry its key.
#[derive(Clone, Copy, Default)]
pub struct ApiKeyPlaces<'r> {
    /// Value of `X-API-Key`.
    pub x_api_key: Option<&'r [u8]>,
    /// Value of `Authorization`.
    pub authorization: Option<&'r [u8]>,
    /// Raw query of the request, without the question mark.
    pub query: Option<&'r str>,
}

impl ApiKey {
    /// Takes the key as configured.
    pub fn new(key: &str) -> Self {
        Self(key.as_bytes().into())
    }

    /// Judges an HTTP request: `X-API-Key` if it is not empty, otherwise `Authorization: apikey <key>`;
    /// where neither fits, `?api_key=<key>` may still open. Takes the same time wherever keys differ.
    ///
    /// Source: API-4 of the compatibility list.
    pub fn opens_http(&self, places: ApiKeyPlaces<'_>) -> bool {
        let header = match places.x_api_key {
            Some(key) if !key.is_empty() => Some(key),
            _ => places.authorization.and_then(scheme_apikey),
        };
        let by_header = header.is_some_and(|key| self.equals(key));
        by_header || places.query.and_then(query_key).is_some_and(|key| self.equals(key.as_bytes()))
    }

    /// Judges the `authorization` metadata of a gRPC call, which must be exactly `apikey <key>`.
    ///
    /// Source: GRP-2 of the compatibility list. A call is open when no key is configured; that is for the
    /// caller to decide.
    pub fn opens_grpc(&self, authorization: Option<&[u8]>) -> bool {
        authorization.and_then(|value| value.strip_prefix(b"apikey ")).is_some_and(|key| self.equals(key))
    }

    /// Tells whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn equals(&self, given: &[u8]) -> bool {
        let configured = Choice::from(u8::from(!self.0.is_empty()));
        (configured & self.0.ct_eq(given)).into()
    }
}

/// The second of exactly two words whose first is `apikey` in any case.
fn scheme_apikey(value: &[u8]) -> Option<&[u8]> {
    let mut words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    match (words.next(), words.next(), words.next()) {
        (Some(scheme), Some(key), None) if scheme.eq_ignore_ascii_case(b"apikey") => Some(key),
        _ => None,
    }
}

/// The first `api_key` of a query, decoded.
fn query_key(query: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (form_decode(name)? == "api_key").then(|| form_decode(value)).flatten()
    })
}

/// Decodes `application/x-www-form-urlencoded` text; nothing if it is malformed.
fn form_decode(text: &str) -> Option<String> {
    if text.contains(';') {
        return None;
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
                (digit()? * 16 + digit()?) as u8
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(x_api_key: Option<&str>, authorization: Option<&str>, query: Option<&str>) -> bool {
        ApiKey::new("se cret+").opens_http(ApiKeyPlaces {
            x_api_key: x_api_key.map(str::as_bytes),
            authorization: authorization.map(str::as_bytes),
            query,
        }) || ApiKey::new("k").opens_http(ApiKeyPlaces {
            x_api_key: x_api_key.map(str::as_bytes),
            authorization: authorization.map(str::as_bytes),
            query,
        })
    }

    #[test]
    fn http_places_are_tried_in_order() {
        for (x_api_key, authorization, query, expected) in [
            (None, None, None, false),
            (Some("k"), None, None, true),
            (Some("K"), None, None, false),
            (Some("kk"), None, None, false),
            (None, Some("apikey k"), None, true),
            (None, Some("ApiKey \t k "), None, true),
            (None, Some("apikey"), None, false),
            (None, Some("apikey k k"), None, false),
            (None, Some("bearer k"), None, false),
            (Some(""), Some("apikey k"), None, true),
            (Some("wrong"), Some("apikey k"), None, false),
            (Some("wrong"), None, Some("api_key=k"), true),
            (None, Some("apikey wrong"), Some("a=b&api_key=k&c"), true),
            (None, None, Some("api_key=wrong&api_key=k"), false),
            (None, None, Some("API_KEY=k"), false),
            (None, None, Some("api%5Fkey=se+cret%2B"), true),
            (None, None, Some("api_key=%zz"), false),
            (None, None, Some("api_key"), false),
        ] {
            assert_eq!(
                http(x_api_key, authorization, query),
                expected,
                "{x_api_key:?} {authorization:?} {query:?}"
            );
        }
    }

    #[test]
    fn an_empty_key_opens_nothing() {
        let key = ApiKey::new("");
        assert!(!key.opens_http(ApiKeyPlaces { x_api_key: Some(b""), ..Default::default() }));
        assert!(!key.opens_http(ApiKeyPlaces { query: Some("api_key="), ..Default::default() }));
        assert!(!key.opens_grpc(Some(b"apikey ")));
        assert!(key.is_empty());
    }

    #[test]
    fn grpc_metadata_must_be_exact() {
        let key = ApiKey::new("k");
        assert!(key.opens_grpc(Some(b"apikey k")));
        for wrong in
            [None, Some("Apikey k"), Some("apikey  k"), Some("k"), Some("apikey k "), Some("apikey K")]
        {
            assert!(!key.opens_grpc(wrong.map(str::as_bytes)), "{wrong:?}");
        }
    }

    #[test]
    fn debug_output_hides_the_key() {
        assert!(!format!("{:?}", ApiKey::new("s3cret")).contains("s3cret"));
    }
}
