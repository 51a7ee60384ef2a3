//! Values from the command line.

use serde_json::json;

use super::*;

#[test]
fn flags_win_over_environment_and_file() {
    let file = r#"{"http_server": {"port": 1}, "health": {"enabled": true}}"#;
    let env = [("CENTRIFUGO_HTTP_SERVER_PORT", "2")];
    let flags =
        [("http_server.port", json!("3")), ("health.enabled", json!(false)), ("engine.type", json!("redis"))];
    let config = load_all(".json", file, &env, &flags).expect("loads").config;
    assert_eq!((config.http_server.port, config.health.enabled), (3, false));
    assert_eq!(config.engine.kind, "redis");
}

#[test]
fn a_flag_that_does_not_fit_is_refused() {
    let error = load_all(".json", "{}", &[], &[("http_server.port", json!("x"))]).expect_err("refused");
    assert_eq!(error.to_string(), r#"http_server.port: expected a number between 0 and 65535, found "x""#);
    assert!(load_all(".json", "{}", &[], &[("no.such", json!(1))]).is_err());
}
