//! Reads the annotations of `options/options.proto` and HTTP routes.

use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value};

use super::ContractError;

/// The options written on one item of the contracts.
pub struct Annotations<'a> {
    pool: &'a DescriptorPool,
    options: DynamicMessage,
}

impl<'a> Annotations<'a> {
    /// Wraps the options of a field, method, enum or enum value.
    pub fn new(pool: &'a DescriptorPool, options: DynamicMessage) -> Self {
        Self { pool, options }
    }

    /// Whether a yes or no is set to yes.
    pub fn flag(&self, name: &str) -> Result<bool, ContractError> {
        Ok(self.get(name)?.and_then(|value| value.as_bool()).unwrap_or_default())
    }

    /// A text; `None` if it is not written or empty.
    pub fn text(&self, name: &str) -> Result<Option<String>, ContractError> {
        let text = self.get(name)?.and_then(|value| value.as_str().map(str::to_owned));
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// All texts of a repeated annotation.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, ContractError> {
        let list = self.get(name)?;
        let values = list.as_ref().and_then(Value::as_list).unwrap_or_default();
        Ok(values.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// The number of an enum value; zero if it is not written.
    pub fn choice(&self, name: &str) -> Result<i32, ContractError> {
        Ok(self.get(name)?.and_then(|value| value.as_enum_number()).unwrap_or_default())
    }

    /// A group of annotations; `None` if it is not written.
    pub fn group(&self, name: &str) -> Result<Option<Group>, ContractError> {
        Ok(self.get(name)?.and_then(|value| value.as_message().cloned()).map(Group))
    }

    fn get(&self, name: &str) -> Result<Option<Value>, ContractError> {
        let extension = self
            .pool
            .get_extension_by_name(name)
            .ok_or_else(|| ContractError::Missing { what: "annotation", name: name.to_owned() })?;
        Ok(self
            .options
            .has_extension(&extension)
            .then(|| self.options.get_extension(&extension).into_owned()))
    }
}

/// An annotation that has fields of its own.
pub struct Group(DynamicMessage);

impl Group {
    /// A yes or no.
    pub fn flag(&self, field: &str) -> Result<bool, ContractError> {
        Ok(self.value(field)?.as_bool().unwrap_or_default())
    }

    /// A text; empty if it is not written.
    pub fn text(&self, field: &str) -> Result<String, ContractError> {
        Ok(self.value(field)?.as_str().unwrap_or_default().to_owned())
    }

    /// A number; zero if it is not written.
    pub fn number(&self, field: &str) -> Result<i32, ContractError> {
        Ok(self.value(field)?.as_i32().unwrap_or_default())
    }

    fn value(&self, field: &str) -> Result<Value, ContractError> {
        let value = self.0.get_field_by_name(field).map(|value| value.into_owned());
        value.ok_or_else(|| ContractError::Missing {
            what: "annotation",
            name: format!("{}.{field}", self.0.descriptor().full_name()),
        })
    }
}
