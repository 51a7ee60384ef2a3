//! What tokens say, typed as the protocol wants it.

use super::error::RejectReason;
use crate::channel::OptionOverrides;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::value::{CowStrDeserializer, MapAccessDeserializer};
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// Reads claims. Names count without regard to case, as upstream reads them, and may not be repeated.
///
/// # Errors
/// `Claims` if the text is no object or a claim has the wrong type.
pub(super) fn parse<'c, C: Deserialize<'c>>(claims: &'c [u8]) -> Result<C, RejectReason> {
    let mut deserializer = serde_json::Deserializer::from_slice(claims);
    let parsed =
        deserializer.deserialize_map(ClaimsVisitor(PhantomData)).map_err(|_| RejectReason::Claims)?;
    deserializer.end().map_err(|_| RejectReason::Claims)?;
    Ok(parsed)
}

struct ClaimsVisitor<C>(PhantomData<C>);

impl<'de, C: Deserialize<'de>> Visitor<'de> for ClaimsVisitor<C> {
    type Value = C;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<C, A::Error> {
        C::deserialize(MapAccessDeserializer::new(LowerCaseKeys(map)))
    }
}

/// Hands out the keys of an object in lower case.
struct LowerCaseKeys<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for LowerCaseKeys<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(Key(mut key)) = self.0.next_key()? else { return Ok(None) };
        if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
            key.to_mut().make_ascii_lowercase();
        }
        seed.deserialize(CowStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

/// Claims of a connection token.
#[derive(Deserialize)]
pub(super) struct ConnectClaims<'c> {
    pub iss: Option<String>,
    pub sub: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub aud: Option<Audience>,
    pub exp: Option<NumericDate>,
    pub nbf: Option<NumericDate>,
    #[serde(rename = "iat")]
    _iat: Option<NumericDate>,
    #[serde(rename = "jti")]
    _jti: Option<String>,
    pub expire_at: Option<i64>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub info: Option<&'c RawValue>,
    pub b64info: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub meta: Option<&'c RawValue>,
    pub channels: Option<Vec<String>>,
    #[serde(borrow)]
    pub subs: Option<BTreeMap<String, Option<SubscriptionClaims<'c>>>>,
    /// Present only in subscription tokens.
    pub channel: Option<String>,
}

/// Claims of a subscription token.
#[derive(Deserialize)]
pub(super) struct SubscribeClaims<'c> {
    pub iss: Option<String>,
    pub sub: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub aud: Option<Audience>,
    pub exp: Option<NumericDate>,
    pub nbf: Option<NumericDate>,
    #[serde(rename = "iat")]
    _iat: Option<NumericDate>,
    #[serde(rename = "jti")]
    _jti: Option<String>,
    pub channel: Option<String>,
    pub client: Option<String>,
    pub expire_at: Option<i64>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub info: Option<&'c RawValue>,
    pub b64info: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub data: Option<&'c RawValue>,
    pub b64data: Option<String>,
    #[serde(rename = "override")]
    pub overrides: Option<OverrideClaims>,
}

/// One entry of `subs`.
#[derive(Deserialize)]
pub(super) struct SubscriptionClaims<'c> {
    #[serde(borrow, default, deserialize_with = "present")]
    pub info: Option<&'c RawValue>,
    pub b64info: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub data: Option<&'c RawValue>,
    pub b64data: Option<String>,
    #[serde(rename = "override")]
    pub overrides: Option<OverrideClaims>,
}

/// `override`: options of the namespace that this token replaces.
#[derive(Clone, Copy, Default, Deserialize)]
pub(super) struct OverrideClaims {
    presence: Option<BoolValue>,
    join_leave: Option<BoolValue>,
    force_push_join_leave: Option<BoolValue>,
    force_recovery: Option<BoolValue>,
    force_positioning: Option<BoolValue>,
}

/// A boolean that can be told apart from an absent one; `{}` is false.
#[derive(Clone, Copy, Deserialize)]
struct BoolValue {
    value: Option<bool>,
}

impl From<OverrideClaims> for OptionOverrides {
    fn from(claims: OverrideClaims) -> Self {
        let given = |value: Option<BoolValue>| value.map(|value| value.value.unwrap_or_default());
        Self {
            presence: given(claims.presence),
            join_leave: given(claims.join_leave),
            force_push_join_leave: given(claims.force_push_join_leave),
            force_recovery: given(claims.force_recovery),
            force_positioning: given(claims.force_positioning),
        }
    }
}

/// `aud`: one text or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    pub fn values(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

/// Seconds since 1970, possibly with a fraction; a number, or a text that holds one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct NumericDate(f64);

impl NumericDate {
    /// About what a calendar with 64 bits for seconds reaches.
    const LIMIT: f64 = 9.2e18;

    /// Whole seconds, rounded towards the past.
    pub fn seconds(self) -> i64 {
        self.0.floor() as i64
    }

    /// Milliseconds, comparable with the time of day.
    pub fn millis(self) -> f64 {
        self.0 * 1000.0
    }

    fn checked<E: de::Error>(seconds: f64) -> Result<Self, E> {
        if seconds.abs() <= Self::LIMIT { Ok(Self(seconds)) } else { Err(E::custom("date out of range")) }
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DateVisitor;

        impl Visitor<'_> for DateVisitor {
            type Value = NumericDate;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("seconds since 1970")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<NumericDate, E> {
                NumericDate::checked(value as f64)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<NumericDate, E> {
                NumericDate::checked(value as f64)
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<NumericDate, E> {
                NumericDate::checked(value)
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<NumericDate, E> {
                let padded = value.starts_with(char::is_whitespace) || value.ends_with(char::is_whitespace);
                match serde_json::from_str::<f64>(value) {
                    Ok(number) if !padded => NumericDate::checked(number),
                    _ => Err(E::custom("text is no number")),
                }
            }
        }

        deserializer.deserialize_any(DateVisitor)
    }
}

/// Keeps `null` apart from an absent claim: as a payload it is passed on like any other JSON, elsewhere refused.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Picks the payload of a claim pair: base64 when it is there and not empty, otherwise the JSON as written.
///
/// # Errors
/// `Base64` if the text is not padded base64 of the standard alphabet.
pub(super) fn payload(json: Option<&RawValue>, base64: Option<&str>) -> Result<Bytes, RejectReason> {
    match base64 {
        Some(text) if !text.is_empty() => {
            // Many encoders break lines.
            let text: Cow<'_, str> = match text.contains(['\r', '\n']) {
                true => text.replace(['\r', '\n'], "").into(),
                false => text.into(),
            };
            STANDARD.decode(text.as_bytes()).map(Bytes::from).map_err(|_| RejectReason::Base64)
        }
        // A copy, because a slice would keep all of the claims alive as long as the connection.
        _ => Ok(json.map(|json| Bytes::copy_from_slice(json.get().as_bytes())).unwrap_or_default()),
    }
}

/// The end of life that claims ask for: `expire_at` if present, otherwise `exp`. Zero means never.
/// Ends after the year 9999 are drawn back to it, so that callers can calculate with milliseconds.
pub(super) fn expire_at(expire_at: Option<i64>, exp: Option<NumericDate>) -> i64 {
    const LATEST: i64 = 253_402_300_799;
    expire_at.or(exp.map(NumericDate::seconds)).unwrap_or_default().clamp(0, LATEST)
}

/// Reads the claim called `name` as a user identifier: text as it is, numbers in plain notation,
/// nothing or `null` as the anonymous user.
///
/// # Errors
/// `UserClaim` for anything else and for a repeated claim.
pub(super) fn user_claim(claims: &[u8], name: &str) -> Result<String, RejectReason> {
    let mut deserializer = serde_json::Deserializer::from_slice(claims);
    let found = Member { name }.deserialize(&mut deserializer).map_err(|_| RejectReason::UserClaim)?;
    let Some(value) = found else { return Ok(String::new()) };
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text).map_err(|_| RejectReason::UserClaim),
        Some(b'n') => Ok(String::new()),
        Some(b'-' | b'0'..=b'9') => plain_number(text),
        _ => Err(RejectReason::UserClaim),
    }
}

fn plain_number(text: &str) -> Result<String, RejectReason> {
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return Ok(text.to_owned());
    }
    let number: f64 = serde_json::from_str(text).map_err(|_| RejectReason::UserClaim)?;
    Ok(number.to_string())
}

/// Finds one member of an object without decoding the others.
struct Member<'n> {
    name: &'n str,
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<Key>()? {
            if key.0 != self.name {
                map.next_value::<IgnoredAny>()?;
            } else if found.replace(map.next_value()?).is_some() {
                return Err(de::Error::custom("claim is repeated"));
            }
        }
        Ok(found)
    }
}

#[derive(Deserialize)]
struct Key<'k>(#[serde(borrow)] Cow<'k, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn date(json: &str) -> Result<NumericDate, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn dates_are_numbers_or_texts_that_hold_one() {
        assert_eq!(date("1.9").unwrap().seconds(), 1);
        assert_eq!(date("-1.5").unwrap().seconds(), -2);
        assert_eq!(date("\"12\"").unwrap().seconds(), 12);
        for refused in [
            "\"\"",
            "\" 12\"",
            "\"x\"",
            "\"inf\"",
            "1e300",
            "1e999",
            "9223372036854775807",
            "18446744073709551615",
            "[]",
            "true",
        ] {
            assert!(date(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn user_claim_takes_texts_and_numbers() {
        let claims = br#"{"a":"x\u0041","n":42,"f":42.0,"e":1e3,"neg":-7,"null":null,"o":{},"t":true,"a2":"1","a2":"2"}"#;
        let user = |name| user_claim(claims, name);
        assert_eq!(user("a").unwrap(), "xA");
        assert_eq!(user("n").unwrap(), "42");
        assert_eq!(user("f").unwrap(), "42");
        assert_eq!(user("e").unwrap(), "1000");
        assert_eq!(user("neg").unwrap(), "-7");
        assert_eq!(user("null").unwrap(), "");
        assert_eq!(user("absent").unwrap(), "");
        assert_eq!(user("o"), Err(RejectReason::UserClaim));
        assert_eq!(user("t"), Err(RejectReason::UserClaim));
        assert_eq!(user("a2"), Err(RejectReason::UserClaim));
    }

    #[test]
    fn base64_wins_over_json_unless_empty() {
        let raw: &RawValue = serde_json::from_str("{\"a\": 1}").unwrap();
        assert_eq!(payload(Some(raw), Some("eA==")).unwrap().as_ref(), b"x");
        assert_eq!(payload(Some(raw), Some("")).unwrap().as_ref(), b"{\"a\": 1}");
        assert_eq!(payload(None, None).unwrap().as_ref(), b"");
        assert_eq!(payload(None, Some("eA")), Err(RejectReason::Base64));
    }
}
