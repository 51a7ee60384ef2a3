//! Patterns of origins and channels, and regular expressions of the configuration.

use gyre::auth::OriginPolicy;
use gyre::channel::pattern;
use gyre::node::Glob;

/// Compiles the pattern before the first byte 0 in each dialect and asks it about the text behind.
pub fn patterns(data: &[u8]) {
    let (pattern, text) = super::halves(data);
    let (Ok(pattern), Ok(text)) = (std::str::from_utf8(pattern), std::str::from_utf8(text)) else { return };
    let literal = !pattern.contains(['*', '?', '[', ']', '{', '}', '\\']);
    if let Ok(glob) = Glob::compile(pattern) {
        assert!(!literal || glob.matches(text) == (pattern == text));
        let policy = OriginPolicy::new(&[pattern]).expect("a pattern that is good alone is good in a list");
        assert!(policy.allows(None) && policy.allows(Some("")));
        assert!(
            text.is_empty()
                || !policy.allows(Some(text))
                || policy.allows(Some(&text.to_uppercase()))
                || text.to_uppercase().to_lowercase() != text.to_lowercase()
        );
    }
    let parsed = pattern::parse(pattern);
    if let Ok(expression) = pattern::compile(pattern) {
        assert!(parsed.is_ok());
        let _ = expression.is_match(text);
    }
}
