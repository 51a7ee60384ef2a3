//! Which web pages may connect (AU-10 of the compatibility list).

use crate::node::{Glob, GlobError};

/// A pattern of `client.allowed_origins` means nothing.
#[derive(Debug, thiserror::Error)]
#[error("origin pattern {pattern:?} is malformed")]
pub struct OriginError {
    pattern: String,
    source: GlobError,
}

/// `client.allowed_origins`, compiled.
///
/// A request without `Origin` does not come from a browser's page and is always let through. Otherwise the
/// whole origin (`scheme://host[:port]`) must match one of the patterns; an empty list refuses every page.
#[derive(Clone, Debug)]
pub struct OriginPolicy {
    allowed: Vec<Glob>,
    any: bool,
}

impl OriginPolicy {
    /// Compiles patterns. They are compared with the origin in lower case and are not lower-cased
    /// themselves, so one with capital letters matches nothing.
    ///
    /// # Errors
    /// [`OriginError`] names the malformed pattern.
    pub fn new<P: AsRef<str>>(patterns: &[P]) -> Result<Self, OriginError> {
        let compile = |pattern: &P| {
            let pattern = pattern.as_ref();
            Glob::compile(pattern).map_err(|source| OriginError { pattern: pattern.to_owned(), source })
        };
        let allowed = patterns.iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { allowed, any: matches!(patterns, [only] if only.as_ref() == "*") })
    }

    /// Tells whether every page may connect, which deserves a warning at start.
    pub fn allows_any(&self) -> bool {
        self.any
    }

    /// Judges the value of an `Origin` header; `None` or empty when there is none.
    pub fn allows(&self, origin: Option<&str>) -> bool {
        match origin {
            None | Some("") => true,
            Some(_) if self.any => true,
            // A pattern must not find its end in a path that no browser sends (RFC 6454 section 7).
            Some(origin) if has_more_than_an_origin(origin) => false,
            Some(origin) => {
                let origin = origin.to_lowercase();
                self.allowed.iter().any(|pattern| pattern.matches(&origin))
            }
        }
    }
}

fn has_more_than_an_origin(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?', '#', '@']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], origin: Option<&str>, expected: bool) {
        let policy = OriginPolicy::new(patterns).unwrap();
        assert_eq!(policy.allows(origin), expected, "{patterns:?} {origin:?}");
    }

    #[test]
    fn judges_the_whole_origin() {
        check(&[], None, true);
        check(&[], Some(""), true);
        check(&[], Some("https://example.com"), false);
        check(&["*"], Some("https://example.com"), true);
        check(&["*"], Some("null"), true);
        let exact = ["https://example.com"];
        check(&exact, Some("https://example.com"), true);
        check(&exact, Some("HTTPS://Example.COM"), true);
        for evil in [
            "https://example.com.evil",
            "https://evil/https://example.com",
            "https://a.example.com",
            "http://example.com",
            "https://example.com:8443",
            "https://example.comx",
            "xhttps://example.com",
            "https://example.com\n",
            "https://xn--exmple-cua.com",
            "null",
        ] {
            check(&exact, Some(evil), false);
        }
        let subdomains = ["https://*.example.com"];
        check(&subdomains, Some("https://a.b.example.com"), true);
        check(&subdomains, Some("https://example.com"), false);
        check(&subdomains, Some("https://example.com.evil"), false);
        for evil in ["https://evil/.example.com", "https://evil?.example.com", "https://evil#.example.com"] {
            check(&subdomains, Some(evil), false);
        }
        check(&["*://*"], Some("file://"), true);
        check(&["https://Example.com"], Some("https://example.com"), false);
        check(&["http{,s}://localhost:300[0-9]"], Some("https://localhost:3007"), true);
        check(&["http{,s}://localhost:300[0-9]"], Some("https://localhost:3017"), false);
        check(&["https://a.com", "https://b.com"], Some("https://b.com"), true);
    }

    #[test]
    fn refuses_malformed_patterns() {
        assert!(OriginPolicy::new(&["https://[a"]).is_err());
    }
}
