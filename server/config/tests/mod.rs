//! Tests of the room: one check per source of values, with text in and text out.

mod environment;
mod files;
mod flags;
mod reference;
mod rules;
mod secrets;

use std::io::Write as _;

use serde_json::Value;

use super::{Config, ConfigError, Loaded};

/// Loads `text` as a file with the given extension, with variables and flags.
fn load_all(
    extension: &str,
    text: &str,
    env: &[(&str, &str)],
    flags: &[(&str, Value)],
) -> Result<Loaded, ConfigError> {
    let mut file = tempfile::Builder::new().suffix(extension).tempfile().expect("temporary file");
    file.write_all(text.as_bytes()).expect("file written");
    let flags: Vec<_> = flags.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(file.path()), env, &flags)
}

/// Loads JSON that gives no cause for warnings.
fn load(json: &str) -> Config {
    let loaded = load_all(".json", json, &[], &[]).expect("loads");
    assert_eq!(loaded.warnings, []);
    loaded.config
}

/// The message with which JSON is refused.
fn refusal(json: &str) -> String {
    load_all(".json", json, &[], &[]).expect_err("refused").to_string()
}

/// Loads an empty file with variables that give no cause for warnings.
fn load_env(env: &[(&str, &str)]) -> Config {
    let loaded = load_all(".json", "{}", env, &[]).expect("loads");
    assert_eq!(loaded.warnings, []);
    loaded.config
}
