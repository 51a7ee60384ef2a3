//! Published keys against an endpoint on the loopback: rows JW-16 and JW-17 of the compatibility list.

mod endpoint;
mod rotation;
mod templates;

use super::key_set;
use crate::auth::algorithm::Algorithm;
use crate::auth::tests::forge;

fn parse(keys: &[&str]) -> Vec<super::cache::PublishedKey> {
    let set = format!(r#"{{"keys":[{}]}}"#, keys.join(","));
    key_set::parse(set.as_bytes()).unwrap()
}

#[test]
fn keys_of_the_standards_verify_their_examples() {
    // RFC 7515 appendix A.3 and RFC 8037 appendix A.4.
    let examples = [
        (
            r#"{"kty":"EC","use":"sig","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
            Algorithm::Es256,
            "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            r#"{"kty":"OKP","use":"sig","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            Algorithm::EdDsa,
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ];
    for (jwk, algorithm, signed, signature) in examples {
        let keys = parse(&[jwk]);
        let signature =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature).unwrap();
        assert!(keys[0].key.verify(algorithm, signed.as_bytes(), &signature).is_ok(), "{algorithm:?}");
        assert!(keys[0].key.verify(algorithm, b"other", &signature).is_err());
    }
}

#[test]
fn only_signing_keys_of_known_kinds_are_taken() {
    let good = forge::rsa_jwk("good", "");
    let es = forge::ecdsa_jwk("es", "ES512", &forge::ecdsa("ES512"));
    for other in [
        &good.replace(r#""use":"sig""#, r#""use":"enc""#),
        &good.replace(r#""use":"sig","#, ""),
        &good.replace(r#""kid":"good""#, r#""kid":7"#),
        &good.replace("\"n\":\"", "\"n\":\"!"),
        &forge::rsa_jwk("x", "ES256"),
        &forge::rsa_jwk("x", "PS256"),
        &forge::rsa_jwk("x", "HS256"),
        &es.replace("ES512", "ES256"),
        &es.replace("P-521", "P-256"),
        r#"{"kty":"oct","use":"sig","alg":"HS256","kid":"x","k":"c2VjcmV0"}"#,
        r#"{"kty":"OKP","use":"sig","crv":"X25519","kid":"x","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        r#"{"kty":"OKP","use":"sig","crv":"Ed25519","kid":"x","x":"AAAA"}"#,
        r#"{"kty":"EC","use":"sig","crv":"P-256","kid":"x","x":"AQ","y":"AQ"}"#,
        r#"{"kty":"RSA","use":"sig","kid":"x","n":"AQAB","e":"AQAB"}"#,
        r#"{"kty":"RSA","use":"sig","kid":"x"}"#,
        "{}",
        "1",
        "null",
    ] {
        let keys = parse(&[other, &good, &es]);
        assert_eq!(keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["good", "es"], "{other}");
    }
}

#[test]
fn a_key_without_algorithm_is_for_its_whole_family() {
    let keys = parse(&[&forge::rsa_jwk("any", ""), &forge::rsa_jwk("one", "RS512")]);
    assert_eq!(keys[0].algorithms, Algorithm::RSA);
    assert_eq!(keys[1].algorithms, [Algorithm::Rs512]);
}

#[test]
fn texts_that_are_no_key_set_are_refused() {
    for text in ["", "null", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]"#, "<html>"] {
        assert!(key_set::parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(key_set::parse(br#"{"keys":[]}"#).unwrap().is_empty());
}
