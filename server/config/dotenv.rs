//! Variables from a `.env` file, for starting the server by hand.

use std::collections::BTreeMap;
use std::path::Path;

use super::ConfigError;

/// The variables of this process, and below them those of the file at `path` if it is there: a variable that is set
/// is never overridden.
///
/// Lines are `NAME=value`, with or without `export` in front; values may stand in single or double quotes, of which
/// double ones know `\n`, `\"` and `\\`; `#` starts a comment at the start of a line or after a blank.
///
/// Order and blocking: reads one file; meant for the start of the server, not for commands and reloads.
///
/// # Errors
/// [`ConfigError::Read`] if the file is there and cannot be read, [`ConfigError::Syntax`] with the number of the first
/// line that is none of the above.
pub fn variables_with_file(path: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut variables = match std::fs::read_to_string(path) {
        Ok(text) => parse(&text).map_err(|reason| ConfigError::Syntax { path: path.to_owned(), reason })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
    };
    variables.extend(variables_of_process());
    Ok(variables)
}

/// The variables of this process that are text; others cannot hold values of keys.
pub fn variables_of_process() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut variables = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) =
            assignment(line).ok_or_else(|| format!("line {}: expected NAME=value", index + 1))?;
        variables.insert(name.to_owned(), value);
    }
    Ok(variables)
}

fn assignment(line: &str) -> Option<(&str, String)> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
    is_name.then_some((name, unquoted(value.trim())?))
}

fn unquoted(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        return rest.split_once('\'').map(|(inside, _)| inside.to_owned());
    }
    let Some(rest) = value.strip_prefix('"') else {
        let end = value.find(" #").unwrap_or(value.len());
        return Some(value[..end].trim_end().to_owned());
    };
    let mut out = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return Some(out),
            '\\' => match characters.next()? {
                'n' => out.push('\n'),
                escaped @ ('"' | '\\' | '$') => out.push(escaped),
                other => out.extend(['\\', other]),
            },
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_names_and_values() {
        let text = "# comment\n\nA=1\nexport B = two words # comment\nC='x # y'\nD=\"a\\n\\\"b\\\"\"\nE=\n";
        let expected = [("A", "1"), ("B", "two words"), ("C", "x # y"), ("D", "a\n\"b\""), ("E", "")];
        let expected: BTreeMap<_, _> =
            expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn other_lines_are_refused_with_their_number() {
        for text in ["A=1\nB", "A=1\n=1", "A=1\nB=\"x", "A=1\nB='x"] {
            assert_eq!(parse(text), Err("line 2: expected NAME=value".to_owned()), "{text}");
        }
    }

    #[test]
    fn a_variable_that_is_set_is_not_overridden() {
        let (name, value) = std::env::vars().next().expect("a variable");
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join(".env");
        std::fs::write(&path, format!("{name}='other'\nNO_SUCH_VARIABLE_YET=1\n")).expect("file written");
        let variables = variables_with_file(&path).expect("read");
        assert_eq!((&variables[&name], variables["NO_SUCH_VARIABLE_YET"].as_str()), (&value, "1"));
        assert!(variables_with_file(&dir.path().join("none")).is_ok());
    }
}
