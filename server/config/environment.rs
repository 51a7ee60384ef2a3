//! Values from environment variables: `CENTRIFUGO_` or `GYRE_`, then the path of the key in upper case, joined by
//! `_`. Where both prefixes name a key, `GYRE_` wins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::error::Warning;
use super::read;
use super::setting::{Leaf, List, Node, Section};
use super::{Config, ConfigError};

/// The prefixes, the winning one first.
pub(super) const PREFIXES: [&str; 2] = ["GYRE_", "CENTRIFUGO_"];

/// Variables Kubernetes sets for a service of our name.
static KUBERNETES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("^(?:CENTRIFUGO|GYRE)(?:_[A-Z0-9_]+)?_(?:PORT|SERVICE_)")
        .unwrap_or_else(|e| unreachable!("{e}"))
});

/// The variables, and which of them were asked for.
pub(super) struct Environment {
    variables: BTreeMap<String, String>,
    asked: BTreeSet<String>,
}

impl Environment {
    pub(super) fn new(variables: BTreeMap<String, String>) -> Self {
        Self { variables, asked: BTreeSet::new() }
    }

    /// Name and value of the variable for `path`, under the first prefix that has a value; an empty value counts
    /// as none.
    fn take(&mut self, path: &str) -> Option<(String, String)> {
        let mut found = None;
        for prefix in PREFIXES {
            let name = format!("{prefix}{path}");
            if found.is_none()
                && let Some(value) = self.variables.get(&name).filter(|value| !value.is_empty())
            {
                found = Some((name.clone(), value.clone()));
            }
            self.asked.insert(name);
        }
        found
    }

    fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    /// Variables with our prefix that no key asked for, less those that are not meant for us.
    pub(super) fn unknown(self) -> impl Iterator<Item = String> {
        let Self { variables, asked } = self;
        variables.into_keys().filter(move |name| {
            PREFIXES.iter().any(|prefix| {
                name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && !rest.starts_with("VAR_"))
            }) && !asked.contains(name)
                && !KUBERNETES.is_match(name)
        })
    }
}

/// How the name of an item stands in the names of its variables.
pub(super) fn item_name(name: &str) -> String {
    name.to_uppercase().replace(['.', '-'], "_")
}

/// Reads every variable that names a key of `config`.
///
/// # Errors
/// [`ConfigError::Variable`] for the first value that does not fit.
pub(super) fn overlay(
    config: &mut Config,
    environment: &mut Environment,
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
    overlay_section(config, environment, "", warnings)
}

fn overlay_section(
    section: &mut dyn Section,
    environment: &mut Environment,
    above: &str,
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
    section.visit(&mut |field, node| {
        let below = match (field.flat, above) {
            (true, above) => above.to_owned(),
            (false, "") => field.key.to_uppercase(),
            (false, above) => format!("{above}_{}", field.key.to_uppercase()),
        };
        match node {
            Node::Section(section) => overlay_section(section, environment, &below, warnings),
            Node::Leaf(leaf) => overlay_leaf(leaf, environment, &below),
            Node::List(list) => overlay_list(list, environment, &below, warnings),
        }
    })
}

fn overlay_leaf(leaf: &mut dyn Leaf, environment: &mut Environment, path: &str) -> Result<(), ConfigError> {
    let Some((name, value)) = environment.take(path) else { return Ok(()) };
    leaf.read_text(&value).map_err(|reason| {
        // Strings and PEM take any text, so a value that does not fit is no secret unless it is JSON.
        let found = read::shown(&Value::String(value));
        ConfigError::Variable { name, reason: format!("{reason}, found {found}") }
    })
}

fn overlay_list(
    list: &mut dyn List,
    environment: &mut Environment,
    path: &str,
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
    if let Some((name, value)) = environment.take(path) {
        if list.is_named() && !value.trim_start().starts_with('[') {
            append(list, &value);
        } else {
            let tree: Value = serde_json::from_str(&value).map_err(|error| ConfigError::Variable {
                name: name.clone(),
                reason: format!("expected a list of objects as JSON: {error}"),
            })?;
            read::read_list(list, &read::normalized(tree), &path.to_lowercase(), warnings).map_err(
                |error| match error {
                    ConfigError::Value { key, reason } => {
                        ConfigError::Variable { name, reason: format!("{key}: {reason}") }
                    }
                    other => other,
                },
            )?;
        }
    }
    if !list.is_named() {
        return Ok(());
    }
    for index in 0..list.len() {
        let Some(name) = list.name(index).map(|name| item_name(name)) else { continue };
        overlay_section(list.item(index), environment, &format!("{path}_{name}"), warnings)?;
    }
    Ok(())
}

/// Adds an item for each of the names separated by spaces.
fn append(list: &mut dyn List, names: &str) {
    for new in names.split_whitespace() {
        list.push();
        let index = list.len() - 1;
        if let Some(name) = list.name(index) {
            new.clone_into(name);
        }
    }
}

/// Replaces references to variables in values that may hold them.
///
/// # Errors
/// [`ConfigError::Value`] with the path of the key that refers to a variable that is not set.
pub(super) fn expand(config: &mut Config, environment: &Environment) -> Result<(), ConfigError> {
    expand_section(config, environment, "")
}

fn expand_section(
    section: &mut dyn Section,
    environment: &Environment,
    above: &str,
) -> Result<(), ConfigError> {
    section.visit(&mut |field, node| {
        let key = if field.flat { above.to_owned() } else { read::join(above, field.key) };
        match node {
            Node::Section(section) => expand_section(section, environment, &key),
            Node::Leaf(leaf) => leaf
                .expand(&|name| environment.get(name))
                .map_err(|reason| ConfigError::Value { key, reason }),
            Node::List(list) => (0..list.len()).try_for_each(|index| {
                expand_section(list.item(index), environment, &format!("{key}.[{index}]"))
            }),
        }
    })
}
