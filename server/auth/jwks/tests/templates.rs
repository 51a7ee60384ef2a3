//! Addresses with placeholders, and tokens that would like to choose them.

use super::super::UrlTemplate;
use super::endpoint::Endpoint;
use crate::auth::tests::forge;
use crate::auth::{RejectReason, TokenError, TokenVerifier, VerifierError, VerifierOptions};
use crate::seams::UnixMillis;
use tokio::runtime::Handle;

fn safety(address: &str, issuer: &str, audience: &str) -> Result<(), VerifierError> {
    let patterns = [("issuer_regex", issuer), ("audience_regex", audience)];
    UrlTemplate::new(address, &patterns)?.check_safety(&patterns)
}

#[test]
fn groups_of_the_address_must_list_their_values() {
    let address = "https://keys.example.com/{{realm}}/jwks";
    for issuer in [
        "^https://id.example.com/(?P<realm>a|b)$",
        "^(?P<realm>test1|test2)$",
        "^(?P<realm>only)$",
        "^(?P<realm>(?:a|b)c|d\\.e)$",
        "^https?://.*/(?P<realm>a|b)$",
        "^(?<realm>a|b)$",
    ] {
        assert!(safety(address, issuer, "").is_ok(), "{issuer}");
    }
    for issuer in [
        "^(?P<realm>.+)$",
        "^(?P<realm>[a-z]+)$",
        "^(?P<realm>[ab])$",
        "^(?P<realm>\\w+)$",
        "^(?P<realm>\\d)$",
        "^(?P<realm>\\pL)$",
        "^(?P<realm>a*)$",
        "^(?P<realm>a?)$",
        "^(?P<realm>a{2})$",
        "^(?P<realm>a|(?:b|.))$",
        "^[a-z]+/(?P<realm>a|b)$",
        "^(?P<other>(?P<realm>.))$",
    ] {
        assert!(matches!(safety(address, issuer, ""), Err(VerifierError::OpenPattern { .. })), "{issuer}");
    }
    assert!(safety(address, "^(?P<realm>a|b)$", "^[a-z]+$").is_err());
    assert!(safety("https://keys.example.com/jwks", "^(?P<realm>.+)$", "^[a-z]+$").is_ok());
}

#[test]
fn addresses_are_checked_at_start() {
    for address in ["ftp://x/y", "file:///etc/passwd", "//x/y", "x", "https://", "http:// x/", "HTTPS://x/"] {
        assert!(matches!(safety(address, "", ""), Err(VerifierError::Endpoint(_))), "{address}");
    }
    for address in ["http://localhost:8080/a?b=c", "https://user:pass@x/y", "https://[::1]/y"] {
        assert!(safety(address, "", "").is_ok(), "{address}");
    }
    assert!(matches!(safety("https://x/{{realm}}", "", ""), Err(VerifierError::UnknownPlaceholder(_))));
}

#[test]
fn values_cannot_leave_their_place() {
    let fill = |address: &str, value: &'static str| {
        let template = UrlTemplate::new(address, &[("issuer_regex", "(?P<v>x)")]).unwrap();
        template.fill(|_| Some(value)).map(String::from)
    };
    let path = "https://keys.example.com/realms/{{v}}/jwks";
    assert_eq!(fill(path, "a").as_deref(), Some("https://keys.example.com/realms/a/jwks"));
    assert_eq!(fill(path, "a/b").as_deref(), Some("https://keys.example.com/realms/a/b/jwks"));
    for value in [
        "",
        "..",
        "../..",
        "../../evil",
        ".",
        "a/../b",
        "a//b",
        "/a",
        "a/",
        "%2e%2e",
        "a?b",
        "a#b",
        "a\\b",
        "a b",
        "a\nb",
        "é",
        "\u{ff0e}",
    ] {
        assert_eq!(fill(path, value), None, "{value:?}");
    }
    let host = "https://{{v}}.example.com/jwks";
    assert_eq!(fill(host, "a").as_deref(), Some("https://a.example.com/jwks"));
    for value in
        ["evil.com/", "evil.com/x", "a@evil.com", "a:80", "evil.com?", "evil.com#", "", "[::1]", "evil.com\\"]
    {
        assert_eq!(fill(host, value), None, "{value:?}");
    }
    assert_eq!(fill("https://x/keys/{{v}}/", "a").as_deref(), Some("https://x/keys/a/"));
}

fn tenant_token(issuer: &str, audience: &str, kid: &str) -> String {
    let header = format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#);
    let claims = format!(r#"{{"iss":"{issuer}","aud":"{audience}"}}"#);
    forge::token(&header, &claims, forge::sign_rsa("RS256"))
}

#[tokio::test]
async fn tokens_lead_to_the_endpoint_of_their_issuer_only() {
    let endpoint = Endpoint::start().await;
    endpoint.publish(&[&forge::rsa_jwk("same", "RS256")]);
    let options = VerifierOptions {
        jwks_public_endpoint: endpoint.url("/{{tenant}}/{{app}}/jwks"),
        issuer_regex: "^https://(?P<tenant>a|b)\\.example\\.com$".into(),
        audience_regex: "^(?P<app>web|mobile)$".into(),
        ..Default::default()
    };
    let verifier = TokenVerifier::new(&options, &Handle::current()).unwrap();
    let verify = async |token: &str| match verifier.verify_connect(token, UnixMillis(0)).await {
        Ok(_) => Ok(()),
        Err(TokenError::Invalid(reason)) => Err(reason),
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(verify(&tenant_token("https://a.example.com", "web", "same")).await, Ok(()));
    assert_eq!(endpoint.asked(), ["/a/web/jwks"]);

    // The same kid at another issuer is another key: here a withdrawn one.
    endpoint.publish(&[]);
    let other = tenant_token("https://b.example.com", "web", "same");
    assert_eq!(verify(&other).await, Err(RejectReason::UnknownKey));
    assert_eq!(endpoint.asked(), ["/a/web/jwks", "/b/web/jwks"]);

    for issuer in ["https://c.example.com", "https://evil.com", "http://127.0.0.1:1/", ""] {
        assert_eq!(verify(&tenant_token(issuer, "web", "same")).await, Err(RejectReason::Issuer));
    }
    let wrong_audience = tenant_token("https://a.example.com", "evil", "same");
    assert_eq!(verify(&wrong_audience).await, Err(RejectReason::Audience));
    assert_eq!(endpoint.asked().len(), 2);
}

#[tokio::test]
async fn open_patterns_need_the_insecure_switch_and_still_cannot_traverse() {
    let endpoint = Endpoint::start().await;
    endpoint.publish(&[&forge::rsa_jwk("a", "RS256")]);
    let mut options = VerifierOptions {
        jwks_public_endpoint: endpoint.url("/realms/{{realm}}/jwks"),
        issuer_regex: "^(?P<realm>.*)$".into(),
        ..Default::default()
    };
    assert!(TokenVerifier::new(&options, &Handle::current()).is_err());
    options.insecure_skip_jwks_endpoint_safety_check = true;
    let verifier = TokenVerifier::new(&options, &Handle::current()).unwrap();
    assert!(verifier.verify_connect(&tenant_token("any", "", "a"), UnixMillis(0)).await.is_ok());
    let token = tenant_token("../evil", "", "a");
    let refused = verifier.verify_connect(&token, UnixMillis(0)).await;
    assert_eq!(refused, Err(TokenError::Invalid(RejectReason::KeyEndpoint)));
    assert_eq!(endpoint.asked(), ["/realms/any/jwks"]);
}
