//! Values from environment variables.

use super::*;
use crate::config::Warning;

#[test]
fn names_are_paths_in_upper_case_without_flattened_sections() {
    let config = load_env(&[
        ("CENTRIFUGO_CLIENT_PROXY_CONNECT_ENDPOINT", "http://a"),
        ("CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_HISTORY_SIZE", "10"),
        ("CENTRIFUGO_ENGINE_REDIS_PREFIX", "p"),
        ("CENTRIFUGO_ENGINE_REDIS_PRESENCE_TTL", "1m30s"),
        ("CENTRIFUGO_WEBSOCKET_COMPRESSION", "T"),
        ("CENTRIFUGO_BROKER_TYPE", "redis"),
        ("GYRE_PID_FILE", "x"),
    ]);
    assert_eq!(config.client.proxy.connect.proxy.endpoint, "http://a");
    assert_eq!(config.channel.without_namespace.history_size, 10);
    assert_eq!(config.engine.redis.connection.prefix, "p");
    assert_eq!(config.engine.redis.presence.presence_ttl.to_string(), "1m30s");
    assert!(config.websocket.frames.compression);
    assert_eq!((config.broker.kind.as_str(), config.pid_file.as_str()), ("redis", "x"));
}

#[test]
fn the_environment_wins_over_the_file_and_gyre_over_centrifugo() {
    let file = r#"{"http_server": {"port": 1, "address": "file"}, "client": {"insecure": true}}"#;
    let env = [
        ("CENTRIFUGO_HTTP_SERVER_PORT", "0x2"),
        ("CENTRIFUGO_HTTP_SERVER_ADDRESS", ""),
        ("CENTRIFUGO_CLIENT_INSECURE", "false"),
        ("GYRE_CLIENT_CHANNEL_LIMIT", "0"),
        ("CENTRIFUGO_CLIENT_CHANNEL_LIMIT", "5"),
    ];
    let config = load_all(".json", file, &env, &[]).expect("loads").config;
    assert_eq!((config.http_server.port, config.http_server.address.as_str()), (2, "file"));
    assert!(!config.client.insecure);
    assert_eq!(config.client.channel_limit, 0, "only the environment forces zero");
}

#[test]
fn lists_are_split_at_spaces_and_maps_are_json() {
    let config = load_env(&[
        ("CENTRIFUGO_CLIENT_ALLOWED_ORIGINS", "https://a https://b"),
        ("CENTRIFUGO_RPC_PROXY_HTTP_STATIC_HEADERS", r#"{"X-A": "k ${CENTRIFUGO_VAR_KEY}"}"#),
        ("CENTRIFUGO_VAR_KEY", "v"),
    ]);
    assert_eq!(config.client.allowed_origins, ["https://a", "https://b"]);
    assert_eq!(config.rpc.proxy.http.static_headers.get("X-A"), Some("k v"));
}

#[test]
fn named_items_are_added_by_name_and_addressed_by_name() {
    let file = r#"{"channel": {"namespaces": [{"name": "in-file.x", "history_size": 1}]}}"#;
    let env = [
        ("CENTRIFUGO_CHANNEL_NAMESPACES", "chat news"),
        ("CENTRIFUGO_CHANNEL_NAMESPACES_CHAT_PRESENCE", "true"),
        ("CENTRIFUGO_CHANNEL_NAMESPACES_IN_FILE_X_HISTORY_SIZE", "2"),
        ("CENTRIFUGO_CONSUMERS", "kf"),
        ("CENTRIFUGO_CONSUMERS_KF_TYPE", "kafka"),
        ("CENTRIFUGO_CONSUMERS_KF_KAFKA_BROKERS", "a:1 b:2"),
    ];
    let loaded = load_all(".json", file, &env, &[]).expect("loads");
    assert_eq!(loaded.warnings, []);
    let namespaces = &loaded.config.channel.namespaces;
    assert_eq!(
        namespaces.iter().map(|ns| ns.name.as_str()).collect::<Vec<_>>(),
        ["in-file.x", "chat", "news"]
    );
    assert_eq!(namespaces[0].options.history_size, 2);
    assert!(namespaces[1].options.presence && !namespaces[2].options.presence);
    assert_eq!(loaded.config.consumers[0].kafka.brokers, ["a:1", "b:2"]);
}

#[test]
fn a_json_list_replaces_the_list_of_the_file() {
    let file = r#"{"proxies": [{"name": "old", "endpoint": "x"}]}"#;
    let env = [
        ("CENTRIFUGO_PROXIES", r#"[{"name": "new", "endpoint": "http://a"}]"#),
        ("CENTRIFUGO_PROXIES_NEW_TIMEOUT", "3s"),
        (
            "CENTRIFUGO_CLIENT_CONNECT_CODE_TO_UNIDIRECTIONAL_DISCONNECT_TRANSFORMS",
            r#"[{"code": 1, "to": {"code": 4500, "reason": "r"}}]"#,
        ),
    ];
    let config = load_all(".json", file, &env, &[]).expect("loads").config;
    assert_eq!(config.proxies.len(), 1);
    assert_eq!(
        (config.proxies[0].name.as_str(), config.proxies[0].proxy.timeout.to_string().as_str()),
        ("new", "3s")
    );
    assert_eq!(config.client.connect_code_to_unidirectional_disconnect.transforms[0].to.code, 4500);
}

#[test]
fn unknown_variables_are_named() {
    let env = [
        ("CENTRIFUGO_NO_SUCH_KEY", "1"),
        ("GYRE_NO_SUCH_KEY", "1"),
        ("CENTRIFUGO_VAR_X", "1"),
        ("CENTRIFUGO_SERVICE_HOST", "1"),
        ("CENTRIFUGO_MAIN_PORT_8000_TCP", "1"),
        ("OTHER", "1"),
    ];
    let loaded = load_all(".json", "{}", &env, &[]).expect("loads");
    let name = |name: &str| Warning::UnknownVariable { name: name.to_owned() };
    assert_eq!(loaded.warnings, [name("CENTRIFUGO_NO_SUCH_KEY"), name("GYRE_NO_SUCH_KEY")]);
}

#[test]
fn a_variable_that_does_not_fit_is_named() {
    let refusal = |name: &str, value: &str| {
        load_all(".json", "{}", &[(name, value)], &[]).expect_err("refused").to_string()
    };
    assert_eq!(
        refusal("CENTRIFUGO_CLIENT_INSECURE", "yes"),
        r#"environment variable CENTRIFUGO_CLIENT_INSECURE: expected true or false, found "yes""#
    );
    assert!(
        refusal("GYRE_CLIENT_PING_INTERVAL", "5")
            .starts_with("environment variable GYRE_CLIENT_PING_INTERVAL: ")
    );
    assert!(refusal("CENTRIFUGO_CONSUMERS", "[{").contains("expected a list of objects as JSON"));
    let missing = refusal("CENTRIFUGO_RPC_PROXY_HTTP_STATIC_HEADERS", r#"{"a": "${CENTRIFUGO_VAR_NONE}"}"#);
    assert_eq!(
        missing,
        r#"rpc.proxy.http.static_headers: environment variable "CENTRIFUGO_VAR_NONE" is not set"#
    );
}
