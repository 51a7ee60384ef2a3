//! Reads the annotations of `options/options.proto`.

use prost_reflect::{DescriptorPool, DynamicMessage, Value};

/// The annotations of one contract item.
pub struct Options<'a> {
    pool: &'a DescriptorPool,
    message: DynamicMessage,
}

impl<'a> Options<'a> {
    /// Wraps the options of a field, method, enum or enum value.
    pub fn new(pool: &'a DescriptorPool, message: DynamicMessage) -> Self {
        Self { pool, message }
    }

    /// The value of an extension, given by its full name; `None` if it is not set.
    pub fn get(&self, name: &str) -> Option<Value> {
        let extension = self
            .pool
            .get_extension_by_name(name)
            .unwrap_or_else(|| panic!("annotation {name} is not declared"));
        self.message.has_extension(&extension).then(|| self.message.get_extension(&extension).into_owned())
    }

    /// The text of a string annotation; empty if it is not set.
    pub fn text(&self, name: &str) -> String {
        match self.get(name) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        }
    }

    /// The number of an enum annotation; zero if it is not set.
    pub fn number(&self, name: &str) -> i32 {
        match self.get(name) {
            Some(Value::EnumNumber(number)) => number,
            _ => 0,
        }
    }

    /// A message annotation; `None` if it is not set.
    pub fn message(&self, name: &str) -> Option<Annotation> {
        match self.get(name)? {
            Value::Message(message) => Some(Annotation(message)),
            _ => None,
        }
    }
}

/// The value of a message annotation.
pub struct Annotation(DynamicMessage);

impl Annotation {
    /// A boolean field; false if it is not set.
    pub fn flag(&self, field: &str) -> bool {
        self.value(field).as_bool().unwrap_or_default()
    }

    /// A string field; empty if it is not set.
    pub fn text(&self, field: &str) -> String {
        self.value(field).as_str().unwrap_or_default().to_owned()
    }

    /// A 32-bit integer field; zero if it is not set.
    pub fn number(&self, field: &str) -> i32 {
        self.value(field).as_i32().unwrap_or_default()
    }

    fn value(&self, field: &str) -> Value {
        self.0
            .get_field_by_name(field)
            .unwrap_or_else(|| panic!("annotation has no field {field}"))
            .into_owned()
    }
}
