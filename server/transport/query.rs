//! Connect requests in the query of a URL, for clients that can send nothing else.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// Name of the parameter that holds a connect command or request.
pub const CONNECT: &str = "cf_connect";

/// The value of the first parameter `name` of a query, decoded; none when it is absent or cannot be decoded.
///
/// Source: WHATWG URL, `application/x-www-form-urlencoded`: a plus sign stands for a space.
pub fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = query?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let value = pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)?;
    let mut escapes = value.split('%').skip(1);
    if !escapes.all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit())) {
        return None;
    }
    let spaced = if value.contains('+') { Cow::Owned(value.replace('+', " ")) } else { Cow::Borrowed(value) };
    percent_decode_str(&spaced).decode_utf8().ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        let value = |query| parameter(Some(query), CONNECT);
        assert_eq!(value("a=1&cf_connect=%7B%22a%22:+1%7d&cf_connect=2").as_deref(), Some("{\"a\": 1}"));
        assert_eq!(value("cf_connect").as_deref(), Some(""));
        assert_eq!(value("cf_connect=%2B+%c3%bc").as_deref(), Some("+ ü"));
        for broken in ["cf_connect=%ff", "cf_connect=%zz", "cf_connect={}%2", "cf_connect=%"] {
            assert_eq!(value(broken), None, "{broken}");
        }
        assert_eq!(value("xcf_connect=1"), None);
        assert_eq!(parameter(None, CONNECT), None);
    }
}
