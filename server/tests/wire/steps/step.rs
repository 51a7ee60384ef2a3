//! A step taken apart into verb, connection, argument and options.

use serde_json::{Map, Value};

use crate::template::Variables;

pub struct Step {
    pub verb: String,
    pub connection: String,
    pub argument: Value,
    options: Map<String, Value>,
}

impl Step {
    /// Expands a step as written in a file.
    pub fn new(raw: &Map<String, Value>, variables: &Variables) -> Result<Self, String> {
        let mut members = raw.iter();
        let (head, argument) = members.next().ok_or("empty step")?;
        let (verb, connection) = head.split_once('@').unwrap_or((head, "a"));
        let mut options = Map::new();
        for (name, value) in members {
            options.insert(name.clone(), super::expand(value, variables)?);
        }
        Ok(Self {
            verb: verb.to_owned(),
            connection: connection.to_owned(),
            argument: super::expand(argument, variables)?,
            options,
        })
    }

    /// Takes an option out; what is left at the end is an error.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.options.shift_remove(name)
    }

    pub fn text(&self) -> Result<&str, String> {
        self.argument.as_str().ok_or_else(|| format!("{} takes a text", self.verb))
    }

    pub fn object(&self) -> Result<Map<String, Value>, String> {
        match &self.argument {
            Value::Object(members) => Ok(members.clone()),
            Value::Null | Value::Bool(_) => Ok(Map::new()),
            _ => Err(format!("{} takes an object", self.verb)),
        }
    }

    /// The argument as a list; anything but a list is a list of one.
    pub fn list(&self) -> Vec<Value> {
        match &self.argument {
            Value::Array(items) => items.clone(),
            other => vec![other.clone()],
        }
    }

    /// Refuses options the verb did not take.
    pub fn finish(&self) -> Result<(), String> {
        match self.options.keys().next() {
            Some(name) => Err(format!("{} has no option {name:?}", self.verb)),
            None => Ok(()),
        }
    }
}
