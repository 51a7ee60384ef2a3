//! Configuration: files in each format, and environment variables.

use gyre::config::{Config, Format};
use std::path::PathBuf;
use std::sync::LazyLock;

/// A folder of this process for the files to read.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("gyre-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    folder
});

/// Reads a configuration. The first byte says from what: JSON, YAML, TOML or environment variables, one
/// `NAME=value` a line.
pub fn config(data: &[u8]) {
    let [kind, text @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (format, extension) = match kind % 4 {
        0 => (Format::Json, "json"),
        1 => (Format::Yaml, "yaml"),
        2 => (Format::Toml, "toml"),
        _ => return environment(text),
    };
    let Ok(tree) = format.parse(text) else { return };
    if let Ok(printed) = Format::Json.print(&tree) {
        assert_eq!(Format::Json.parse(&printed).as_ref(), Ok(&tree));
    }
    let path = FOLDER.join(format!("config.{extension}"));
    std::fs::write(&path, text).expect("a temporary file");
    let _ = Config::load(Some(&path), std::iter::empty(), &[]);
}

fn environment(text: &str) {
    let variables = text.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (format!("CENTRIFUGO_{name}"), value.to_owned()));
    let _ = Config::load(None, variables, &[]);
}
