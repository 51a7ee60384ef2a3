//! Reads the options of `options/options.proto` and `google.api.http` from descriptors.

use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value};

/// Value of the extension `name` in `options`, or `None` where it is not written.
pub fn option(pool: &DescriptorPool, options: &DynamicMessage, name: &str) -> Option<Value> {
    let extension =
        pool.get_extension_by_name(name).unwrap_or_else(|| panic!("the contracts declare no option {name}"));
    options.has_extension(&extension).then(|| options.get_extension(&extension).into_owned())
}

/// Name of the enum value that the enum option `name` holds, or `None` where it is not written.
pub fn enum_option(pool: &DescriptorPool, options: &DynamicMessage, name: &str) -> Option<String> {
    let number = option(pool, options, name)?.as_enum_number()?;
    let kind = pool.get_extension_by_name(name)?.kind();
    Some(kind.as_enum()?.get_value(number)?.name().to_owned())
}

/// Member `name` of a message option as text; empty where it is not written.
pub fn text(message: &DynamicMessage, name: &str) -> String {
    member(message, name).as_str().unwrap_or_default().to_owned()
}

/// Member `name` of a message option as a yes or no.
pub fn flag(message: &DynamicMessage, name: &str) -> bool {
    member(message, name).as_bool().unwrap_or_default()
}

/// Member `name` of a message option as a number.
pub fn number(message: &DynamicMessage, name: &str) -> i32 {
    member(message, name).as_i32().unwrap_or_default()
}

fn member(message: &DynamicMessage, name: &str) -> Value {
    message
        .get_field_by_name(name)
        .unwrap_or_else(|| panic!("{} has no member {name}", message.descriptor().full_name()))
        .into_owned()
}
