//! Names of things in a language.

use std::collections::BTreeMap;

use heck::{ToLowerCamelCase as _, ToShoutySnakeCase as _, ToSnakeCase as _, ToUpperCamelCase as _};

use super::PlanError;

/// How words are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Casing {
    /// `presence_stats`
    Snake,
    /// `presenceStats`
    Camel,
    /// `PresenceStats`
    Pascal,
    /// `PRESENCE_STATS`
    Shouting,
}

impl Casing {
    /// Joins the words of a Protobuf name.
    pub fn apply(self, name: &str) -> String {
        match self {
            Self::Snake => name.to_snake_case(),
            Self::Camel => name.to_lower_camel_case(),
            Self::Pascal => name.to_upper_camel_case(),
            Self::Shouting => name.to_shouty_snake_case(),
        }
    }
}

/// Names of one scope: refuses a second use, steps aside for words of the language.
pub struct Scope {
    language: &'static str,
    reserved: &'static [&'static str],
    taken: BTreeMap<String, String>,
}

impl Scope {
    /// A scope in which nothing is named yet.
    pub fn new(language: &'static str, reserved: &'static [&'static str]) -> Self {
        Self { language, reserved, taken: BTreeMap::new() }
    }

    /// Gives `item` a name; a reserved word gets an underscore behind it.
    ///
    /// # Errors
    /// [`PlanError::NameClash`] if the name is taken.
    pub fn name(&mut self, item: &str, wanted: String) -> Result<String, PlanError> {
        let name = if self.reserved.contains(&wanted.as_str()) { format!("{wanted}_") } else { wanted };
        match self.taken.insert(name.clone(), item.to_owned()) {
            None => Ok(name),
            Some(first) => {
                Err(PlanError::NameClash { language: self.language, name, first, second: item.to_owned() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_words_step_aside() {
        let mut scope = Scope::new("test", &["from"]);
        assert_eq!(scope.name("a.from", "from".into()), Ok("from_".to_owned()));
        assert_eq!(scope.name("a.to", "to".into()), Ok("to".to_owned()));
    }

    #[test]
    fn a_name_is_given_once() {
        let mut scope = Scope::new("test", &[]);
        assert!(scope.name("a.user_id", "userId".into()).is_ok());
        let clash = scope.name("a.userId", "userId".into()).unwrap_err();
        assert_eq!(clash.to_string(), "test: a.user_id and a.userId are both called userId");
    }
}
