//! Command lines in, text and files out.

use super::*;
use crate::seams::UnixMillis;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a command line prints, and whether it succeeds.
fn run(line: &[&str]) -> (String, bool) {
    let Invocation::Command(command) = parse_from(std::iter::once(&"gyre").chain(line)).expect("parsed")
    else {
        panic!("{line:?} is no command")
    };
    let mut out = Vec::new();
    let code = command.run(std::iter::empty(), UnixMillis(0), &mut out).expect("ran");
    (String::from_utf8(out).expect("text"), format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS))
}

fn file(dir: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).expect("file written");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("path is text")
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("temporary directory")
}

#[test]
fn without_a_command_the_server_runs_with_flags() {
    let line = ["gyre", "-c", "x.yaml", "-p", "9000", "--health.enabled", "--admin.enabled=false"];
    let Ok(Invocation::Serve { config_path, flags }) = parse_from(line) else { panic!("not the server") };
    assert_eq!(config_path, Path::new("x.yaml"));
    let expected: Vec<(String, Value)> = vec![
        ("http_server.port".into(), json!("9000")),
        ("admin.enabled".into(), json!("false")),
        ("health.enabled".into(), json!("true")),
    ];
    assert_eq!(flags, expected);
    let Ok(Invocation::Serve { config_path, flags }) = parse_from(["gyre"]) else { panic!("not the server") };
    assert_eq!((config_path.as_path(), flags.len()), (Path::new("config.json"), 0));
}

#[test]
fn every_flag_is_a_key() {
    let keys = crate::config::keys();
    let command = <ServerFlags as clap::Args>::augment_args(clap::Command::new("gyre"));
    for arg in command.get_arguments().filter(|arg| arg.get_id() != "config") {
        assert!(keys.iter().any(|key| key.path == arg.get_id().as_str()), "{}", arg.get_id());
    }
}

#[test]
fn mistakes_on_the_command_line_fail() {
    for line in [&["gyre", "nosuch"][..], &["gyre", "--nosuch"], &["gyre", "version", "--nosuch"]] {
        assert_eq!(parse_from(line).expect_err("refused").exit_code(), 2, "{line:?}");
    }
}

#[test]
fn version_names_both_programs() {
    let (out, ok) = run(&["version"]);
    assert!(
        ok && out.starts_with("gyre v") && out.ends_with("(compatible with Centrifugo v6.9.1)\n"),
        "{out}"
    );
}

#[test]
fn checkconfig_is_silent_about_valid_configurations() {
    let dir = dir();
    let good = file(&dir, "good.json", r#"{"foo": {"bar": 1}}"#);
    assert_eq!(run(&["checkconfig", "-c", text(&good)]), (String::new(), true));
    let (out, ok) = run(&["checkconfig", "--strict", "-c", text(&good)]);
    assert_eq!((out.as_str(), ok), ("unknown keys in config: foo\n", false));
}

#[test]
fn checkconfig_explains_what_is_wrong() {
    let dir = dir();
    let check = |json: &str, expected: &str| {
        let path = file(&dir, "config.json", json);
        let (out, ok) = run(&["checkconfig", "-c", text(&path)]);
        assert!(!ok && out.starts_with(expected), "{out}");
    };
    check(
        r#"{"client": {"insecure": "x"}}"#,
        "error getting config: client.insecure: expected true or false",
    );
    check(r#"{"broker": {"type": "x"}}"#, "error validating config: unknown broker: x\n");
    check(
        r#"{"client": {"token": {"rsa_public_key": "x"}}}"#,
        "error validating config: use section client.token: ",
    );
    check(r#"{"broker": {"enabled": true, "type": "postgres"}}"#, "error validating config: broker.type: ");
    check(
        r#"{"rpc": {"proxy": {"endpoint": "ftp://x"}, "without_namespace": {"proxy_enabled": true}}}"#,
        "error validating config: rpc.proxy.endpoint \"ftp://x\" cannot be used: ",
    );
    let missing = dir.path().join("none.json");
    assert_eq!(run(&["checkconfig", "-c", text(&missing)]), ("config file not found\n".into(), false));
}

#[test]
fn genconfig_writes_a_valid_configuration_once() {
    let dir = dir();
    for name in ["config.json", "config.toml", "config.yaml", "config.yml"] {
        let path = dir.path().join(name);
        assert_eq!(run(&["genconfig", "-c", text(&path)]), (String::new(), true), "{name}");
        assert_eq!(run(&["checkconfig", "-s", "-c", text(&path)]), (String::new(), true), "{name}");
        assert_eq!(
            run(&["genconfig", "-c", text(&path)]),
            ("error: target file already exists\n".into(), false)
        );
        #[cfg(unix)]
        {
            let mode =
                std::os::unix::fs::PermissionsExt::mode(&path.metadata().expect("exists").permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}

#[test]
fn defaultconfig_writes_every_key_and_keeps_the_values_of_a_base() {
    let dir = dir();
    let base =
        file(&dir, "base.json", r#"{"channel": {"namespaces": [{"name": "chat", "presence": true}]}}"#);
    for name in ["out.json", "out.toml", "out.yaml"] {
        let path = dir.path().join(name);
        assert_eq!(
            run(&["defaultconfig", "-b", text(&base), "-c", text(&path)]),
            (String::new(), true),
            "{name}"
        );
        let read =
            |path: &Path| crate::config::Config::load(Some(path), std::iter::empty(), &[]).expect("loads");
        assert_eq!(read(&path), read(&base), "{name}");
    }
    let (out, ok) = run(&["defaultconfig", "--dry-run"]);
    let tree: Value = serde_json::from_str(&out).expect("JSON");
    assert!(ok && tree["client"]["ping_interval"] == "25s" && tree["broker"].get("redisnats").is_none());
}

#[test]
fn defaultenv_prints_variables() {
    let (out, ok) = run(&["defaultenv"]);
    assert!(ok);
    for line in [
        "CENTRIFUGO_CLIENT_PING_INTERVAL=25s",
        "CENTRIFUGO_HTTP_SERVER_PORT=8000",
        "CENTRIFUGO_ENGINE_TYPE=\"memory\"",
        "CENTRIFUGO_CHANNEL_NAMESPACES=\"\"",
        "CENTRIFUGO_CLIENT_INSECURE=false",
    ] {
        assert!(out.lines().any(|found| found == line), "{line}");
    }
    let dir = dir();
    let json =
        r#"{"channel.namespaces": [{"name": "my-ns", "presence": true}], "health": {"enabled": false}}"#;
    let base = file(&dir, "base.json", json);
    let (out, ok) = run(&["defaultenv", "-b", text(&base), "--base-non-zero-only"]);
    let expected = "CENTRIFUGO_CHANNEL_NAMESPACES=\"my-ns\"\n\
                    CENTRIFUGO_CHANNEL_NAMESPACES_MY_NS_NAME=\"my-ns\"\n\
                    CENTRIFUGO_CHANNEL_NAMESPACES_MY_NS_PRESENCE=true\n";
    assert_eq!((out.as_str(), ok), (expected, true));
}

#[test]
fn configdoc_prints_markdown_of_a_section() {
    let (out, ok) = run(&["configdoc", "-m", "-s", "shutdown", "-l", "1"]);
    let expected = "## `shutdown`\n\nType: `object`\n\nGraceful shutdown.\n\n\
                    ### `shutdown.timeout`\n\nType: `duration`. Default: `30s`. Env: `CENTRIFUGO_SHUTDOWN_TIMEOUT`\n\n\
                    Time granted to connections before the process ends anyway.\n\n\
                    ### `shutdown.drain_rate`\n\nType: `int`. Env: `CENTRIFUGO_SHUTDOWN_DRAIN_RATE`\n\n\
                    Connections ended per second, more when the time granted would not suffice; zero ends all at once.\n\n";
    assert_eq!((out.as_str(), ok), (expected, true));
}

#[test]
fn token_commands_read_their_configuration() {
    let dir = dir();
    let config = file(&dir, "config.json", r#"{"client": {"token": {"hmac_secret_key": "s"}}}"#);
    let (token, ok) = run(&["gentoken", "-q", "-u", "7", "-c", text(&config)]);
    assert!(ok);
    let (out, ok) = run(&["checktoken", "-c", text(&config), &token]);
    assert!(ok && out.starts_with("valid token for user 7\n"), "{out}");
}
