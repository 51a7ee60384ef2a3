//! Comments of the contracts, which become documentation.

use prost_reflect::FileDescriptor;

use super::ContractError;

/// The comment above the item at `path` of a file, one line per line, without comment signs.
///
/// # Errors
/// [`ContractError::Undocumented`] if there is none.
pub fn comment(file: &FileDescriptor, path: &[i32], name: &str) -> Result<String, ContractError> {
    let source = file.file_descriptor_proto().source_code_info.as_ref();
    let location = source.and_then(|source| source.location.iter().find(|location| location.path == path));
    let lines: Vec<_> = location
        .map(|location| location.leading_comments())
        .unwrap_or_default()
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
        .collect();
    let text = lines.join("\n").trim().to_owned();
    if text.is_empty() { Err(ContractError::Undocumented(name.to_owned())) } else { Ok(text) }
}
