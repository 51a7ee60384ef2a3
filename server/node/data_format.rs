//! Which payloads a channel takes.

use gyre_proto::json::is_valid;

/// `publication_data_format` of a namespace. A violation is answered with code 107.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataFormat {
    /// Anything but nothing; not checked for JSON.
    #[default]
    NotEmpty,
    /// Valid JSON.
    Json,
    /// A JSON object.
    JsonObject,
    /// Anything, even nothing.
    Binary,
}

impl DataFormat {
    /// Reads the configured word; the empty one is the default.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "" => Self::NotEmpty,
            "json" => Self::Json,
            "json_object" => Self::JsonObject,
            "binary" => Self::Binary,
            _ => return None,
        })
    }

    /// Tells whether a payload may be published; reads it at most once, nesting costs no stack.
    pub fn accepts(self, data: &[u8]) -> bool {
        match self {
            Self::NotEmpty => !data.is_empty(),
            Self::Json => is_valid(data),
            Self::JsonObject => data.trim_ascii_start().first() == Some(&b'{') && is_valid(data),
            Self::Binary => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataFormat::{Binary, Json, JsonObject, NotEmpty};

    #[test]
    fn accepts_what_the_format_says() {
        let formats = [NotEmpty, Json, JsonObject, Binary];
        for (data, expected) in [
            ("", [false, false, false, true]),
            ("null", [true, true, false, true]),
            ("{\"a\":1}", [true, true, true, true]),
            (" \n{} ", [true, true, true, true]),
            ("{} x", [true, false, false, true]),
            ("[{}]", [true, true, false, true]),
            ("{", [true, false, false, true]),
            ("\u{1}", [true, false, false, true]),
        ] {
            assert_eq!(formats.map(|format| format.accepts(data.as_bytes())), expected, "{data:?}");
        }
        let deep = "[".repeat(1_000_000);
        assert!(!Json.accepts(deep.as_bytes()));
    }

    #[test]
    fn reads_the_configured_words() {
        let words = ["", "json", "json_object", "binary"].map(DataFormat::parse);
        assert_eq!(words, [NotEmpty, Json, JsonObject, Binary].map(Some));
        assert_eq!(DataFormat::parse("JSON"), None);
    }
}
