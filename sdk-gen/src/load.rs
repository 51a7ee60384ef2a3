//! Reads an encoded descriptor set.

use prost_reflect::{DescriptorError, DescriptorPool};

/// Why descriptors cannot be read. The set is damaged or lacks a file it imports.
#[derive(Debug, thiserror::Error)]
#[error("read descriptors: {0}")]
pub struct LoadError(#[from] DescriptorError);

/// Links the descriptors of an encoded `FileDescriptorSet`, comments and options included.
///
/// # Errors
/// [`LoadError`] if the bytes are no descriptor set or a reference in it leads nowhere.
pub fn load(encoded: &[u8]) -> Result<DescriptorPool, LoadError> {
    Ok(DescriptorPool::decode(encoded)?)
}
