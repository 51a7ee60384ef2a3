//! Why a configuration was refused, and what in it deserves a look.

use std::path::PathBuf;

/// Why a configuration cannot be used. All of them need a human; none helps by itself to retry.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file exists and could not be read.
    #[error("cannot read configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The name ends in none of the known formats.
    #[error("configuration file {} has no known format, expected the extension json, yaml, yml or toml", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// The file is not what its extension says.
    #[error("cannot parse configuration file {}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why, in the words of the parser.
        reason: String,
    },
    /// A key of the file, or a flag, has a value it cannot have.
    #[error("{key}: {reason}")]
    Value {
        /// Dotted path of the key.
        key: String,
        /// What was found and what was expected.
        reason: String,
    },
    /// An environment variable has a value it cannot have.
    #[error("environment variable {name}: {reason}")]
    Variable {
        /// Its name.
        name: String,
        /// What was expected; the value is left out where it may be a secret.
        reason: String,
    },
    /// Values do not go together, or break a rule that spans keys.
    #[error("{0}")]
    Invalid(String),
    /// A feature is switched on that this build does not have.
    #[error("{key}: {feature} is not available in this version")]
    Unsupported {
        /// Dotted path of the key that switches it on.
        key: String,
        /// What it is.
        feature: String,
    },
}

/// What does not stop the start and yet deserves a look.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// There is no configuration file at the given path.
    FileNotFound {
        /// The path.
        path: PathBuf,
    },
    /// The file holds a key nobody reads.
    UnknownKey {
        /// Its dotted path, items of lists as `[i]`.
        key: String,
    },
    /// The environment holds a variable with our prefix that nobody reads.
    UnknownVariable {
        /// Its name.
        name: String,
    },
}

impl Warning {
    /// The message operators know, without its field.
    pub const fn message(&self) -> &'static str {
        match self {
            Self::FileNotFound { .. } => "config file not found",
            Self::UnknownKey { .. } => "unknown key in configuration file",
            Self::UnknownVariable { .. } => "unknown var in environment",
        }
    }
}
