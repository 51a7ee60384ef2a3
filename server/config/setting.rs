//! How a configuration is declared: once, through `section!`.
//!
//! A declaration yields the struct, its defaults and a walk over its fields. Everything else (reading files,
//! environment names, the reference page, sample files) is a walk, so no key is written down twice.

use std::fmt;

use serde_json::Value;

use super::ConfigError;

/// What is known about one key before any value is read.
#[derive(Debug)]
pub struct Field {
    /// Name in files; upper-cased it is the last part of the environment name.
    pub key: &'static str,
    /// Documentation, as written above the field.
    pub doc: &'static str,
    /// Default in the notation of environment variables; empty where the default is the zero value.
    pub default: &'static str,
    /// The keys of this section stand among those of its parent instead of below a key of their own.
    pub flat: bool,
}

/// Called for each field of a section.
pub type Visit<'a> = dyn FnMut(&'static Field, Node<'_>) -> Result<(), ConfigError> + 'a;

/// A group of keys.
pub trait Section {
    /// Shows every field, in order of declaration; stops at the first error.
    ///
    /// # Errors
    /// Whatever `visit` returns.
    fn visit(&mut self, visit: &mut Visit<'_>) -> Result<(), ConfigError>;
}

/// The three forms a field can have.
pub enum Node<'a> {
    /// One value.
    Leaf(&'a mut dyn Leaf),
    /// Keys below a key.
    Section(&'a mut dyn Section),
    /// A list of sections.
    List(&'a mut dyn List),
}

/// A type that can stand in a section.
pub trait Setting: Sized {
    /// The value a default literal stands for.
    fn preset(default: &'static str) -> Self;
    /// The form of this field.
    fn node(&mut self) -> Node<'_>;
    /// Shows the field to whoever debugs, without secrets.
    ///
    /// # Errors
    /// When the formatter fails.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// A field as `{:?}` of its section shows it.
pub struct Shown<'a, T>(pub &'a T);

impl<T: Setting> fmt::Debug for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}

/// A single value and its notations.
pub trait Leaf: fmt::Debug {
    /// Name of the type on the reference page.
    fn type_name(&self) -> &'static str;
    /// Takes a value from a file, converting between numbers, booleans and strings.
    ///
    /// # Errors
    /// What was expected instead.
    fn read(&mut self, value: &Value) -> Result<(), String>;
    /// Takes a value in the notation of environment variables.
    ///
    /// # Errors
    /// What was expected instead.
    fn read_text(&mut self, text: &str) -> Result<(), String>;
    /// True for the value a file cannot force upon a key that has another default.
    fn is_zero(&self) -> bool;
    /// The value as it would stand in a file.
    fn write(&self) -> Value;
    /// The value as it would stand in an environment variable.
    fn write_text(&self) -> String {
        match self.write() {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }
    /// Shows the value to whoever debugs, without secrets.
    ///
    /// # Errors
    /// When the formatter fails.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
    /// Replaces references to environment variables.
    ///
    /// # Errors
    /// Names the variable that is not set.
    fn expand(&mut self, _variable: &dyn Fn(&str) -> Option<String>) -> Result<(), String> {
        Ok(())
    }
}

/// A list of sections of one kind.
pub trait List {
    /// Number of items.
    fn len(&self) -> usize;
    /// True if there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Removes all items.
    fn clear(&mut self);
    /// Adds an item with default values.
    fn push(&mut self);
    /// The item at `index`, which is below [`List::len`].
    fn item(&mut self, index: usize) -> &mut dyn Section;
    /// The name of the item at `index`, for lists whose items can be addressed by environment variables.
    fn name(&mut self, index: usize) -> Option<&mut String>;
    /// True if items carry names.
    fn is_named(&self) -> bool;
    /// An item with default values, for descriptions.
    fn sample(&self) -> Box<dyn Section>;
}

/// A section that can be an item of a list.
pub trait Item: Section + Default + 'static {
    /// Whether [`Item::name`] answers.
    const NAMED: bool;
    /// The name by which environment variables address the item.
    fn name(&mut self) -> Option<&mut String>;
}

impl<T: Item + Setting> Setting for Vec<T> {
    fn preset(_default: &'static str) -> Self {
        Vec::new()
    }
    fn node(&mut self) -> Node<'_> {
        Node::List(self)
    }
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(Shown)).finish()
    }
}

impl<T: Item> List for Vec<T> {
    fn len(&self) -> usize {
        Vec::len(self)
    }
    fn clear(&mut self) {
        Vec::clear(self);
    }
    fn push(&mut self) {
        Vec::push(self, T::default());
    }
    fn item(&mut self, index: usize) -> &mut dyn Section {
        &mut self[index]
    }
    fn name(&mut self, index: usize) -> Option<&mut String> {
        self[index].name()
    }
    fn is_named(&self) -> bool {
        T::NAMED
    }
    fn sample(&self) -> Box<dyn Section> {
        Box::new(T::default())
    }
}

/// Declares a section.
///
/// `field: Type = "default"` declares a key, with the default in the notation of environment variables;
/// `field as "key"` names a key that is no Rust name; `field: Type => flat` puts the keys of another section
/// among the keys of this one. `(item)` and `(named item)` after the name make the
/// section fit for lists.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])+
        pub struct $name:ident $(($($form:ident)+))? {
            $(
                $(#[doc = $doc:literal])*
                $field:ident $(as $key:literal)? : $ty:ty $(= $default:literal)? $(=> $flat:ident)?
            ),* $(,)?
        }
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Clone, PartialEq)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $ty, )*
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))
                    $( .field(stringify!($field), &$crate::config::setting::Shown(&self.$field)) )*
                    .finish()
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: <$ty as $crate::config::setting::Setting>::preset(concat!($($default)?)), )* }
            }
        }

        impl $crate::config::setting::Section for $name {
            fn visit(
                &mut self,
                visit: &mut $crate::config::setting::Visit<'_>,
            ) -> Result<(), $crate::config::ConfigError> {
                $(
                    visit(
                        &$crate::config::setting::Field {
                            key: $crate::config::setting::section!(@key $field $($key)?),
                            doc: concat!($($doc, "\n"),*),
                            default: concat!($($default)?),
                            flat: $crate::config::setting::section!(@flat $($flat)?),
                        },
                        $crate::config::setting::Setting::node(&mut self.$field),
                    )?;
                )*
                Ok(())
            }
        }

        $crate::config::setting::section!(@form $name $($($form)+)?);

        impl $crate::config::setting::Setting for $name {
            fn preset(_default: &'static str) -> Self {
                Self::default()
            }
            fn node(&mut self) -> $crate::config::setting::Node<'_> {
                $crate::config::setting::Node::Section(self)
            }
            fn show(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(self, f)
            }
        }
    };
    (@key $field:ident $key:literal) => { $key };
    (@key $field:ident) => { stringify!($field) };
    (@flat flat) => { true };
    (@flat) => { false };
    (@form $name:ident) => {};
    (@form $name:ident item) => {
        impl $crate::config::setting::Item for $name {
            const NAMED: bool = false;
            fn name(&mut self) -> Option<&mut String> {
                None
            }
        }
    };
    (@form $name:ident named item) => {
        impl $crate::config::setting::Item for $name {
            const NAMED: bool = true;
            fn name(&mut self) -> Option<&mut String> {
                Some(&mut self.name)
            }
        }
    };
}
pub(crate) use section;
