//! Where prost put things: Rust paths and identifiers of contract items.

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use prost_reflect::{EnumDescriptor, FieldDescriptor, MessageDescriptor, MethodDescriptor};

/// Path of a generated struct from anywhere in the crate.
pub fn message_path(message: &MessageDescriptor) -> String {
    let scope = match message.parent_message() {
        Some(parent) => format!("{}::{}", package_path(parent.package_name()), parent.name().to_snake_case()),
        None => package_path(message.package_name()),
    };
    format!("{scope}::{}", message.name().to_upper_camel_case())
}

/// Path of a generated enum from anywhere in the crate.
pub fn enum_path(enumeration: &EnumDescriptor) -> String {
    format!("{}::{}", package_path(enumeration.package_name()), enumeration.name().to_upper_camel_case())
}

/// Path of the module of a package.
pub fn package_path(package: &str) -> String {
    let modules: Vec<_> = package.split('.').map(|part| part.to_snake_case()).collect();
    format!("crate::wire::{}", modules.join("::"))
}

/// Identifier of a struct field.
pub fn field_ident(field: &FieldDescriptor) -> String {
    escaped(field.name().to_snake_case())
}

/// Identifier of a method in traits and clients.
pub fn method_ident(method: &MethodDescriptor) -> String {
    escaped(method.name().to_snake_case())
}

/// Makes an identifier of a word the language keeps for itself.
fn escaped(name: String) -> String {
    const KEYWORDS: [&str; 46] = [
        "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
        "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
        "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static",
        "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where",
    ];
    match name.as_str() {
        "self" | "super" | "crate" => format!("{name}_"),
        keyword if KEYWORDS.contains(&keyword) => format!("r#{name}"),
        _ => name,
    }
}
