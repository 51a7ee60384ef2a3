//! Maps of strings to strings.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::leaf_setting;
use crate::config::setting::Leaf;

/// Names and values, such as static headers of a proxy.
///
/// Files write an object, whose keys lose their case as all keys of files do, or a list of `{key, value}`, whose
/// keys keep it. Values may refer to environment variables as `${CENTRIFUGO_VAR_X}` or `${GYRE_VAR_X}`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StringMap(BTreeMap<String, String>);

impl fmt::Debug for StringMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f)
    }
}

impl StringMap {
    /// Names and values in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the keys below `value`; keys that held dots were taken apart and are joined again.
    fn take_object(&mut self, prefix: &str, value: &Value) -> Result<(), String> {
        match value {
            Value::Object(entries) => entries.iter().try_for_each(|(key, value)| {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                self.take_object(&path, value)
            }),
            Value::String(text) => {
                self.0.insert(prefix.to_owned(), text.clone());
                Ok(())
            }
            _ => Err(format!("expected a string for key {prefix:?}")),
        }
    }

    fn take_pair(&mut self, index: usize, item: &Value) -> Result<(), String> {
        let part = |name: &str| {
            item.get(name)
                .and_then(Value::as_str)
                .ok_or_else(|| format!("expected a string as {name} of item [{index}]"))
        };
        let (key, value) = (part("key")?, part("value")?);
        if self.0.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("key {key:?} of item [{index}] occurs twice"));
        }
        Ok(())
    }
}

leaf_setting!(StringMap);

impl Leaf for StringMap {
    fn type_name(&self) -> &'static str {
        "map"
    }
    fn read(&mut self, value: &Value) -> Result<(), String> {
        self.0.clear();
        match value {
            Value::Object(_) => self.take_object("", value),
            Value::Array(items) => {
                items.iter().enumerate().try_for_each(|(index, item)| self.take_pair(index, item))
            }
            _ => Err("expected an object or a list of {key, value}".into()),
        }
    }
    fn read_text(&mut self, text: &str) -> Result<(), String> {
        let value: Value = serde_json::from_str(text).map_err(|_| "expected a JSON object of strings")?;
        self.read(&value)
    }
    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }
    fn write(&self) -> Value {
        self.iter()
            .map(|(key, value)| (key.to_owned(), Value::from(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
    /// Names only: values are headers and the like, which carry credentials.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
    fn expand(&mut self, variable: &dyn Fn(&str) -> Option<String>) -> Result<(), String> {
        for value in self.0.values_mut() {
            *value = expanded(value, variable)?;
        }
        Ok(())
    }
}

/// Replaces each reference to a custom variable in `text`; other `${…}` stay as they are.
fn expanded(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        match after.split_once('}') {
            Some((name, tail)) if name.starts_with("CENTRIFUGO_VAR_") || name.starts_with("GYRE_VAR_") => {
                let value =
                    variable(name).ok_or_else(|| format!("environment variable {name:?} is not set"))?;
                out.push_str(&value);
                rest = tail;
            }
            _ => {
                out.push_str("${");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Vec<(String, String)>, String> {
        let mut map = StringMap::default();
        map.read(&value)?;
        Ok(map.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn an_object_and_a_list_of_pairs_are_read() {
        let pairs = vec![("X-A".to_owned(), "1".to_owned())];
        assert_eq!(read(json!({"X-A": "1"})), Ok(pairs.clone()));
        assert_eq!(read(json!([{"key": "X-A", "value": "1"}])), Ok(pairs));
        assert_eq!(read(json!({"a": {"b": "1"}})), Ok(vec![("a.b".to_owned(), "1".to_owned())]));
    }

    #[test]
    fn a_key_given_twice_and_a_value_that_is_no_string_are_refused() {
        assert!(read(json!([{"key": "a", "value": "1"}, {"key": "a", "value": "2"}])).is_err());
        assert!(read(json!({"a": 1})).is_err());
    }

    #[test]
    fn references_to_custom_variables_are_replaced() {
        let known = |name: &str| (name == "CENTRIFUGO_VAR_X").then(|| "secret".to_owned());
        assert_eq!(
            expanded("Bearer ${CENTRIFUGO_VAR_X} ${HOME}", &known).as_deref(),
            Ok("Bearer secret ${HOME}")
        );
        assert!(expanded("${CENTRIFUGO_VAR_Y}", &known).is_err());
    }
}
