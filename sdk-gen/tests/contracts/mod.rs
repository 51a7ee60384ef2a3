//! Compiles contracts of tests. They may use the annotations of the repository.

use std::path::{Path, PathBuf};

use prost_reflect::DescriptorPool;

/// Directory of the tests.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Compiles `api.proto` of a directory.
pub fn compile(project: &Path) -> DescriptorPool {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let shared = directory().join("projects/shared");
    let mut compiler =
        protox::Compiler::new([project, shared.as_path(), proto.as_path()]).expect("open import roots");
    compiler.include_imports(true).include_source_info(true);
    if let Err(error) = compiler.open_files(["errors.proto", "api.proto"]) {
        panic!("compile {}: {error:?}", project.display());
    }
    sdk_gen::load::load(&compiler.encode_file_descriptor_set()).expect("link descriptors")
}
