//! What commands that read or write configurations share.

use crate::config::{Config, Format, Loaded};
use std::fmt;
use std::io::Write as _;
use std::path::Path;

/// What is wrong, as one line for a human.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem(String);

impl Problem {
    /// `context`, then the error with all it came from.
    pub(super) fn new(context: &str, error: &dyn std::error::Error) -> Self {
        let mut text = format!("{context}: {error}");
        let mut source = error.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        Self(text)
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Loads and checks the configuration at `path`, or that of the environment alone.
pub(super) fn valid(
    path: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Problem> {
    let loaded = Config::load(path, env, &[]).map_err(|error| Problem::new("error", &error))?;
    loaded.config.validate().map_err(|error| Problem::new("error", &error))?;
    Ok(loaded)
}

/// Prints a tree in the format the extension of `path` names.
pub(super) fn print(tree: &serde_json::Value, path: &Path) -> Result<String, Problem> {
    let format = Format::of(path).map_err(|error| Problem::new("error", &error))?;
    format.print(tree).map_err(|reason| Problem::text(format!("error: {reason}")))
}

/// Writes a file only the owner can read; never over another.
pub(super) fn write_new(path: &Path, text: &str) -> Result<(), Problem> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Problem::text("error: target file already exists"),
        _ => Problem::new("error", &error),
    })?;
    file.write_all(text.as_bytes()).map_err(|error| Problem::new("error", &error))
}
