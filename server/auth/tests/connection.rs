//! Claims of connection tokens: rows JW-3 to JW-14 of the compatibility list.

use super::{NOW, connect, connect_with, forge, hmac_options, try_verifier};
use crate::auth::{RejectReason, TokenError, VerifierError, VerifierOptions};
use crate::channel::OptionOverrides;

#[track_caller]
fn refused(claims: &str, reason: RejectReason) {
    assert_eq!(connect(claims), Err(TokenError::Invalid(reason)), "{claims}");
}

#[test]
fn an_empty_token_is_an_anonymous_connection_without_end() {
    let token = connect("{}").unwrap();
    assert_eq!(token, Default::default());
}

#[test]
fn claims_become_what_they_grant() {
    let token = connect(
        r#"{"sub":"42","exp":1800000060,"iat":1,"jti":"x","info":{"a": 1},"meta":[1],"channels":["a","b"],"unknown":{}}"#,
    )
    .unwrap();
    assert_eq!(token.user, "42");
    assert_eq!(token.expire_at, NOW + 60);
    assert_eq!(token.info, "{\"a\": 1}");
    assert_eq!(token.meta, "[1]");
    assert_eq!(token.subs.keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn exp_and_nbf_have_no_leeway() {
    for (claims, valid) in [
        (r#"{"exp":1800000001}"#, true),
        (r#"{"exp":1800000000}"#, false),
        (r#"{"exp":1800000000.5}"#, true),
        (r#"{"exp":1799999999.9}"#, false),
        (r#"{"exp":"1800000001"}"#, true),
        (r#"{"exp":"1800000000"}"#, false),
        (r#"{"exp":0}"#, false),
        (r#"{"exp":-1}"#, false),
        (r#"{"exp":1800000001000}"#, true),
        (r#"{"exp":null}"#, true),
        (r#"{"Exp":1}"#, false),
        (r#"{"nbf":1799999999}"#, true),
        (r#"{"nbf":1800000000}"#, false),
        (r#"{"nbf":1800000001,"exp":1800000002}"#, false),
        (r#"{"exp":1799999999,"expire_at":1900000000}"#, false),
    ] {
        let expected = if valid { Ok(()) } else { Err(TokenError::Expired) };
        assert_eq!(connect(claims).map(drop), expected, "{claims}");
    }
}

#[test]
fn expire_at_replaces_exp_for_the_connection() {
    for (claims, expected) in [
        (r#"{"exp":1800000060,"expire_at":1800000600}"#, NOW + 600),
        (r#"{"exp":1800000060,"expire_at":0}"#, 0),
        (r#"{"exp":1800000060,"expire_at":-5}"#, 0),
        (r#"{"exp":1800000060,"expire_at":null}"#, NOW + 60),
        (r#"{"exp":1800000060.9}"#, NOW + 60),
        (r#"{"expire_at":5}"#, 5),
        (r#"{"expire_at":9223372036854775807}"#, 253_402_300_799),
        (r#"{"exp":1e18}"#, 253_402_300_799),
        (r#"{"EXP":1800000060,"Sub":"x"}"#, NOW + 60),
    ] {
        assert_eq!(connect(claims).unwrap().expire_at, expected, "{claims}");
    }
}

#[test]
fn claims_of_the_wrong_type_are_refused() {
    for claims in [
        r#"{"sub":42}"#,
        r#"{"exp":"soon"}"#,
        r#"{"exp":[]}"#,
        r#"{"exp":1e300}"#,
        r#"{"exp":9223372036854775808}"#,
        r#"{"exp":99999999999999999999999}"#,
        r#"{"iat":"x"}"#,
        r#"{"jti":1}"#,
        r#"{"iss":1}"#,
        r#"{"aud":1}"#,
        r#"{"aud":[1]}"#,
        r#"{"aud":null}"#,
        r#"{"exp":1900000000,"EXP":1900000000}"#,
        r#"{"expire_at":1.5}"#,
        r#"{"expire_at":"1"}"#,
        r#"{"channels":"a"}"#,
        r#"{"channels":[1]}"#,
        r#"{"subs":[]}"#,
        r#"{"subs":{"a":1}}"#,
        r#"{"subs":{"a":{"override":{"presence":true}}}}"#,
        r#"{"b64info":1}"#,
        r#"{"sub":"a","sub":"b"}"#,
        r#"{"exp":1,"exp":1900000000}"#,
        r#"{"info":{]}"#,
        "[]",
        "null",
        "",
        "{}{}",
        "{",
    ] {
        refused(claims, RejectReason::Claims);
    }
}

#[test]
fn a_channel_claim_is_refused_before_expiry_is_told() {
    refused(r#"{"channel":"a"}"#, RejectReason::ChannelForbidden);
    refused(r#"{"channel":"a","exp":1}"#, RejectReason::ChannelForbidden);
    assert!(connect(r#"{"channel":""}"#).is_ok());
}

#[test]
fn base64_info_wins_and_a_bad_one_is_an_internal_error() {
    assert_eq!(connect(r#"{"info":{},"b64info":"AP8="}"#).unwrap().info, &b"\x00\xff"[..]);
    assert_eq!(connect(r#"{"info":{},"b64info":""}"#).unwrap().info, "{}");
    assert_eq!(connect(r#"{"info":null}"#).unwrap().info, "null");
    assert!(matches!(connect(r#"{"b64info":"AP8"}"#), Err(TokenError::Internal(_))));
    assert!(matches!(connect(r#"{"b64info":"_-8="}"#), Err(TokenError::Internal(_))));
    assert_eq!(connect(r#"{"b64info":"A\nP8=\r\n"}"#).unwrap().info, &b"\x00\xff"[..]);
    refused(r#"{"subs":{"a":{"b64info":"!"}}}"#, RejectReason::Base64);
    refused(r#"{"subs":{"a":{"b64data":"!"}}}"#, RejectReason::Base64);
}

#[test]
fn meta_may_be_any_json() {
    for meta in ["{\"a\":1}", "[1]", "1", "\"x\"", "null"] {
        assert_eq!(connect(&format!(r#"{{"meta":{meta}}}"#)).unwrap().meta, meta);
    }
}

#[test]
fn subs_win_over_channels_and_carry_options() {
    let token = connect(
        r#"{"channels":["x"],"subs":{
            "a":{"info":{"i":1},"data":[2],"override":{"presence":{"value":true},"join_leave":{"value":false},
                "force_push_join_leave":{},"force_recovery":{"value":true},"force_positioning":null}},
            "b":{"b64info":"eA==","b64data":"eQ=="},
            "c":null}}"#,
    )
    .unwrap();
    assert_eq!(token.subs.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    let a = &token.subs["a"];
    assert_eq!((a.info.as_ref(), a.data.as_ref()), (&b"{\"i\":1}"[..], &b"[2]"[..]));
    let overrides = OptionOverrides {
        presence: Some(true),
        join_leave: Some(false),
        force_push_join_leave: Some(false),
        force_recovery: Some(true),
        force_positioning: None,
    };
    assert_eq!(a.overrides, overrides);
    assert_eq!(token.subs["b"].data, "y");
    assert_eq!(token.subs["c"], Default::default());
    assert_eq!(connect(r#"{"channels":["x"],"subs":{}}"#).unwrap().subs.len(), 1);
}

#[test]
fn audience_and_issuer_are_compared_exactly_or_by_pattern() {
    let exact = VerifierOptions { audience: "a1".into(), issuer: "i1".into(), ..hmac_options() };
    let pattern = VerifierOptions {
        audience_regex: "^a[0-9]$".into(),
        issuer_regex: "^i(?P<number>[0-9])$".into(),
        ..hmac_options()
    };
    for (claims, expected) in [
        (r#"{"aud":"a1","iss":"i1"}"#, Ok(())),
        (r#"{"aud":["x","a1"],"iss":"i1"}"#, Ok(())),
        (r#"{"aud":[],"iss":"i1"}"#, Err(RejectReason::Audience)),
        (r#"{"iss":"i1"}"#, Err(RejectReason::Audience)),
        (r#"{"aud":"a1x","iss":"i1"}"#, Err(RejectReason::Audience)),
        (r#"{"aud":"a1","iss":"i1x"}"#, Err(RejectReason::Issuer)),
        (r#"{"aud":"a1"}"#, Err(RejectReason::Issuer)),
    ] {
        for options in [&exact, &pattern] {
            let result = connect_with(options, &forge::hs256(claims)).map(drop);
            assert_eq!(result, expected.map_err(TokenError::Invalid), "{claims} {options:?}");
        }
    }
}

#[test]
fn the_user_may_come_from_another_claim() {
    let options = VerifierOptions { user_id_claim: "uid".into(), ..hmac_options() };
    let user = |claims| connect_with(&options, &forge::hs256(claims)).map(|token| token.user);
    assert_eq!(user(r#"{"sub":"a","uid":"b"}"#).unwrap(), "b");
    assert_eq!(user(r#"{"sub":"a","uid":7}"#).unwrap(), "7");
    assert_eq!(user(r#"{"sub":"a"}"#).unwrap(), "");
    assert_eq!(user(r#"{"uid":{}}"#), Err(TokenError::Invalid(RejectReason::UserClaim)));
    assert_eq!(user(r#"{"uid":"a","uid":"b"}"#), Err(TokenError::Invalid(RejectReason::UserClaim)));
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    type Change = fn(&mut VerifierOptions);
    let broken: [Change; 7] = [
        |options| (options.audience, options.audience_regex) = ("a".into(), "a".into()),
        |options| (options.issuer, options.issuer_regex) = ("a".into(), "a".into()),
        |options| options.issuer_regex = "(".into(),
        |options| options.user_id_claim = "user-id".into(),
        |options| options.rsa_public_key = "x".into(),
        |options| options.ecdsa_public_key = forge::rsa_pem(),
        |options| options.jwks_public_endpoint = "file:///etc/passwd".into(),
    ];
    for (index, change) in broken.into_iter().enumerate() {
        let mut options = hmac_options();
        change(&mut options);
        let error: VerifierError = try_verifier(&options).expect_err("refused at start");
        assert!(!error.to_string().contains(super::SECRET), "{index}: {error}");
    }
}
