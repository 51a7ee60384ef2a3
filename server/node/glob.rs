//! Patterns of channel names, in the dialect the server API documents: `*` and `**` any text,
//! `?` one character, `[abc]`, `[a-z]`, `[!abc]` and `[!a-z]` one character of a set,
//! `{one,two}` alternatives, `\` takes the next character literally.

use regex::{Regex, RegexBuilder};
use std::iter::Peekable;
use std::str::Chars;

/// A compiled pattern. Matching takes time linear in the name, whatever the pattern.
#[derive(Clone, Debug)]
pub struct Glob(Regex);

/// Why a pattern means nothing.
#[derive(Debug, thiserror::Error)]
pub enum GlobError {
    /// A set is not closed.
    #[error("character set is not closed")]
    OpenSet,
    /// A set holds nothing, or a range and more than a range.
    #[error("character set is neither characters nor one range")]
    BadSet,
    /// The upper end of a range is below its lower end.
    #[error("range {0:?} to {1:?} is empty")]
    EmptyRange(char, char),
    /// The pattern needs more memory than a pattern may.
    #[error("pattern is too large")]
    TooLarge(#[source] Box<regex::Error>),
}

/// Most memory a compiled pattern may take, in bytes.
const SIZE_LIMIT: usize = 1 << 20;

impl Glob {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// See [`GlobError`]; the caller's pattern is at fault.
    pub fn compile(pattern: &str) -> Result<Self, GlobError> {
        let mut expression = String::from("^(?s:");
        let mut characters = pattern.chars().peekable();
        let mut alternatives = 0usize;
        while let Some(character) = characters.next() {
            match character {
                '*' => expression.push_str(".*"),
                '?' => expression.push('.'),
                '[' => set(&mut characters, &mut expression)?,
                '{' => {
                    alternatives += 1;
                    expression.push_str("(?:");
                }
                ',' if alternatives > 0 => expression.push('|'),
                '}' if alternatives > 0 => {
                    alternatives -= 1;
                    expression.push(')');
                }
                // A backslash at the end escapes nothing.
                '\\' => literal(characters.next(), &mut expression),
                other => literal(Some(other), &mut expression),
            }
        }
        // Alternatives that are not closed end with the pattern.
        expression.extend(std::iter::repeat_n(')', alternatives + 1));
        expression.push('$');
        let compiled = RegexBuilder::new(&expression).size_limit(SIZE_LIMIT).build();
        compiled.map(Self).map_err(|error| GlobError::TooLarge(Box::new(error)))
    }

    /// Whether the whole of `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

fn set(characters: &mut Peekable<Chars<'_>>, expression: &mut String) -> Result<(), GlobError> {
    expression.push('[');
    let mut first = characters.next().ok_or(GlobError::OpenSet)?;
    if first == '!' {
        expression.push('^');
        first = characters.next().ok_or(GlobError::OpenSet)?;
    }
    if characters.peek() == Some(&'-') {
        characters.next();
        let last = characters.next().ok_or(GlobError::OpenSet)?;
        if last < first {
            return Err(GlobError::EmptyRange(first, last));
        }
        literal(Some(first), expression);
        expression.push('-');
        literal(Some(last), expression);
        if characters.next().ok_or(GlobError::OpenSet)? != ']' {
            return Err(GlobError::BadSet);
        }
    } else {
        if first == ']' {
            return Err(GlobError::BadSet);
        }
        let mut member = Some(first);
        loop {
            match member.ok_or(GlobError::OpenSet)? {
                ']' => break,
                '\\' => literal(characters.next(), expression),
                other => literal(Some(other), expression),
            }
            member = characters.next();
        }
    }
    expression.push(']');
    Ok(())
}

fn literal(character: Option<char>, expression: &mut String) {
    if let Some(character) = character {
        // Sets have further characters with a meaning than expressions have; a backslash before
        // any ASCII punctuation is allowed in both.
        if character.is_ascii_punctuation() {
            expression.push('\\');
        }
        expression.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, yes, no) in [
            ("news", vec!["news"], vec!["news1", "anews", ""]),
            ("*", vec!["", "a", "a:b/c\n"], vec![]),
            ("chat:*", vec!["chat:", "chat:1", "chat:a:b"], vec!["chat", "xchat:"]),
            ("**x***", vec!["x", "axb"], vec!["y"]),
            ("a?c", vec!["abc", "aяc"], vec!["ac", "abbc"]),
            ("[abc]", vec!["a", "c"], vec!["d", "ab"]),
            ("[!abc]", vec!["d", "^"], vec!["a", ""]),
            ("[a-c]x", vec!["bx"], vec!["dx", "-x"]),
            ("[!a-c]", vec!["d"], vec!["b"]),
            ("[a^&~-]", vec!["^", "&", "~", "-", "a"], vec!["b"]),
            ("[a\\]]", vec!["]", "a"], vec!["\\"]),
            ("{a,b*}", vec!["a", "b", "bc"], vec!["c", "ab"]),
            ("x{,1}", vec!["x", "x1"], vec!["x,1"]),
            ("{a,{b,c}d}", vec!["a", "bd", "cd"], vec!["b"]),
            ("{a,b", vec!["a", "b"], vec!["{a,b"]),
            ("a,b}-]!", vec!["a,b}-]!"], vec!["a"]),
            ("\\*\\{", vec!["*{"], vec!["x{"]),
            ("a\\", vec!["a"], vec!["a\\"]),
            ("$(.+)#1|2", vec!["$(.+)#1|2"], vec!["2"]),
        ] {
            let glob = Glob::compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            for name in yes {
                assert!(glob.matches(name), "{pattern} {name:?}");
            }
            for name in no {
                assert!(!glob.matches(name), "{pattern} {name:?}");
            }
        }
    }

    #[test]
    fn broken_patterns_are_refused() {
        for pattern in ["[", "[!", "[a", "[]", "[]a]", "[a-", "[a-b", "[a-bc]", "[z-a]", "[!]"] {
            assert!(Glob::compile(pattern).is_err(), "{pattern}");
        }
        assert!(matches!(Glob::compile(&"{a,".repeat(5_000)), Err(GlobError::TooLarge(_))));
    }
}
