//! Regular expressions of the configuration, which are written in the dialect of Go (RE2).
//!
//! The engine is the same kind of automaton, linear in the text. Its syntax differs in a few places that
//! would change what is allowed: here `\d`, `\w`, `\s` and `\b` mean ASCII, brackets within a class are
//! plain characters, and `{` is one where it counts nothing.

use regex::Regex;
use regex_syntax::ast::Ast;
use std::iter::Peekable;
use std::str::Chars;

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern:?} is malformed: {reason}")]
pub struct PatternError {
    /// The pattern as configured.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

impl PatternError {
    pub(super) fn new(pattern: &str, reason: impl ToString) -> Self {
        Self { pattern: pattern.to_owned(), reason: reason.to_string() }
    }
}

/// Compiles a pattern; it matches anywhere in a text unless it has anchors.
///
/// # Errors
/// `PatternError` says what is wrong.
pub fn compile(pattern: &str) -> Result<Regex, PatternError> {
    Regex::new(&translate(pattern)).map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => {
            PatternError::new(pattern, format_args!("it needs more than {limit} bytes"))
        }
        error => PatternError::new(pattern, error),
    })
}

/// Reads a pattern without compiling it, to judge its form.
///
/// # Errors
/// `PatternError` says what is wrong.
pub fn parse(pattern: &str) -> Result<Ast, PatternError> {
    regex_syntax::ast::parse::Parser::new()
        .parse(&translate(pattern))
        .map_err(|error| PatternError::new(pattern, error.kind()))
}

/// Rewrites what this engine reads differently. Malformed patterns stay malformed.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' => escape(&mut chars, &mut out, false),
            '[' => class(&mut chars, &mut out),
            '{' if !counts(chars.clone()) => out.push_str("\\{"),
            _ => out.push(char),
        }
    }
    out
}

fn escape(chars: &mut Peekable<Chars>, out: &mut String, in_class: bool) {
    match chars.next() {
        Some('d') => out.push_str("[0-9]"),
        Some('D') => out.push_str("[^0-9]"),
        Some('w') => out.push_str("[0-9A-Za-z_]"),
        Some('W') => out.push_str("[^0-9A-Za-z_]"),
        Some('s') => out.push_str("[\\t\\n\\f\\r ]"),
        Some('S') => out.push_str("[^\\t\\n\\f\\r ]"),
        Some('b') if !in_class => out.push_str("(?-u:\\b)"),
        Some('Q') if !in_class => quoted(chars, out),
        Some(sign @ ('<' | '>')) => out.push(sign),
        Some(other) => out.extend(['\\', other]),
        None => out.push('\\'),
    }
}

/// The rest of `\Q…\E`, or of the pattern.
fn quoted(chars: &mut Peekable<Chars>, out: &mut String) {
    let mut literal = String::new();
    while let Some(char) = chars.next() {
        if char == '\\' && chars.next_if_eq(&'E').is_some() {
            break;
        }
        literal.push(char);
    }
    out.push_str(&regex_syntax::escape(&literal));
}

/// The rest of a bracketed class.
fn class(chars: &mut Peekable<Chars>, out: &mut String) {
    out.push('[');
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    let mut after_dash = false;
    while let Some(char) = chars.next() {
        let dash = char == '-' && !first && !after_dash;
        match char {
            ']' if !first => {
                out.push(']');
                return;
            }
            '[' if chars.peek() == Some(&':') => {
                out.push('[');
                for char in chars.by_ref() {
                    out.push(char);
                    if char == ']' {
                        break;
                    }
                }
            }
            '\\' => escape(chars, out, true),
            '-' if dash => out.push('-'),
            '[' | ']' | '&' | '~' | '-' => out.extend(['\\', char]),
            _ => out.push(char),
        }
        after_dash = dash;
        first = false;
    }
}

/// Tells whether what follows a brace is a count: `{2}`, `{2,}` or `{2,3}`.
fn counts(chars: Peekable<Chars>) -> bool {
    let text: String = chars.take_while(|char| *char != '}').take(16).collect();
    let (low, high) = text.split_once(',').unwrap_or((&text, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !low.is_empty() && digits(low) && digits(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorthand_classes_mean_ascii() {
        let word = compile(r"^\w+$").unwrap();
        assert!(word.is_match("a_1"));
        assert!(!word.is_match("é"));
        let digit = compile(r"^[\d-]+$").unwrap();
        assert!(digit.is_match("1-2"));
        assert!(!digit.is_match("١"));
        assert!(compile(r"^\D$").unwrap().is_match("é"));
        assert!(compile(r"^[^\s]$").unwrap().is_match("x"));
    }

    #[test]
    fn classes_and_braces_are_read_as_in_go() {
        for (pattern, yes, no) in [
            (r"^[[a]+$", "[a", "b"),
            (r"^[a&&b]+$", "a&b", "c"),
            (r"^[]a]+$", "]a", "["),
            (r"^[^]a]+$", "b", "]"),
            (r"^[[:digit:]x]+$", "1x", "d:"),
            (r"^a{$", "a{", "a"),
            (r"^a{,2}$", "a{,2}", "aa"),
            (r"^a{2}$", "aa", "a"),
            (r"^a{1,2}$", "aa", "aaa"),
            (r"^\<\>$", "<>", "x"),
            (r"^\Qa.b\E+$", "a.bb", "axb"),
            (r"^[+--]+$", "+,-", "."),
        ] {
            let compiled = compile(pattern).unwrap();
            assert!(compiled.is_match(yes), "{pattern} {yes}");
            assert!(!compiled.is_match(no), "{pattern} {no}");
        }
    }

    #[test]
    fn malformed_patterns_are_named() {
        for pattern in ["(", "[a", "a\\", "*", "[z-a]"] {
            assert_eq!(compile(pattern).unwrap_err().pattern, pattern);
            assert!(parse(pattern).is_err() || pattern == "[z-a]", "{pattern}");
        }
    }
}
