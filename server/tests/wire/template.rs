//! Variables and computed values in scenario steps.
//!
//! `${name}` inside a string is replaced by the variable's text; a string that is nothing but `${name}` becomes the
//! variable's value. Objects with one of these members are computed: `$token` (a signed token, see `keys::mint`),
//! `$now` (unix seconds plus the given number), `$now_ms`, `$repeat: {text, times}`, `$json_text` (the JSON text of a
//! value), `$base64` (of a text), `$at: [list, index]`.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::keys;

pub type Variables = HashMap<String, Value>;

/// Expands a value; patterns pass unchanged because they use other `$` words.
pub fn expand(value: &Value, variables: &Variables) -> Result<Value, String> {
    match value {
        Value::String(text) => {
            if let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'))
                && !name.contains('$')
            {
                return variables.get(name).cloned().ok_or_else(|| format!("no variable {name}"));
            }
            expand_text(text, variables).map(Value::String)
        }
        Value::Array(items) => {
            items.iter().map(|item| expand(item, variables)).collect::<Result<_, _>>().map(Value::Array)
        }
        Value::Object(members) => {
            let mut expanded = Map::new();
            for (key, value) in members {
                expanded.insert(expand_text(key, variables)?, expand(value, variables)?);
            }
            compute(expanded)
        }
        other => Ok(other.clone()),
    }
}

fn expand_text(text: &str, variables: &Variables) -> Result<String, String> {
    let mut output = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let end = rest[start..].find('}').ok_or_else(|| format!("unclosed variable in {text:?}"))? + start;
        let name = &rest[start + 2..end];
        output.push_str(&rest[..start]);
        match variables.get(name).ok_or_else(|| format!("no variable {name}"))? {
            Value::String(value) => output.push_str(value),
            other => output.push_str(&other.to_string()),
        }
        rest = &rest[end + 1..];
    }
    output.push_str(rest);
    Ok(output)
}

fn compute(members: Map<String, Value>) -> Result<Value, String> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let Some((name, argument)) = members.iter().next().filter(|_| members.len() == 1) else {
        return Ok(Value::Object(members));
    };
    let shift = argument.as_i64().unwrap_or_default();
    Ok(match name.as_str() {
        "$token" => keys::mint(argument.as_object().ok_or("$token takes an object")?)?.into(),
        "$now" => (since_epoch.as_secs() as i64 + shift).into(),
        "$now_ms" => (since_epoch.as_millis() as i64 + shift).into(),
        "$json_text" => argument.to_string().into(),
        "$base64" => STANDARD.encode(argument.as_str().unwrap_or_default()).into(),
        "$at" => argument[0][argument[1].as_u64().unwrap_or_default() as usize].clone(),
        "$repeat" => {
            let times = argument["times"].as_u64().ok_or("$repeat needs times")?;
            argument["text"].as_str().ok_or("$repeat needs text")?.repeat(times as usize).into()
        }
        _ => Value::Object(members),
    })
}
