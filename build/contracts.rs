//! The compiled `.proto` files.

use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_reflect::DescriptorPool;
use protox::Compiler;

/// Descriptors of everything under `proto/`, comments and options included.
pub struct Contracts {
    encoded: Vec<u8>,
    pool: DescriptorPool,
}

impl Contracts {
    /// Compiles every `.proto` file below `root`, which is also the only import root.
    pub fn compile(root: &str) -> Self {
        let mut files = Vec::new();
        collect(Path::new(root), &mut files);
        files.sort();
        let mut compiler = Compiler::new([root]).expect("open the import root");
        compiler.include_imports(true).include_source_info(true);
        if let Err(error) = compiler.open_files(&files) {
            panic!("compile contracts: {error:?}");
        }
        let encoded = compiler.encode_file_descriptor_set();
        let pool = compiler.descriptor_pool();
        Self { encoded, pool }
    }

    /// The descriptor set as Protobuf, extensions in options included.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// The same as linked descriptors.
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// The descriptor set without what only other generators read: Google's annotations
    /// and our own options need no Rust types.
    pub fn file_set_for_types(&self) -> prost_types::FileDescriptorSet {
        let mut set = prost_types::FileDescriptorSet::decode(self.encoded.as_slice())
            .expect("decode what the compiler encoded");
        set.file.retain(|file| {
            let package = file.package();
            !package.starts_with("google.") && package != "gyre.options"
        });
        set
    }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(directory).expect("list the contracts");
    for entry in entries {
        let path = entry.expect("read a directory entry").path();
        // The frozen upstream schema repeats our packages; it is compared, never compiled.
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "lock") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
}
