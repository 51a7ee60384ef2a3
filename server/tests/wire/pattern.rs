//! Patterns over JSON values.
//!
//! A pattern is a JSON value. Objects match when they have exactly the same keys, in any order; arrays when they
//! have the same length and order. Special strings and objects loosen that:
//!
//! | pattern | matches |
//! |---|---|
//! | `$any`, `$string`, `$int`, `$bool`, `$object`, `$uuid` | a present value of that kind |
//! | `$absent` (as an object's member) | the key is missing |
//! | `$capture:name` | any present value, kept as variable `name` |
//! | `$regex:expression` | a string in which the expression is found |
//! | `{$more: true, …}` | an object with further keys |
//! | `{$between: [low, high]}` | a number in the closed interval |
//! | `{$json: pattern}` | a string holding JSON that matches |
//! | `{$unordered: […]}` | an array with these elements in any order |
//! | `{$delta: {base, result}}` | a string or hex rendering of a Fossil delta turning `base` into `result` |

use std::collections::HashMap;

use serde_json::Value;

use crate::fossil;

/// Compares a value with a pattern; `None` stands for a missing value.
///
/// Captured values are added to `captures` even when a later part of the pattern fails.
pub fn check(
    pattern: &Value,
    actual: Option<&Value>,
    path: &str,
    captures: &mut HashMap<String, Value>,
) -> Result<(), String> {
    let Some(actual) = actual else {
        return match pattern {
            Value::String(text) if text == "$absent" => Ok(()),
            _ => Err(format!("{path}: missing, expected {pattern}")),
        };
    };
    let mismatch = || Err(format!("{path}: expected {pattern}, got {:.300}", actual.to_string()));
    let holds = |condition: bool| if condition { Ok(()) } else { mismatch() };
    match pattern {
        Value::String(text) if text.starts_with('$') => match text.as_str() {
            "$any" => Ok(()),
            "$absent" => mismatch(),
            "$string" => holds(actual.as_str().is_some_and(|text| !text.is_empty())),
            "$int" => holds(actual.is_i64() || actual.is_u64()),
            "$bool" => holds(actual.is_boolean()),
            "$object" => holds(actual.is_object()),
            "$uuid" => holds(actual.as_str().is_some_and(is_uuid)),
            other => {
                if let Some(name) = other.strip_prefix("$capture:") {
                    captures.insert(name.to_owned(), actual.clone());
                    Ok(())
                } else if let Some(expression) = other.strip_prefix("$regex:") {
                    let expression = regex::Regex::new(expression).map_err(|e| format!("{path}: {e}"))?;
                    holds(actual.as_str().is_some_and(|text| expression.is_match(text)))
                } else {
                    holds(actual == pattern)
                }
            }
        },
        Value::Object(object) if object.contains_key("$between") => {
            let bounds = object["$between"].as_array().cloned().unwrap_or_default();
            let bound = |index: usize| bounds.get(index).and_then(Value::as_f64);
            match (actual.as_f64(), bound(0), bound(1)) {
                (Some(number), Some(low), Some(high)) => holds(low <= number && number <= high),
                _ => mismatch(),
            }
        }
        Value::Object(object) if object.contains_key("$json") => {
            let parsed: Option<Value> = actual.as_str().and_then(|text| serde_json::from_str(text).ok());
            match parsed {
                Some(parsed) => check(&object["$json"], Some(&parsed), &format!("{path}(json)"), captures),
                None => mismatch(),
            }
        }
        Value::Object(object) if object.contains_key("$delta") => {
            let part = |name: &str| object["$delta"][name].as_str().unwrap_or_default().as_bytes().to_vec();
            let Some(delta) = actual.as_str() else { return mismatch() };
            let produced = fossil::apply(&part("base"), delta.as_bytes())
                .map_err(|e| format!("{path}: {e} in delta {delta:?}"))?;
            if produced == part("result") {
                Ok(())
            } else {
                Err(format!("{path}: delta {delta:?} gives {:?}", String::from_utf8_lossy(&produced)))
            }
        }
        Value::Object(object) if object.contains_key("$unordered") => {
            let patterns = object["$unordered"].as_array().cloned().unwrap_or_default();
            let Some(items) = actual.as_array() else { return mismatch() };
            if items.len() != patterns.len() {
                return mismatch();
            }
            let mut left: Vec<&Value> = items.iter().collect();
            for pattern in &patterns {
                let found = left.iter().position(|item| check(pattern, Some(item), path, captures).is_ok());
                match found {
                    Some(index) => drop(left.remove(index)),
                    None => return Err(format!("{path}: no element matches {pattern} in {actual}")),
                }
            }
            Ok(())
        }
        Value::Object(object) => {
            let Some(members) = actual.as_object() else { return mismatch() };
            let open = object.contains_key("$more");
            for (key, pattern) in object.iter().filter(|(key, _)| *key != "$more") {
                check(pattern, members.get(key), &format!("{path}.{key}"), captures)?;
            }
            match members.keys().find(|key| !object.contains_key(*key)) {
                Some(key) if !open => {
                    Err(format!("{path}: unexpected key {key:?} in {:.300}", actual.to_string()))
                }
                _ => Ok(()),
            }
        }
        Value::Array(patterns) => {
            let Some(items) = actual.as_array() else { return mismatch() };
            if items.len() != patterns.len() {
                return mismatch();
            }
            for (index, (pattern, item)) in patterns.iter().zip(items).enumerate() {
                check(pattern, Some(item), &format!("{path}[{index}]"), captures)?;
            }
            Ok(())
        }
        _ => holds(actual == pattern),
    }
}

/// Compares text with a literal in which `<*>` stands for any run of characters.
pub fn text_matches(literal: &str, actual: &str) -> bool {
    let expression: Vec<String> = literal.split("<*>").map(regex::escape).collect();
    regex::Regex::new(&format!("(?s)^{}$", expression.join(".*"))).is_ok_and(|regex| regex.is_match(actual))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(index, character)| match index {
            8 | 13 | 18 | 23 => character == '-',
            _ => character.is_ascii_hexdigit(),
        })
}
