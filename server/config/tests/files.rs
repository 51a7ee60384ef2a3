//! Values from files.

use super::*;
use crate::config::{Duration, Warning};

#[test]
fn an_empty_file_and_no_file_yield_the_defaults() {
    let config = load("{}");
    assert_eq!(config, Config::default());
    assert_eq!(config.http_server.port, 8000);
    assert_eq!(config.client.ping_interval, Duration::from_secs(25));
    assert_eq!(config.client.channel_limit, 128);
    assert_eq!(config.engine.redis.connection.redis.address, ["redis://127.0.0.1:6379"]);
    assert_eq!(config.engine.redis.presence.presence_ttl, Duration::from_secs(60));
    assert_eq!(config.channel.history_meta_ttl, Duration::from_secs(30 * 24 * 3600));
    assert_eq!(config.channel.without_namespace.subscribe_proxy_name, "default");
    assert_eq!(config.shutdown.timeout, Duration::from_secs(30));
    let path = std::path::Path::new("/nonexistent/config.json");
    let loaded = Config::load(Some(path), std::iter::empty(), &[]).expect("loads");
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings, [Warning::FileNotFound { path: path.into() }]);
}

#[test]
fn the_three_formats_mean_the_same() {
    let json = r#"{"client": {"allowed_origins": ["a", "b"], "ping_interval": "10s"},
                   "channel": {"namespaces": [{"name": "chat", "presence": true, "history_size": 10}]}}"#;
    let yaml = "client:\n  allowed_origins:\n    - a\n    - b\n  ping_interval: 10s\n\
                channel:\n  namespaces:\n    - name: chat\n      presence: true\n      history_size: 10\n";
    let toml = "[client]\nallowed_origins = ['a', 'b']\nping_interval = '10s'\n\
                [[channel.namespaces]]\nname = 'chat'\npresence = true\nhistory_size = 10\n";
    let expected = load(json);
    assert_eq!(expected.channel.namespaces[0].name, "chat");
    assert_eq!(expected.channel.namespaces[0].options.history_size, 10);
    for (extension, text) in [(".yaml", yaml), (".yml", yaml), (".toml", toml)] {
        let loaded = load_all(extension, text, &[], &[]).expect("loads");
        assert_eq!((loaded.config, loaded.warnings), (expected.clone(), vec![]), "{extension}");
    }
}

#[test]
fn keys_have_no_case_and_dots_are_levels() {
    let config =
        load(r#"{"Client.Insecure": true, "CLIENT": {"token.hmac_secret_key": "s"}, "http_server.port": 1}"#);
    assert!(config.client.insecure);
    assert_eq!(&*config.client.token.hmac_secret_key, "s");
    assert_eq!(config.http_server.port, 1);
}

#[test]
fn numbers_booleans_and_strings_are_converted() {
    let config = load(
        r#"{"http_server": {"port": "9000", "internal_port": 9001},
            "client": {"insecure": "true", "allowed_origins": "https://a b", "channel_limit": 7.0},
            "admin": {"enabled": 1, "password": 123},
            "prometheus": {"enabled": ""}}"#,
    );
    assert_eq!((config.http_server.port, config.http_server.internal_port.as_str()), (9000, "9001"));
    assert!(config.client.insecure && config.admin.enabled && !config.prometheus.enabled);
    assert_eq!(config.client.allowed_origins, ["https://a b"]);
    assert_eq!(config.client.channel_limit, 7);
    assert_eq!(&*config.admin.password, "123");
}

#[test]
fn zero_in_a_file_means_the_default() {
    let config = load(
        r#"{"client": {"channel_limit": 0, "ping_interval": 0}, "channel": {"private_prefix": ""},
            "engine": {"redis": {"address": []}}, "http_server": {"port": 0}}"#,
    );
    assert_eq!(config, Config::default());
}

#[test]
fn durations_are_strings_or_nanoseconds() {
    let config = load(
        r#"{"client": {"ping_interval": 1500000000}, "broker": {"postgres": {"cleanup_interval": -1}}}"#,
    );
    assert_eq!(config.client.ping_interval.to_std(), std::time::Duration::from_millis(1500));
    assert!(config.broker.postgres.cleanup_interval.is_negative());
}

#[test]
fn unknown_keys_are_named_with_their_path() {
    let text = r#"{"foo": 1, "client": {"bar": {"x": 1}}, "proxies": [{"name": "p", "http": {"baz": 1}}],
                   "channel": {"namespaces": [{"name": "a"}, {"name": "b", "options": {}}]}}"#;
    let loaded = load_all(".json", text, &[], &[]).expect("loads");
    let keys: Vec<_> = loaded
        .warnings
        .iter()
        .map(|warning| match warning {
            Warning::UnknownKey { key } => key.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(keys, ["client.bar", "channel.namespaces.[1].options", "proxies.[0].http.baz", "foo"]);
}

#[test]
fn a_value_that_does_not_fit_is_named_with_its_path() {
    let check = |json: &str, expected: &str| assert_eq!(refusal(json), expected);
    check(
        r#"{"client": {"ping_interval": "-1"}}"#,
        r#"client.ping_interval: expected a duration such as "300ms", "25s" or "1h30m", found "-1""#,
    );
    check(
        r#"{"channel": {"namespaces": [{}, {"presence": "maybe"}]}}"#,
        r#"channel.namespaces.[1].presence: expected true or false, found "maybe""#,
    );
    check(
        r#"{"http_server": {"port": 70000}}"#,
        "http_server.port: expected a number between 0 and 65535, found 70000",
    );
    check(r#"{"http_server": 1}"#, "http_server: expected an object");
    check(r#"{"proxies": 1}"#, "proxies: expected a list of objects, found 1");
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    assert!(refusal("{").contains("cannot parse configuration file"));
    assert!(refusal("[]").contains("expected an object at the top"));
    let error = load_all(".ini", "a=1", &[], &[]).expect_err("refused");
    assert!(matches!(error, ConfigError::Format { .. }), "{error}");
}

#[test]
fn string_maps_keep_the_case_of_keys_in_list_form_only() {
    let config = load(
        r#"{"rpc": {"proxy": {"http": {"static_headers": {"X-A.B": "1"}},
                              "grpc": {"static_metadata": [{"key": "X-A", "value": "2"}]}}}}"#,
    );
    assert_eq!(config.rpc.proxy.http.static_headers.iter().collect::<Vec<_>>(), [("x-a.b", "1")]);
    assert_eq!(config.rpc.proxy.grpc.static_metadata.iter().collect::<Vec<_>>(), [("X-A", "2")]);
}

#[test]
fn what_a_parser_says_does_not_quote_the_file() {
    for (extension, text) in
        [(".yaml", "secret: [hidden"), (".toml", "secret = hidden"), (".json", "{\"secret\": hidden")]
    {
        let error = load_all(extension, text, &[], &[]).expect_err("refused").to_string();
        assert!(error.contains("line 1") && !error.contains("secret"), "{error}");
    }
}
