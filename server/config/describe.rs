//! What there is to configure: every key with its type, default, environment name and documentation.

use super::setting::{Leaf, List, Node, Section};
use super::{Config, ConfigError};

/// One key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Dotted path; items of lists as `[]`.
    pub path: String,
    /// Type: bool, int, string, duration, pem, map, []string; object and []object for sections and their lists.
    pub kind: &'static str,
    /// Default in the notation of environment variables; empty where it is the zero value.
    pub default: &'static str,
    /// Environment variable; `<NAME>` stands for the name of an item. Sections and unnamed items have none.
    pub variable: Option<String>,
    /// Documentation.
    pub doc: String,
}

/// All keys, parents before children, in order of declaration.
pub fn keys() -> Vec<Key> {
    let mut keys = Vec::new();
    let place = Place { path: String::new(), variable: Some("CENTRIFUGO".to_owned()) };
    // The walk itself never fails and the closures below do not either.
    let _ = describe(&mut Config::default(), &place, &mut keys);
    keys
}

/// Where a section stands.
struct Place {
    path: String,
    /// Start of the names of variables; none below items without names.
    variable: Option<String>,
}

impl Place {
    fn below(&self, key: &str) -> Self {
        Self {
            path: super::read::join(&self.path, key),
            variable: self.variable.as_ref().map(|above| format!("{above}_{}", key.to_uppercase())),
        }
    }

    fn item(&self, named: bool) -> Self {
        Self {
            path: format!("{}[]", self.path),
            variable: self.variable.as_ref().filter(|_| named).map(|above| format!("{above}_<NAME>")),
        }
    }
}

fn describe(section: &mut dyn Section, place: &Place, keys: &mut Vec<Key>) -> Result<(), ConfigError> {
    section.visit(&mut |field, node| {
        if field.flat
            && let Node::Section(below) = node
        {
            return describe(below, place, keys);
        }
        let here = place.below(field.key);
        let mut key = Key {
            path: here.path.clone(),
            kind: "object",
            default: field.default,
            variable: None,
            doc: field.doc.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        match node {
            Node::Leaf(leaf) => {
                key.kind = leaf.type_name();
                // The name of an item is part of its address.
                let is_address = here.path.ends_with("[].name");
                key.variable = here.variable.filter(|_| !is_address);
                keys.push(key);
                Ok(())
            }
            Node::Section(below) => {
                keys.push(key);
                describe(below, &here, keys)
            }
            Node::List(list) => {
                key.kind = "[]object";
                key.variable.clone_from(&here.variable);
                keys.push(key);
                describe(&mut *list.sample(), &here.item(list.is_named()), keys)
            }
        }
    })
}

/// Shows every leaf and list of `config` with its path and environment name. The items of named lists follow
/// their list.
pub(super) fn values(config: &mut Config, show: &mut Show<'_>) -> Result<(), ConfigError> {
    values_below(config, "", "CENTRIFUGO", show)
}

/// Called with the dotted path, the environment name and the value of a key.
pub(super) type Show<'a> = dyn FnMut(&str, &str, Shown<'_>) + 'a;

/// A value of [`values`].
pub(super) enum Shown<'a> {
    /// One value.
    Leaf(&'a mut dyn Leaf),
    /// A list of sections.
    List(&'a mut dyn List),
}

fn values_below(
    section: &mut dyn Section,
    path: &str,
    variable: &str,
    show: &mut Show<'_>,
) -> Result<(), ConfigError> {
    section.visit(&mut |field, node| {
        if field.flat
            && let Node::Section(below) = node
        {
            return values_below(below, path, variable, show);
        }
        let path = super::read::join(path, field.key);
        let variable = format!("{variable}_{}", field.key.to_uppercase());
        match node {
            Node::Leaf(leaf) => show(&path, &variable, Shown::Leaf(leaf)),
            Node::Section(below) => return values_below(below, &path, &variable, show),
            Node::List(list) => {
                show(&path, &variable, Shown::List(list));
                for index in 0..list.len() {
                    let Some(name) = list.name(index).map(|name| super::environment::item_name(name)) else {
                        continue;
                    };
                    values_below(
                        list.item(index),
                        &format!("{path}.[{index}]"),
                        &format!("{variable}_{name}"),
                        show,
                    )?;
                }
            }
        }
        Ok(())
    })
}
