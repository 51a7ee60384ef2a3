//! Turns the contracts into Rust: descriptors first, then one printer per kind of output.
//!
//! Every printer reads the same descriptors and the annotations of `options/options.proto`;
//! none knows another's output. A contract that a printer cannot express stops the build.

mod codes;
mod comments;
mod contracts;
mod json;
mod names;
mod openapi;
mod options;
mod service;
mod types;

use std::path::PathBuf;

/// Writes all generated files into `OUT_DIR`.
pub fn run() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let contracts = contracts::Contracts::compile("proto");
    std::fs::write(out.join("descriptors.bin"), contracts.encoded()).expect("write descriptors");
    types::generate(&contracts, &out);
    let write = |name: &str, text: String| {
        std::fs::write(out.join(name), text).unwrap_or_else(|error| panic!("write {name}: {error}"));
    };
    write("json.rs", json::generate(&contracts));
    write("codes.rs", codes::generate(&contracts));
    write("service.rs", service::generate(&contracts));
    write("openapi.json", openapi::generate(&contracts));
}
