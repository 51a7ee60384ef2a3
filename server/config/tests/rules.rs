//! Rules that span keys, and features that are not there.

use super::*;

/// The rule that JSON breaks.
fn broken(json: &str) -> String {
    load(json).check_rules().expect_err("refused")
}

/// That no rule is broken.
fn holds(json: &str) {
    assert_eq!(load(json).check_rules(), Ok(()), "{json}");
}

/// Checks the rule a single namespace breaks; `expected` follows the name of the namespace.
fn namespace_breaks(options: &str, expected: &str) {
    let json = format!(r#"{{"channel": {{"namespaces": [{{"name": "ns", {options}}}]}}}}"#);
    assert_eq!(broken(&json), format!("namespace ns: {expected}"));
}

fn namespace_holds(options: &str) {
    holds(&format!(r#"{{"channel": {{"namespaces": [{{"name": "ns", {options}}}]}}}}"#));
}

#[test]
fn the_defaults_are_valid() {
    assert!(Config::default().validate().is_ok());
}

#[test]
fn unencrypted_http2_needs_an_internal_port_and_no_tls() {
    let needed = "external_h2c requires custom separate internal_port to be configured";
    assert_eq!(broken(r#"{"http_server": {"h2c_external": true}}"#), needed);
    assert_eq!(broken(r#"{"http_server": {"h2c_external": true, "internal_port": "8000"}}"#), needed);
    holds(r#"{"http_server": {"h2c_external": true, "internal_port": "9000"}}"#);
    let both =
        r#"{"http_server": {"h2c_external": true, "internal_port": "9000", "tls": {"enabled": true}}}"#;
    assert_eq!(
        broken(both),
        "external_h2c cannot be used together with enabled TLS for external HTTP server"
    );
}

#[test]
fn listeners_need_addresses_and_certificates() {
    assert!(
        broken(r#"{"http_server": {"address": "127.0.0.1:8000"}}"#).starts_with("in http_server.address: ")
    );
    for address in ["", "::1", "[::]", "127.0.0.1", "node-1.example.com"] {
        holds(&format!(r#"{{"http_server": {{"address": "{address}"}}}}"#));
    }
    assert!(broken(r#"{"http_server": {"internal_port": "x"}}"#).starts_with("http_server.internal_port: "));
    let tls = broken(r#"{"http_server": {"tls": {"enabled": true}}}"#);
    assert_eq!(tls, "in http_server.tls: cert_pem is required when TLS is enabled");
    let webtransport = r#"{"webtransport": {"enabled": true}}"#;
    assert_eq!(broken(webtransport), "webtransport requires http_server.http3 to be enabled");
}

#[test]
fn words_outside_the_lists_are_refused() {
    assert_eq!(broken(r#"{"broker": {"type": "x"}}"#), "unknown broker: x");
    assert_eq!(broken(r#"{"map_broker": {"type": "x"}}"#), "unknown map broker type: x");
    assert_eq!(
        broken(r#"{"engine": {"type": "x"}}"#),
        "unknown engine.type: \"x\", expected one of memory, redis"
    );
    let format = broken(r#"{"channel": {"publication_data_format": "xml"}}"#);
    assert_eq!(format, "unknown channel.publication_data_format: \"xml\"");
    namespace_breaks(r#""allowed_delta_types": ["x"]"#, "unknown allowed delta type: \"x\"");
    namespace_breaks(r#""force_recovery_mode": "x""#, "unknown recovery mode: \"x\"");
    namespace_breaks(r#""subscription_type": "x""#, "unknown subscription_type: \"x\"");
}

#[test]
fn tokens_need_a_claim_name_and_patterns_that_compile() {
    let claim = broken(r#"{"client": {"token": {"user_id_claim": "a-b"}}}"#);
    assert_eq!(claim, "invalid token custom user ID claim: a-b, must match ^[a-zA-Z_]+$ regular expression");
    assert!(broken(r#"{"client": {"token": {"issuer_regex": "("}}}"#).starts_with("in token issuer_regex: "));
    let both = broken(r#"{"client": {"subscription_token": {"audience": "a", "audience_regex": "b"}}}"#);
    assert_eq!(both, "subscription token: audience and audience_regex exclude each other");
}

#[test]
fn pings_are_rarer_than_their_answers() {
    let check = broken(r#"{"client": {"ping_interval": "8s"}}"#);
    assert_eq!(check, "ping_interval must be greater than pong_timeout");
}

#[test]
fn proxies_need_a_name_and_an_endpoint() {
    assert_eq!(broken(r#"{"proxies": [{"name": "ab"}]}"#), "in proxy ab: endpoint not set");
    assert!(broken(r#"{"proxies": [{"name": "a", "endpoint": "x"}]}"#).contains("invalid proxy name: a"));
    let reserved = broken(r#"{"proxies": [{"name": "default", "endpoint": "x"}]}"#);
    assert_eq!(reserved, "proxy name default is reserved");
    let twice = broken(r#"{"proxies": [{"name": "ab", "endpoint": "x"}, {"name": "ab", "endpoint": "x"}]}"#);
    assert!(twice.contains("duplicate proxy name"), "{twice}");
    let connect = broken(r#"{"client": {"proxy": {"connect": {"enabled": true}}}}"#);
    assert_eq!(connect, "in client.proxy.connect: endpoint not set");
    namespace_breaks(r#""publish_proxy_name": "no""#, "publish proxy with name \"no\" not found");
    namespace_breaks(r#""publish_proxy_enabled": true"#, "in channel.proxy.publish: endpoint not set");
    assert_eq!(
        broken(r#"{"rpc": {"without_namespace": {"proxy_name": "no"}}}"#),
        "in rpc.without_namespace: proxy no not found for rpc"
    );
}

#[test]
fn a_status_stands_for_one_error_or_one_disconnect() {
    let check = |row: &str, expected: &str| {
        let json = format!(
            r#"{{"proxies": [{{"name": "ab", "endpoint": "x", "http": {{"status_to_code_transforms": [{row}]}}}}]}}"#
        );
        assert_eq!(broken(&json), format!("in proxy ab: in status_to_code_transforms: {expected}"));
    };
    check("{}", "status_code should be set in status_to_code_transforms[0]");
    check(r#"{"status_code": 404}"#, "no error or disconnect code set in status_to_code_transforms[0]");
    check(
        r#"{"status_code": 404, "to_error": {"code": 1}, "to_disconnect": {"code": 1}}"#,
        "only error or disconnect code can be set in status_to_code_transforms[0], but not both",
    );
    check(
        r#"{"status_code": 404, "to_error": {"code": 1, "message": "é"}}"#,
        "status_to_code_transforms[0] error message must be ASCII",
    );
}

#[test]
fn namespaces_have_unique_names() {
    let twice = r#"{"channel": {"namespaces": [{"name": "ab"}, {"name": "ab"}]}}"#;
    assert_eq!(broken(twice), "namespace name must be unique: ab");
    assert!(broken(r#"{"channel": {"namespaces": [{"name": "a b"}]}}"#).contains("invalid namespace name"));
    let rpc = r#"{"rpc": {"namespaces": [{"name": "ab"}, {"name": "ab"}]}}"#;
    assert_eq!(broken(rpc), "rpc namespace name must be unique: ab");
}

#[test]
fn history_has_size_and_time() {
    let both = "both history size and history ttl required for history";
    namespace_breaks(r#""history_size": 10"#, both);
    namespace_breaks(r#""history_ttl": "10s""#, both);
    namespace_breaks(r#""force_recovery": true"#, "both history size and history ttl required for recovery");
    namespace_holds(r#""allow_recovery": true, "force_positioning": true"#);
    namespace_breaks(
        r#""history_size": 1, "history_ttl": "1500ms""#,
        "in history_ttl: malformed duration 1.5s, sub-second precision is not supported for this key",
    );
    namespace_breaks(
        r#""history_size": 1, "history_ttl": "2m", "history_meta_ttl": "1m""#,
        "history ttl (2m0s) can not be greater than history meta ttl (1m0s)",
    );
    namespace_breaks(
        r#""auto_cache_recover": true"#,
        "auto_cache_recover requires force_recovery and force_recovery_mode set to cache",
    );
}

#[test]
fn map_options_fit_their_mode() {
    let check = |map: &str, expected: &str| {
        namespace_breaks(&format!(r#""subscription_type": "map", "map": {{{map}}}"#), expected);
    };
    check("", "map.mode is required when subscription_type is a map type");
    check(r#""mode": "ephemeral""#, "map.key_ttl is required when map.mode is \"ephemeral\"");
    check(
        r#""mode": "ephemeral", "key_ttl": "1s", "stream_size": 1"#,
        "map.stream_size must be 0 for map.mode \"ephemeral\"",
    );
    check(
        r#""mode": "persistent", "key_ttl": "1s""#,
        "map.key_ttl must not be set when map.mode is \"persistent\" (entries don't expire)",
    );
    check(
        r#""mode": "recoverable", "key_ttl": "1s", "meta_ttl": "30s""#,
        "map.meta_ttl (30s) must be >= map.stream_ttl (1m0s) (metadata must outlive stream)",
    );
    check(
        r#""mode": "persistent", "min_page_size": 5, "max_page_size": 4"#,
        "map.min_page_size (5) must not exceed map.max_page_size (4)",
    );
    check(
        r#""mode": "persistent", "client_key": "x""#,
        "unknown map.client_key: \"x\" (valid: \"client_id\", \"user_id\")",
    );
    namespace_holds(r#""subscription_type": "map", "map": {"mode": "recoverable", "key_ttl": "1m"}"#);
}

#[test]
fn shared_poll_needs_a_secret_and_versions_to_publish() {
    let check = |poll: &str, expected: &str| {
        let json = format!(
            r#"{{"shared_poll": {{"hmac_secret_key": "s"}},
                 "proxies": [{{"name": "ab", "endpoint": "x"}}],
                 "channel": {{"namespaces": [{{"name": "ns", "subscription_type": "shared_poll",
                              "shared_poll": {{{poll}}}}}]}}}}"#
        );
        assert_eq!(broken(&json), format!("namespace ns: {expected}"));
    };
    namespace_breaks(
        r#""subscription_type": "shared_poll""#,
        "shared_poll.hmac_secret_key is required when subscription_type is \"shared_poll\"",
    );
    check("", "in channel.proxy.shared_poll_refresh: endpoint not set");
    check(
        r#""proxy_name": "ab", "publish_enabled": true"#,
        "shared_poll publish_enabled is incompatible with versionless mode (requires explicit versions)",
    );
    check(r#""proxy_name": "ab", "mode": "x""#, "invalid shared_poll mode: \"x\"");
}

#[test]
fn presence_prefixes_lead_to_a_namespace_of_their_kind() {
    namespace_breaks(
        r#""map_users_presence_channel_prefix": "no:""#,
        "map_users_presence_channel_prefix \"no:\": namespace \"no\" does not exist",
    );
    namespace_breaks(
        r#""map_clients_presence_channel_prefix": "ns:""#,
        "map_clients_presence_channel_prefix \"ns:\": target namespace must have \
         subscription_type=\"map_clients\" (got \"\")",
    );
}

#[test]
fn the_personal_channel_has_a_namespace_with_presence() {
    let check = |personal: &str, expected: &str| {
        let json = format!(
            r#"{{"client": {{"subscribe_to_user_personal_channel": {{"enabled": true, {personal}}}}},
                 "channel": {{"namespaces": [{{"name": "ns"}}]}}}}"#
        );
        assert_eq!(broken(&json), expected);
    };
    check(r#""personal_channel_namespace": "no""#, "namespace for user personal channel not found: no");
    check(
        r#""personal_channel_namespace": "ns", "single_connection": true"#,
        "presence must be enabled for namespace ns to maintain single connection",
    );
    check(
        r#""single_connection": true"#,
        "presence must be enabled on top level to maintain single connection",
    );
}

#[test]
fn consumers_are_checked_when_enabled() {
    let check = |consumer: &str, expected: &str| {
        assert_eq!(broken(&format!(r#"{{"consumers": [{consumer}]}}"#)), expected);
    };
    check(
        r#"{"name": "a-b", "type": "kafka"}"#,
        "invalid consumer name: a-b, must match ^[a-zA-Z0-9_]{2,}$ regular expression",
    );
    check(r#"{"name": "ab", "type": "x"}"#, "unknown consumer type: x");
    check(
        r#"{"name": "ab", "type": "kafka", "enabled": true}"#,
        "in consumer ab (kafka): no Kafka brokers provided",
    );
    check(
        r#"{"name": "ab", "type": "aws_sqs", "enabled": true}"#,
        "in consumer ab (aws_sqs): at least one queue url is required",
    );
    holds(r#"{"consumers": [{"name": "ab", "type": "kafka"}]}"#);
}

#[test]
fn tables_of_connect_codes_are_complete() {
    let sse = broken(r#"{"uni_sse": {"connect_code_to_http_response": {"transforms": [{"code": 1}]}}}"#);
    assert!(
        sse.ends_with("status_code should be set in connect_code_to_http_status.transforms[0].to_response")
    );
    let table = r#"{"transforms": [{"code": 1, "to": {"status_code": 101}}]}"#;
    let informational =
        broken(&format!(r#"{{"uni_http_stream": {{"connect_code_to_http_response": {table}}}}}"#));
    assert!(informational.contains("status_code 101 does not end a response"), "{informational}");
    let client =
        broken(r#"{"client": {"connect_code_to_unidirectional_disconnect": {"transforms": [{"code": 1}]}}}"#);
    assert!(client.ends_with("no disconnect code specified in transforms[0].to"));
}

#[test]
fn features_that_are_not_there_are_refused_by_key() {
    let check = |json: &str, expected: &str| {
        let error = load(json).validate().expect_err("refused");
        assert!(matches!(error, ConfigError::Unsupported { .. }), "{error}");
        assert_eq!(error.to_string(), format!("{expected} is not available in this version"));
    };
    check(
        r#"{"broker": {"enabled": true, "type": "postgres"}}"#,
        "broker.type: a broker other than memory, redis, nats and redisnats",
    );
    check(r#"{"admin": {"enabled": true, "insecure": true}}"#, "admin.enabled: admin interface");
    check(
        r#"{"proxies": [{"name": "ab", "endpoint": "x"}], "channel": {"namespaces": [
            {"name": "ns", "map": {"publish_proxy_enabled": true, "publish_proxy_name": "ab"}}]}}"#,
        "channel.namespaces[ns].map.publish_proxy_enabled: map publish proxy",
    );
    check(
        r#"{"consumers": [{"name": "kf", "enabled": true, "type": "kafka",
            "kafka": {"brokers": "a", "topics": "b", "consumer_group": "c"}}]}"#,
        "consumers[kf].enabled: consumer",
    );
    assert!(load(r#"{"broker": {"type": "postgres"}}"#).validate().is_ok(), "not enabled");
}
