//! What the gates over `proto/` share: the compiled contracts and their annotations.

pub mod annotations;

use std::path::{Path, PathBuf};

use prost_reflect::DescriptorPool;
use protox::Compiler;

/// Packages whose names and numbers belong to the wire: upstream's, then those of our own that are published.
pub const WIRE_PACKAGES: [&str; 6] = [
    "centrifugal.centrifuge.protocol",
    "centrifugal.centrifugo.api",
    "centrifugal.centrifugo.proxy",
    "centrifugal.centrifugo.unistream",
    "controlpb",
    "gyre.realtime.v1",
];

/// The folder of the contracts.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("proto")
}

/// Compiles every `.proto` file of the contracts, comments and options included.
pub fn compile() -> DescriptorPool {
    let mut files = Vec::new();
    collect(&root(), &mut files);
    files.sort();
    assert!(!files.is_empty(), "no .proto file below {}", root().display());
    let mut compiler = Compiler::new([root()]).expect("open the import root");
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(&files).expect("compile the contracts");
    compiler.descriptor_pool()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("list the contracts") {
        let path = entry.expect("read a directory entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
}
