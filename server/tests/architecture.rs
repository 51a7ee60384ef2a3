//! `ARCHITECTURE.md` names every room, and every path it names exists.

use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the server lies in the workspace")
}

fn page() -> String {
    std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md")
}

#[test]
fn every_room_is_named() {
    let plan = std::fs::read_to_string(root().join("server/lib.rs")).expect("the house plan");
    let page = page();
    let rooms = plan.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let missing: Vec<_> = rooms.filter(|room| !page.contains(&format!("| `{room}` |"))).collect();
    assert!(missing.is_empty(), "rooms without a row in ARCHITECTURE.md: {missing:?}");
}

#[test]
fn every_path_exists() {
    let page = page();
    let paths = page.split('`').skip(1).step_by(2).filter(|text| {
        let top = text.split('/').next().unwrap_or_default();
        text.contains('/')
            && ["server", "proto", "docs", "sdk-gen", "clients", "fuzz", "bench"].contains(&top)
    });
    let missing: Vec<_> = paths.filter(|path| !path.contains('*') && !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "paths in ARCHITECTURE.md that do not exist: {missing:?}");
}
