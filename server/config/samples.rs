//! The configuration written out: as the tree of a file, as environment variables, as a minimal file to start with.

use aws_lc_rs::rand;
use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::describe::{self, Shown};
use super::setting::{List, Node, Section};
use super::{Config, ConfigError};

impl Config {
    /// All values as the tree of a file, in order of declaration. `broker.redisnats`, which is unreleased, is left
    /// out.
    pub fn to_tree(&self) -> Value {
        let mut tree = tree_of(&mut self.clone());
        if let Some(broker) = tree.get_mut("broker").and_then(Value::as_object_mut) {
            broker.shift_remove("redisnats");
        }
        tree
    }

    /// All values as environment variables, sorted by name, with values quoted where they are no numbers or
    /// booleans. With the tree of a file, see [`Config::file_tree`], only those it sets to something else than zero.
    pub fn to_variables(&self, only: Option<&Value>) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        // The walk never fails.
        let _ = describe::values(&mut self.clone(), &mut |path, name, value| {
            let (is_zero, text) = match value {
                Shown::Leaf(leaf) => {
                    let text = leaf.write_text();
                    let plain = matches!(leaf.type_name(), "bool" | "int" | "duration");
                    (leaf.is_zero(), if plain { text } else { quoted(&text) })
                }
                Shown::List(list) => (list.is_empty(), quoted(&list_text(list))),
            };
            if only.is_none_or(|tree| !is_zero && is_set(tree, path)) {
                variables.push((name.to_owned(), text));
            }
        });
        variables.sort();
        variables
    }
}

/// Whether the tree of a file has a value at `path`.
fn is_set(tree: &Value, path: &str) -> bool {
    let found = path.split('.').try_fold(tree, |tree, key| {
        match key.strip_prefix('[').and_then(|k| k.strip_suffix(']')) {
            Some(index) => tree.get(index.parse::<usize>().ok()?),
            None => tree.get(key),
        }
    });
    found.is_some_and(|value| !value.is_null())
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The names of named items, separated by spaces; other items as JSON.
fn list_text(list: &mut dyn List) -> String {
    if list.is_named() {
        let names: Vec<_> = (0..list.len()).filter_map(|index| list.name(index).cloned()).collect();
        return names.join(" ");
    }
    items_of(list).to_string()
}

fn items_of(list: &mut dyn List) -> Value {
    (0..list.len()).map(|index| tree_of(list.item(index))).collect()
}

fn tree_of(section: &mut dyn Section) -> Value {
    let mut tree = Map::new();
    // The walk never fails.
    let _ = collect(section, &mut tree);
    tree.into()
}

fn collect(section: &mut dyn Section, tree: &mut Map<String, Value>) -> Result<(), ConfigError> {
    section.visit(&mut |field, node| {
        let value = match node {
            Node::Section(below) if field.flat => return collect(below, tree),
            Node::Section(below) => tree_of(below),
            Node::Leaf(leaf) => leaf.write(),
            Node::List(list) => items_of(list),
        };
        tree.insert(field.key.to_owned(), value);
        Ok(())
    })
}

/// A minimal configuration with fresh secrets.
///
/// # Errors
/// When the system gives no random bytes.
pub fn minimal() -> Result<Value, aws_lc_rs::error::Unspecified> {
    Ok(json!({
        "client": {
            "token": {"hmac_secret_key": secret(64)?},
            "allowed_origins": [],
        },
        "admin": {"enabled": false, "password": secret(16)?, "secret": secret(64)?},
        "http_api": {"key": secret(64)?},
    }))
}

/// `bytes` random bytes as base64 for addresses, without padding.
fn secret(bytes: usize) -> Result<String, aws_lc_rs::error::Unspecified> {
    let mut buffer = vec![0; bytes];
    rand::fill(&mut buffer)?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(buffer))
}
