//! PEM material in the three notations the configuration takes.

use std::path::Path;

use base64::Engine as _;
use serde_json::Value;

use super::leaf_setting;
use crate::config::setting::Leaf;

/// PEM blocks, the same in base64, or the path of a file that holds them; read by [`Pem::load`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Pem(String);

/// Why PEM material could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// The value is none of the three notations.
    #[error("value is neither PEM, nor PEM in base64, nor the path of an existing file")]
    Unknown,
    /// The named file exists and could not be read.
    #[error("cannot read PEM file {path}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The named file holds something else.
    #[error("file {path} holds no PEM block")]
    NoBlock {
        /// The file.
        path: String,
    },
}

impl Pem {
    /// Takes the value as written, without looking at it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// True if nothing was set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The PEM text: the value itself, else decoded from base64, else read from the file it names.
    ///
    /// Order and blocking: reads a file; meant for start and reload.
    ///
    /// # Errors
    /// [`PemError`]; a retry helps only if the file changes.
    pub fn load(&self) -> Result<String, PemError> {
        if has_block(&self.0) {
            return Ok(self.0.clone());
        }
        let decoded = base64::engine::general_purpose::STANDARD.decode(self.0.trim());
        if let Some(text) =
            decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok()).filter(|t| has_block(t))
        {
            return Ok(text);
        }
        if !Path::new(&self.0).exists() {
            return Err(PemError::Unknown);
        }
        let text = std::fs::read_to_string(&self.0)
            .map_err(|source| PemError::Read { path: self.0.clone(), source })?;
        if has_block(&text) { Ok(text) } else { Err(PemError::NoBlock { path: self.0.clone() }) }
    }
}

fn has_block(text: &str) -> bool {
    text.contains("-----BEGIN ") && text.contains("-----END ")
}

impl std::fmt::Debug for Pem {
    /// Tells whether something is set; the value may be a private key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "Pem(empty)" } else { "Pem(…)" })
    }
}

leaf_setting!(Pem);

impl Leaf for Pem {
    fn type_name(&self) -> &'static str {
        "pem"
    }
    fn read(&mut self, value: &Value) -> Result<(), String> {
        self.0 = super::plain::string_of(value).ok_or("expected PEM, PEM in base64, or a path")?;
        Ok(())
    }
    fn read_text(&mut self, text: &str) -> Result<(), String> {
        text.clone_into(&mut self.0);
        Ok(())
    }
    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }
    fn write(&self) -> Value {
        self.0.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

    #[test]
    fn the_three_notations_yield_the_same_text() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("cert.pem");
        std::fs::write(&path, BLOCK).expect("file written");
        let base64 = base64::engine::general_purpose::STANDARD.encode(BLOCK);
        for value in [BLOCK.to_owned(), base64, path.display().to_string()] {
            assert_eq!(Pem::new(value).load().expect("loads"), BLOCK);
        }
    }

    #[test]
    fn other_values_are_refused() {
        assert!(matches!(Pem::new("no such file").load(), Err(PemError::Unknown)));
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let path = file.path().display().to_string();
        assert!(matches!(Pem::new(path).load(), Err(PemError::NoBlock { .. })));
    }
}
