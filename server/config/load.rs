//! Where values come from, and in which order.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::Value;

use super::environment::{self, Environment};
use super::{Config, ConfigError, Warning, read};

/// A configuration with what deserves a look about its sources.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The values, not yet checked against each other: see [`Config::validate`].
    pub config: Config,
    /// Missing file, unknown keys, unknown variables, in this order.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// Reads the file at `path`, then the variables of `env`, then `flags`; the later wins.
    ///
    /// A file that is not there is a warning, not an error. `env` is usually [`std::env::vars`]; `flags` are
    /// dotted keys with the values explicitly given on the command line.
    ///
    /// Order and blocking: reads one file; meant for start and reload.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing that cannot be read; a retry helps only if a source changes.
    pub fn load(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        flags: &[(String, Value)],
    ) -> Result<Loaded, ConfigError> {
        let mut config = Self::default();
        let mut warnings = Vec::new();
        if let Some(path) = path {
            match Self::file_tree(path)? {
                Some(tree) => read::read(&mut config, &tree, &mut warnings)?,
                None => warnings.push(Warning::FileNotFound { path: path.to_owned() }),
            }
        }
        let mut environment = Environment::new(env.collect::<BTreeMap<_, _>>());
        environment::overlay(&mut config, &mut environment, &mut warnings)?;
        for (key, value) in flags {
            read::assign(&mut config, key, value)?;
        }
        environment::expand(&mut config, &environment)?;
        warnings.extend(environment.unknown().map(|name| Warning::UnknownVariable { name }));
        Ok(Loaded { config, warnings })
    }
}

impl Config {
    /// What the file at `path` says, with keys in lower case and dotted keys as levels; nothing if there is no such
    /// file.
    ///
    /// # Errors
    /// [`ConfigError`] if the file is there and cannot be read or parsed.
    pub fn file_tree(path: &Path) -> Result<Option<Value>, ConfigError> {
        Ok(read_file(path)?.map(read::normalized))
    }

    /// Takes values from a tree alone, without file, environment and flags.
    ///
    /// # Errors
    /// [`ConfigError`] for the first value that cannot be read.
    pub fn from_value(tree: Value) -> Result<Loaded, ConfigError> {
        let mut config = Self::default();
        let mut warnings = Vec::new();
        read::read(&mut config, &read::normalized(tree), &mut warnings)?;
        Ok(Loaded { config, warnings })
    }
}

/// A format of configuration files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.json`
    Json,
    /// `.yaml` and `.yml`
    Yaml,
    /// `.toml`
    Toml,
}

impl Format {
    /// The format the extension of `path` names.
    ///
    /// # Errors
    /// [`ConfigError::Format`] for any other extension.
    pub fn of(path: &Path) -> Result<Self, ConfigError> {
        match path
            .extension()
            .and_then(|extension| extension.to_str())
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("json") => Ok(Self::Json),
            Some("yaml" | "yml") => Ok(Self::Yaml),
            Some("toml") => Ok(Self::Toml),
            _ => Err(ConfigError::Format { path: path.to_owned() }),
        }
    }

    /// Reads `text`; an empty one is an empty object.
    ///
    /// # Errors
    /// Where and why, in the words of the parser.
    pub fn parse(self, text: &str) -> Result<Value, String> {
        let text = text.trim_start_matches('\u{feff}');
        let tree = match self {
            _ if text.trim().is_empty() => Value::Null,
            Self::Json => serde_json::from_str(text).map_err(|error| error.to_string())?,
            Self::Yaml => serde_saphyr::from_str(text).map_err(|error| first_line(&error))?,
            Self::Toml => toml::from_str(text).map_err(|error| {
                let place = first_line(&error);
                format!("{place}: {}", toml::de::Error::message(&error))
            })?,
        };
        match tree {
            Value::Null => Ok(Value::Object(serde_json::Map::new())),
            Value::Object(_) => Ok(tree),
            _ => Err("expected an object at the top".into()),
        }
    }

    /// Writes a tree, ending with a line break.
    ///
    /// # Errors
    /// What the format cannot express, such as a null in TOML.
    pub fn print(self, tree: &Value) -> Result<String, String> {
        let mut text = match self {
            Self::Json => serde_json::to_string_pretty(tree).map_err(|error| error.to_string())?,
            Self::Yaml => serde_saphyr::to_string(tree).map_err(|error| error.to_string())?,
            Self::Toml => toml::to_string_pretty(tree).map_err(|error| error.to_string())?,
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(text)
    }
}

/// What a parser says, without the lines of the file it quotes, which may hold secrets.
fn first_line(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// The tree of the file, or nothing if there is no such file.
fn read_file(path: &Path) -> Result<Option<Value>, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
    };
    let tree = Format::of(path)?.parse(&text);
    tree.map(Some).map_err(|reason| ConfigError::Syntax { path: path.to_owned(), reason })
}
