//! Compiles `proto/` into everything the contracts crate offers. Needs no installed protoc.

#[path = "build/mod.rs"]
mod generate;

fn main() {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build");
    generate::run();
}
