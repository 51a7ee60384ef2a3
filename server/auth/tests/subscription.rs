//! Claims of subscription tokens: rows ST-1 to ST-7 of the compatibility list.

use super::{NOW, subscribe};
use crate::auth::{RejectReason, TokenError};

#[test]
fn claims_become_what_they_grant() {
    let token = subscribe(
        r#"{"sub":"42","channel":"$a","client":"c","exp":1800000060,"info":{},"data":1,"override":{"presence":{"value":true}}}"#,
    )
    .unwrap();
    assert_eq!((token.user.as_str(), token.channel.as_str(), token.client.as_str()), ("42", "$a", "c"));
    assert_eq!(token.expire_at, NOW + 60);
    assert_eq!((token.grant.info.as_ref(), token.grant.data.as_ref()), (&b"{}"[..], &b"1"[..]));
    assert_eq!(token.grant.overrides.presence, Some(true));
    assert_eq!(subscribe(r#"{"channel":"a","exp":1800000060,"expire_at":0}"#).unwrap().expire_at, 0);
}

#[test]
fn expiry_is_told_before_a_missing_channel() {
    let missing = Err(TokenError::Invalid(RejectReason::ChannelMissing));
    assert_eq!(subscribe("{}"), missing);
    assert_eq!(subscribe(r#"{"channel":""}"#), missing);
    assert_eq!(subscribe(r#"{"exp":1}"#), Err(TokenError::Expired));
    assert_eq!(subscribe(r#"{"channel":"a","nbf":1900000000}"#), Err(TokenError::Expired));
}

#[test]
fn bad_base64_is_an_invalid_token() {
    for claims in [r#"{"channel":"a","b64info":"!"}"#, r#"{"channel":"a","b64data":"!"}"#] {
        assert_eq!(subscribe(claims), Err(TokenError::Invalid(RejectReason::Base64)));
    }
}

#[test]
fn a_token_is_for_one_channel_user_and_perhaps_connection() {
    let any = subscribe(r#"{"sub":"u","channel":"a"}"#).unwrap();
    assert!(any.is_for("a", "u", "c1"));
    assert!(!any.is_for("b", "u", "c1"));
    assert!(!any.is_for("a", "", "c1"));
    let one = subscribe(r#"{"sub":"u","channel":"a","client":"c1"}"#).unwrap();
    assert!(one.is_for("a", "u", "c1"));
    assert!(!one.is_for("a", "u", "c2"));
    let anonymous = subscribe(r#"{"channel":"a"}"#).unwrap();
    assert!(anonymous.is_for("a", "", "c"));
}
