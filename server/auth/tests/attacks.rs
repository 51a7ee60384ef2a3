//! Tokens that must never be accepted. None of them may cost more than a moment or cause a request.

use super::{SECRET, connect, connect_with, forge, hmac_options, subscribe_with, verifier};
use crate::auth::{RejectReason, TokenError, VerifierOptions};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::KeyPair;
use forge::{b64, header, hs256, hs256_with_header, mac, token};
use proptest::prelude::*;

const CLAIMS: &str = r#"{"sub":"admin"}"#;

/// All keys at once, so that each attack could reach any of them.
fn full_options(es256: &aws_lc_rs::signature::EcdsaKeyPair) -> VerifierOptions {
    VerifierOptions {
        hmac_previous_secret_key: "previous".into(),
        rsa_public_key: forge::rsa_pem(),
        ecdsa_public_key: forge::ecdsa_pem(es256),
        ..hmac_options()
    }
}

#[test]
fn no_attack_is_accepted() {
    let pair = forge::ecdsa("ES256");
    let options = full_options(&pair);
    let verifier = verifier(&options);
    let vectors = vectors(&options, &pair);
    assert!(vectors.len() >= 300, "{}", vectors.len());
    for (name, token) in &vectors {
        let connected = futures_util::FutureExt::now_or_never(verifier.verify_connect(token, super::now()));
        let connected = connected.expect("ready on the first poll");
        assert!(
            matches!(connected, Err(TokenError::Invalid(_) | TokenError::Expired)),
            "{name}: {connected:?}"
        );
        let subscribed =
            futures_util::FutureExt::now_or_never(verifier.verify_subscribe(token, super::now()));
        assert!(subscribed.expect("ready on the first poll").is_err(), "{name}");
    }
}

fn vectors(options: &VerifierOptions, pair: &aws_lc_rs::signature::EcdsaKeyPair) -> Vec<(String, String)> {
    let mut vectors = Vec::new();
    let mut add = |name: &str, token: String| vectors.push((name.to_owned(), token));
    let good = hs256(CLAIMS);
    let (signed, signature) = good.rsplit_once('.').unwrap();

    // Unsigned tokens under every spelling, with and without a signature.
    for algorithm in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        " ",
        "null",
        "none ",
        "HS256 ",
        "hs256",
        "Hs256",
        "HS0",
        "HS",
        "PS256",
        "PS384",
        "PS512",
        "ES256K",
        "A128KW",
        "RSA1_5",
        "dir",
        "Ed25519",
        "eddsa",
        "HS256\\u0000",
        "\\u0000HS256",
    ] {
        for (kind, bytes) in [
            ("empty", Vec::new()),
            ("zero", vec![0; 32]),
            ("mac", mac(hmac::HMAC_SHA256, SECRET)(signed.as_bytes())),
        ] {
            add(&format!("alg {algorithm:?} {kind}"), token(&header(algorithm), CLAIMS, |_| bytes));
        }
        add(&format!("alg {algorithm:?} signed"), hs256_with_header(&header(algorithm), CLAIMS));
    }
    for json in [
        r#"{"typ":"JWT"}"#,
        r#"{"alg":null}"#,
        r#"{"alg":1}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":{}}"#,
        r#"{"alg":true}"#,
        r#"{"ALG":"HS256"}"#,
    ] {
        add(json, hs256_with_header(json, CLAIMS));
    }

    // Public keys as secrets.
    let rsa_der = forge::spki(forge::RSA.public_key());
    let ec_der = forge::spki(pair.public_key());
    let secrets: [(&str, Vec<u8>); 10] = [
        ("rsa pem", options.rsa_public_key.clone().into_bytes()),
        ("rsa pem trimmed", options.rsa_public_key.trim().as_bytes().to_vec()),
        ("rsa spki", rsa_der),
        ("rsa pkcs1", forge::RSA.public_key().as_ref().to_vec()),
        ("ec pem", options.ecdsa_public_key.clone().into_bytes()),
        ("ec pem trimmed", options.ecdsa_public_key.trim().as_bytes().to_vec()),
        ("ec spki", ec_der),
        ("ec point", pair.public_key().as_ref().to_vec()),
        ("empty", Vec::new()),
        ("null", b"null".to_vec()),
    ];
    for (name, secret) in secrets {
        for (algorithm, digest) in
            [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
        {
            add(&format!("{algorithm} with {name}"), token(&header(algorithm), CLAIMS, mac(digest, &secret)));
        }
    }
    // Signatures of one family under the name of another.
    for algorithm in ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"] {
        add(
            &format!("{algorithm} with mac"),
            token(&header(algorithm), CLAIMS, mac(hmac::HMAC_SHA256, SECRET)),
        );
        for length in [0, 1, 31, 32, 63, 64, 65, 95, 96, 97, 131, 132, 133, 255, 256, 257, 512, 4096] {
            add(
                &format!("{algorithm} {length} zeros"),
                token(&header(algorithm), CLAIMS, |_| vec![0; length]),
            );
        }
        add(&format!("{algorithm} with ones"), token(&header(algorithm), CLAIMS, |_| vec![0xff; 64]));
    }
    // Order of P-256, which is zero to its arithmetic, and halves that are zero.
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let (zero, one) = ([0_u8; 32], {
        let mut one = [0_u8; 32];
        one[31] = 1;
        one
    });
    for (r, s) in [
        (zero, zero),
        (order, order),
        (order, zero),
        (zero, order),
        (one, zero),
        (zero, one),
        (order, one),
        (one, order),
        (one, one),
    ] {
        add("psychic", token(&header("ES256"), CLAIMS, |_| [r, s].concat()));
    }
    // A DER signature where a fixed one is expected.
    let fixed = forge::sign_ecdsa(pair)(signed.as_bytes());
    add("signature of another token", format!("{}.{}.{}", b64(header("ES256")), b64(CLAIMS), b64(&fixed)));
    add(
        "der framed",
        token(&header("ES256"), CLAIMS, |bytes| {
            [&[0x30, 0x44, 2, 0x20][..], &forge::sign_ecdsa(pair)(bytes)].concat()
        }),
    );

    // Changed, cut and extended signatures.
    let raw = mac(hmac::HMAC_SHA256, SECRET)(signed.as_bytes());
    for bit in 0..32 {
        let mut changed = raw.clone();
        changed[bit] ^= 1 << (bit % 8);
        add("flipped bit", format!("{signed}.{}", b64(changed)));
    }
    for length in [0, 1, 16, 31] {
        add("cut signature", format!("{signed}.{}", b64(&raw[..length])));
    }
    add("extended signature", format!("{signed}.{}", b64([&raw[..], &[0]].concat())));
    add(
        "hex signature",
        format!("{signed}.{}", b64(raw.iter().map(|byte| format!("{byte:02x}")).collect::<String>())),
    );

    // Framing.
    for text in [
        "",
        ".",
        "..",
        "...",
        "eyJ",
        "eyJ.",
        "eyJ..",
        "eyJ...",
        "eyJ.eyJ.",
        "null",
        "undefined",
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJhbGciOiJIUzI1NiJ9.",
        "eyJhbGciOiJIUzI1NiJ9..",
    ] {
        add("framing", text.to_owned());
    }
    add("no signature", signed.to_owned());
    add("no signature but a dot", format!("{signed}."));
    add("four parts", format!("{good}.{signature}"));
    add(
        "five parts (JWE)",
        format!(
            "{}.{}.{}.{}.{}",
            b64(r#"{"alg":"dir","enc":"A128GCM"}"#),
            "",
            b64([0; 12]),
            b64(CLAIMS),
            b64([0; 16])
        ),
    );
    add("leading space", format!(" {good}"));
    add("trailing newline", format!("{good}\n"));
    add("trailing nul", format!("{good}\0"));
    add("bearer", format!("Bearer {good}"));
    add("padding", format!("{good}="));
    add("percent", good.replace('.', "%2E"));
    add(
        "other alphabet",
        format!(
            "{signed}.{}",
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [0xfb; 32])
        ),
    );
    add("inner newline", format!("{}\n{}", &good[..10], &good[10..]));
    add("unicode dots", good.replace('.', "\u{ff0e}"));
    add("json form", format!(r#"{{"payload":"{}","signatures":[]}}"#, b64(CLAIMS)));

    // Headers that carry keys, addresses, extensions or repetitions.
    let own_key = "attacker";
    for extra in [
        r#""jwk":{"kty":"oct","k":"YXR0YWNrZXI"}"#,
        r#""jku":"http://127.0.0.1:1/jwks""#,
        r#""x5u":"http://127.0.0.1:1/cert""#,
        r#""x5c":["MIIB"]"#,
        r#""kid":"/dev/null""#,
        r#""kid":"../../../../etc/passwd""#,
        r#""kid":"' UNION SELECT 'attacker""#,
        r#""kid":"http://127.0.0.1:1/key""#,
        r#""kid":"|id""#,
        r#""kid":"\u0000""#,
    ] {
        let json = format!(r#"{{"alg":"HS256",{extra}}}"#);
        add(extra, token(&json, CLAIMS, mac(hmac::HMAC_SHA256, own_key)));
        add(extra, token(&json, CLAIMS, mac(hmac::HMAC_SHA256, "")));
    }
    let long_kid = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(10_000));
    add("kid of 10 KB", token(&long_kid, CLAIMS, mac(hmac::HMAC_SHA256, "")));
    for json in [
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","kid":"a","kid":"b"}"#,
        r#"{"alg":"HS256","kid":1}"#,
        r#"{"alg":"HS256","typ":1}"#,
        r#"{"alg":"HS256"}{}"#,
        r#"{"alg":"HS256""#,
        r#"["HS256"]"#,
        r#""HS256""#,
        r#" {"alg":"HS256"}"#,
        r#"{ "alg":"HS256"}"#,
    ] {
        add(json, hs256_with_header(json, CLAIMS));
    }

    // Claims, rightly signed but not to be believed.
    for claims in [
        r#"{"exp":-1}"#,
        r#"{"exp":0}"#,
        r#"{"exp":-1e300}"#,
        r#"{"exp":1e300}"#,
        r#"{"exp":1e999}"#,
        r#"{"exp":1.0e-5}"#,
        r#"{"exp":9223372036854775807}"#,
        r#"{"exp":9223372036854775808}"#,
        r#"{"exp":18446744073709551616}"#,
        r#"{"exp":"1e300"}"#,
        r#"{"exp":"NaN"}"#,
        r#"{"exp":NaN}"#,
        r#"{"exp":Infinity}"#,
        r#"{"exp":"Infinity"}"#,
        r#"{"exp":true}"#,
        r#"{"exp":{}}"#,
        r#"{"exp":[1900000000]}"#,
        r#"{"exp":""}"#,
        r#"{"exp":"0x7fffffff"}"#,
        r#"{"nbf":1900000000}"#,
        r#"{"nbf":1e300}"#,
        r#"{"nbf":"x"}"#,
        r#"{"exp":1900000000,"exp":1}"#,
        r#"{"sub":"a","sub":"admin"}"#,
        r#"{"sub":{"$ne":""}}"#,
        r#"{"sub":["admin"]}"#,
        r#"{"sub":1}"#,
        r#"{"channel":5}"#,
        r#"{"sub":"\ud800"}"#,
        "\u{feff}{}",
        "{\"sub\":\"\u{0}\"}",
    ] {
        add(claims, hs256(claims));
    }
    add("not UTF-8", {
        let signed = format!("{}.{}", b64(header("HS256")), b64(b"{\"sub\":\"\xff\"}"));
        let signature = b64(mac(hmac::HMAC_SHA256, SECRET)(signed.as_bytes()));
        format!("{signed}.{signature}")
    });
    for depth in [129, 10_000, 40_000] {
        add("deep arrays", hs256(&format!(r#"{{"meta":{}{}}}"#, "[".repeat(depth), "]".repeat(depth))));
        add(
            "deep objects",
            hs256(&format!(
                r#"{{"meta":{}1{}}}"#,
                r#"{"a":"#.repeat(depth / 2 + 100),
                "}".repeat(depth / 2 + 100)
            )),
        );
        add("deep and unclosed", hs256(&"[".repeat(depth)));
    }
    add("1 MB", hs256(&format!(r#"{{"info":"{}"}}"#, "x".repeat(1 << 20))));
    add("1 MB of nothing", "eyJ".repeat(1 << 18));
    add("1 MB of dots", format!("eyJ{}", ".".repeat(1 << 20)));
    vectors
}

#[test]
fn a_good_token_is_accepted_beside_the_attacks() {
    let options = full_options(&forge::ecdsa("ES256"));
    assert_eq!(connect_with(&options, &hs256(CLAIMS)).unwrap().user, "admin");
    let with_kid =
        hs256_with_header(r#"{"alg":"HS256","kid":"any","typ":"JWT","cty":null,"x":[],"x":1}"#, CLAIMS);
    assert!(connect_with(&options, &with_kid).is_ok());
}

#[test]
fn reasons_are_told_apart() {
    let reason = |token: &str| match connect_with(&hmac_options(), token) {
        Err(TokenError::Invalid(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(&hs256_with_header(r#"{"alg":"none"}"#, "{}")), RejectReason::UnsupportedAlgorithm);
    assert_eq!(
        reason(&hs256_with_header(r#"{"alg":"HS256","crit":["x"]}"#, "{}")),
        RejectReason::CriticalHeader
    );
    assert_eq!(reason(&hs256_with_header(r#"{"alg":"HS256","alg":"HS256"}"#, "{}")), RejectReason::Header);
    assert_eq!(reason(&"x".repeat(1 << 20)), RejectReason::TooLong);
    assert_eq!(reason("abc"), RejectReason::Format);
}

#[test]
fn nesting_that_honest_tokens_have_is_accepted() {
    let depth = 100;
    let meta = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(connect(&format!(r#"{{"meta":{meta}}}"#)).unwrap().meta, meta);
}

#[test]
fn a_token_of_one_kind_is_none_of_the_other() {
    let connection = hs256(r#"{"sub":"u"}"#);
    let subscription = hs256(r#"{"sub":"u","channel":"c"}"#);
    assert!(subscribe_with(&hmac_options(), &connection).is_err());
    assert!(connect_with(&hmac_options(), &subscription).is_err());
}

#[test]
fn errors_and_debug_output_hold_no_secret() {
    let options = VerifierOptions { hmac_previous_secret_key: "previous".into(), ..hmac_options() };
    let texts = [format!("{options:?}"), format!("{:?}", verifier(&options))];
    for text in texts {
        assert!(!text.contains(SECRET) && !text.contains("previous\""), "{text}");
    }
    let token = hs256(r#"{"sub":"canary","exp":1}"#);
    let error = connect_with(&options, &token).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"));
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        let _ = connect_with(&hmac_options(), &text);
        let _ = subscribe_with(&hmac_options(), &text);
    }

    #[test]
    fn arbitrary_parts_never_panic(header in any::<String>(), claims in any::<String>(), signature in any::<Vec<u8>>()) {
        let text = format!("{}.{}.{}", b64(format!("{{\"{header}")), b64(&claims), b64(signature));
        let _ = connect_with(&hmac_options(), &text);
        let _ = connect_with(&hmac_options(), &hs256(&claims));
        let _ = subscribe_with(&hmac_options(), &hs256(&claims));
    }

    #[test]
    fn arbitrary_json_claims_never_panic(name in "(exp|nbf|sub|aud|iss|subs|channels|channel|info|meta|override|expire_at)", value in json()) {
        let claims = format!("{{\"{name}\":{value}}}");
        let _ = connect_with(&hmac_options(), &hs256(&claims));
        let _ = subscribe_with(&hmac_options(), &hs256(&claims));
    }

    #[test]
    fn any_change_of_a_token_is_noticed(position in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_-]") {
        let good = hs256(CLAIMS);
        let mut changed = good.clone();
        let position = position.index(good.len());
        changed.replace_range(position..=position, &letter);
        prop_assert!(changed == good || connect_with(&hmac_options(), &changed).is_err());
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(|number| serde_json::json!(number)),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}
