//! Text that is for nobody's eyes.

use std::fmt;
use std::ops::Deref;

use serde_json::Value;

use super::leaf_setting;
use crate::config::setting::Leaf;

/// A key, a password, a connection string. Used as the text it is, but `{:?}` shows only whether it is set, and
/// there is no `{}`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        secret.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(empty)" } else { "Secret(…)" })
    }
}

leaf_setting!(Secret);

impl Leaf for Secret {
    fn type_name(&self) -> &'static str {
        "string"
    }
    fn read(&mut self, value: &Value) -> Result<(), String> {
        self.0.read(value)
    }
    fn read_text(&mut self, text: &str) -> Result<(), String> {
        self.0.read_text(text)
    }
    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }
    fn write(&self) -> Value {
        self.0.write()
    }
}

/// An address without what it may hold besides a place: user and password before the last `@`, and the query.
pub(super) fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let rest = rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, place)| format!("…@{place}"));
    let rest = rest.split_once('?').map_or(rest.clone(), |(place, _)| format!("{place}?…"));
    format!("{scheme}://{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_what_is_secret() {
        for (text, shown) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://u:p@host:6379/1", "redis://…@host:6379/1"),
            ("redis://u:p/?@host?sentinel_password=x", "redis://…@host?…"),
            ("nats://u:p@a:1,nats://u:p@b:2", "nats://…@b:2"),
            ("https://host/hook?key=x", "https://host/hook?…"),
            ("host:6379", "host:6379"),
            ("a@b?c", "a@b?c"),
        ] {
            assert_eq!(without_credentials(text), shown, "{text}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", [Secret::from("hush"), Secret::default()]), "[Secret(…), Secret(empty)]");
    }
}
