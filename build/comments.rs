//! Comments of the contracts, which become documentation of what is generated.

use prost_reflect::{FieldDescriptor, FileDescriptor, MessageDescriptor, MethodDescriptor};

/// The comment above a message.
pub fn of_message(message: &MessageDescriptor) -> String {
    comment(&message.parent_file(), message.path())
}

/// The comment above a field.
pub fn of_field(field: &FieldDescriptor) -> String {
    comment(&field.parent_message().parent_file(), field.path())
}

/// The comment above a method.
pub fn of_method(method: &MethodDescriptor) -> String {
    comment(&method.parent_service().parent_file(), method.path())
}

/// A comment as Rust documentation.
pub fn as_rust(comment: &str) -> String {
    comment.lines().map(|line| format!("/// {line}\n")).collect()
}

/// The lines of the comment above the item at `path`, without the space after the slashes.
fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let Some(source) = &file.file_descriptor_proto().source_code_info else {
        return String::new();
    };
    source
        .location
        .iter()
        .find(|location| location.path == path)
        .map(|location| {
            let lines: Vec<_> = location
                .leading_comments()
                .lines()
                .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
                .collect();
            lines.join("\n").trim().to_owned()
        })
        .unwrap_or_default()
}
