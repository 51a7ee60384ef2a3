//! Shell-like patterns for origins and channel listings.

use super::pattern::PatternError;
use regex::Regex;

/// A pattern that must match a whole text: `*` any characters, `?` one, `[ab]`, `[a-z]` and `[!a]` one of a
/// set, `{x,y}` one of several patterns, `\` takes away the meaning of the next character.
#[derive(Clone, Debug)]
pub struct Glob {
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Everything,
    Exactly(Box<str>),
    Pattern(Regex),
}

impl Glob {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// `PatternError` if a bracket or brace is not closed, a set is empty or the pattern ends in `\`.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let form = if pattern == "*" || pattern == "**" {
            Form::Everything
        } else if !pattern.contains(['*', '?', '[', ']', '{', '}', '\\']) {
            Form::Exactly(pattern.into())
        } else {
            let regex = translate(pattern).map_err(|reason| PatternError::new(pattern, reason))?;
            Form::Pattern(Regex::new(&regex).map_err(|error| PatternError::new(pattern, error))?)
        };
        Ok(Self { form })
    }

    /// Tells whether all of `text` matches; takes time linear in its length.
    pub fn is_match(&self, text: &str) -> bool {
        match &self.form {
            Form::Everything => true,
            Form::Exactly(expected) => **expected == *text,
            Form::Pattern(regex) => regex.is_match(text),
        }
    }
}

fn translate(pattern: &str) -> Result<String, &'static str> {
    let mut out = String::from(r"(?s)\A(?:");
    let mut depth = 0_usize;
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        match char {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => out.push_str(&set(&mut chars)?),
            '{' => {
                depth += 1;
                out.push_str("(?:");
            }
            ',' if depth > 0 => out.push('|'),
            '}' if depth > 0 => {
                depth -= 1;
                out.push(')');
            }
            '\\' => push_literal(chars.next().ok_or("it ends in an escape")?, &mut out),
            _ => push_literal(char, &mut out),
        }
    }
    if depth > 0 {
        return Err("a brace is not closed");
    }
    out.push_str(r")\z");
    Ok(out)
}

fn set(chars: &mut std::str::Chars) -> Result<String, &'static str> {
    let text = chars.as_str();
    let end = text.find(']').ok_or("a bracket is not closed")?;
    let (members, rest) = (&text[..end], &text[end + 1..]);
    *chars = rest.chars();
    let (negation, members) = match members.strip_prefix('!') {
        Some(members) => ("^", members),
        None => ("", members),
    };
    if members.is_empty() {
        return Err("a set is empty");
    }
    let mut out = format!("[{negation}");
    let list: Vec<char> = members.chars().collect();
    if let [low, '-', high] = list[..] {
        push_literal(low, &mut out);
        out.push('-');
        push_literal(high, &mut out);
    } else {
        list.into_iter().for_each(|member| push_literal(member, &mut out));
    }
    out.push(']');
    Ok(out)
}

fn push_literal(char: char, out: &mut String) {
    out.push_str(&regex_syntax::escape(char.encode_utf8(&mut [0; 4])));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_whole_texts() {
        for (pattern, yes, no) in [
            ("*", "anything", ""),
            ("https://*.example.com", "https://a.b.example.com", "https://example.com"),
            ("https://example.com", "https://example.com", "https://example.com.evil"),
            ("a?c", "abc", "ac"),
            ("[abc]x", "bx", "dx"),
            ("[a-c]x", "bx", "-x"),
            ("[!a-c]x", "dx", "bx"),
            ("{http,https}://x", "https://x", "ftp://x"),
            ("{a*,b{1,2}}", "b2", "b3"),
            (r"\*", "*", "x"),
            ("a.c", "a.c", "abc"),
            ("news:*", "news:a\nb", "new:a"),
        ] {
            let glob = Glob::new(pattern).unwrap();
            assert!(glob.is_match(yes), "{pattern} {yes}");
            assert!(pattern == "*" || !glob.is_match(no), "{pattern} {no}");
        }
    }

    #[test]
    fn refuses_malformed_patterns() {
        for pattern in ["[a", "{a", "a\\", "[]", "[!]"] {
            assert!(Glob::new(pattern).is_err(), "{pattern}");
        }
    }
}
