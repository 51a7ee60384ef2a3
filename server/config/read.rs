//! From the tree of a file to sections: keys without case, dots as levels, unknown keys by path.

use serde_json::{Map, Value};

use super::ConfigError;
use super::error::Warning;
use super::setting::{Field, Leaf, List, Node, Section};

/// Lower-cases all keys and takes dotted ones apart, so that `"A.b": 1` means `{"a": {"b": 1}}`.
pub(super) fn normalized(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let mut out = Map::new();
            for (key, value) in entries {
                insert(&mut out, &key.to_lowercase(), normalized(value));
            }
            out.into()
        }
        Value::Array(items) => items.into_iter().map(normalized).collect::<Vec<_>>().into(),
        scalar => scalar,
    }
}

/// Sets `value` at the dotted `path` below `object`; objects are merged.
fn insert(object: &mut Map<String, Value>, path: &str, value: Value) {
    let (key, rest) = match path.split_once('.') {
        Some((key, rest)) if !key.is_empty() && !rest.is_empty() => (key, Some(rest)),
        _ => (path, None),
    };
    match (rest, value) {
        (Some(rest), value) => {
            let below = object.entry(key).or_insert_with(|| Map::new().into());
            if !below.is_object() {
                *below = Map::new().into();
            }
            if let Value::Object(below) = below {
                insert(below, rest, value);
            }
        }
        (None, Value::Object(new)) => match object.get_mut(key) {
            Some(Value::Object(existing)) => {
                new.into_iter().for_each(|(key, value)| insert(existing, &key, value));
            }
            _ => {
                object.insert(key.to_owned(), new.into());
            }
        },
        (None, value) => {
            object.insert(key.to_owned(), value);
        }
    }
}

/// Reads a normalized tree into `section`, leaving what is not mentioned as it is.
///
/// # Errors
/// [`ConfigError::Value`] with the dotted path of the first value that does not fit.
pub(super) fn read(
    section: &mut dyn Section,
    tree: &Value,
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
    read_section(section, tree, "", warnings)
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn read_section(
    section: &mut dyn Section,
    tree: &Value,
    path: &str,
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
    let entries = match tree {
        Value::Object(entries) => entries,
        Value::Null => return Ok(()),
        _ => return Err(ConfigError::Value { key: path.to_owned(), reason: "expected an object".into() }),
    };
    let mut known = Vec::new();
    read_fields(section, entries, path, &mut known, warnings)?;
    for key in entries.keys().filter(|key| !known.contains(&key.as_str())) {
        warnings.push(Warning::UnknownKey { key: join(path, key) });
    }
    Ok(())
}

/// Reads the fields of `section` and of the sections flattened into it from `entries`.
fn read_fields(
    section: &mut dyn Section,
    entries: &Map<String, Value>,
    path: &str,
    known: &mut Vec<&'static str>,
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
    section.visit(&mut |field, node| {
        if field.flat
            && let Node::Section(below) = node
        {
            return read_fields(below, entries, path, known, warnings);
        }
        known.push(field.key);
        let Some(value) = entries.get(field.key).filter(|value| !value.is_null()) else {
            return Ok(());
        };
        let key = join(path, field.key);
        match node {
            Node::Leaf(leaf) => {
                read_leaf(leaf, field, value).map_err(|reason| ConfigError::Value { key, reason })
            }
            Node::Section(below) => read_section(below, value, &key, warnings),
            Node::List(list) => read_list(list, value, &key, warnings),
        }
    })
}

fn read_leaf(leaf: &mut dyn Leaf, field: &Field, value: &Value) -> Result<(), String> {
    leaf.read(value).map_err(|reason| format!("{reason}, found {}", shown(value)))?;
    // As upstream has it, zero in a file means "not set"; only the environment can force it.
    if leaf.is_zero() && !field.default.is_empty() { leaf.read_text(field.default) } else { Ok(()) }
}

pub(super) fn read_list(
    list: &mut dyn List,
    value: &Value,
    path: &str,
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        Value::Object(_) => std::slice::from_ref(value),
        _ => {
            let reason = format!("expected a list of objects, found {}", shown(value));
            return Err(ConfigError::Value { key: path.to_owned(), reason });
        }
    };
    list.clear();
    for (index, item) in items.iter().enumerate() {
        list.push();
        read_section(list.item(index), item, &format!("{path}.[{index}]"), warnings)?;
    }
    Ok(())
}

/// A value for error messages: short scalars as they are, the kind of anything else.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.len() <= 32 => format!("{text:?}"),
        Value::String(text) => format!("a string of {} bytes", text.len()),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// Sets the leaf at a dotted path, as flags do.
///
/// # Errors
/// [`ConfigError::Value`] if there is no such key or the value does not fit.
pub(super) fn assign(section: &mut dyn Section, path: &str, value: &Value) -> Result<(), ConfigError> {
    let mut found = false;
    assign_below(section, "", path, value, &mut found)?;
    if found {
        return Ok(());
    }
    Err(ConfigError::Value { key: path.to_owned(), reason: "there is no such key".into() })
}

fn assign_below(
    section: &mut dyn Section,
    above: &str,
    path: &str,
    value: &Value,
    found: &mut bool,
) -> Result<(), ConfigError> {
    section.visit(&mut |field, node| {
        let key = if field.flat { above.to_owned() } else { join(above, field.key) };
        match node {
            Node::Section(below)
                if key.is_empty() || path.strip_prefix(&key).is_some_and(|rest| rest.starts_with('.')) =>
            {
                assign_below(below, &key, path, value, found)
            }
            Node::Leaf(leaf) if key == path => {
                *found = true;
                leaf.read(value).map_err(|reason| ConfigError::Value {
                    key,
                    reason: format!("{reason}, found {}", shown(value)),
                })
            }
            _ => Ok(()),
        }
    })
}
