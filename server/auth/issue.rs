//! Making tokens, for the command line and for demonstrations; backends make their own.

use crate::seams::UnixMillis;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// A token to make.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewToken<'t> {
    /// User; empty for an anonymous connection, whose token has no `sub`.
    pub user: &'t str,
    /// Another claim that shall hold the user too (`user_id_claim`); empty for none.
    pub user_claim: &'t str,
    /// Channel of a subscription token; `None` makes a connection token.
    pub channel: Option<&'t str>,
    /// Seconds until it expires; zero and less for a token that does not.
    pub ttl: i64,
}

/// Signs a token with HS256, made at `now`.
///
/// An empty secret makes tokens that no verifier accepts.
pub fn issue(token: &NewToken<'_>, secret: &str, now: UnixMillis) -> String {
    let mut claims = Map::new();
    if !token.user.is_empty() {
        claims.insert("sub".to_owned(), token.user.into());
    }
    if token.ttl > 0 {
        claims.insert("exp".to_owned(), now.seconds().saturating_add(token.ttl).into());
    }
    claims.insert("iat".to_owned(), now.seconds().into());
    if let Some(channel) = token.channel {
        claims.insert("channel".to_owned(), channel.into());
    }
    if !token.user_claim.is_empty() {
        claims.insert(token.user_claim.to_owned(), token.user.into());
    }
    let claims = Value::Object(claims).to_string();
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_upstream_s_tool_prints() {
        // Made by `centrifugo gentoken -u 42 -t 90` of v6.9.1 at this second.
        let token = NewToken { user: "42", ttl: 90, ..Default::default() };
        assert_eq!(
            issue(&token, "correct horse battery staple", UnixMillis(1_795_484_705_999)),
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI0MiIsImV4cCI6MTc5NTQ4NDc5NSwiaWF0IjoxNzk1NDg0NzA1fQ.\
             7Iq6a1_1BuFnNmwPPob_TvCwH-vlvLNJFkCoZv-9GG8"
        );
        let token = NewToken { user: "42", channel: Some("ns:a"), ttl: 604_800, ..Default::default() };
        assert_eq!(
            issue(&token, "correct horse battery staple", UnixMillis(1_795_484_705_000)),
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI0MiIsImV4cCI6MTc5NjA4OTUwNSwiaWF0IjoxNzk1NDg0NzA1LCJja\
             GFubmVsIjoibnM6YSJ9.1zIPdFM5zLG94_AWQmFBzKdvswoA16eiyO1v_aLaV7E"
        );
    }
}
