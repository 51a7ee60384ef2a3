//! The documentation of keys.

use crate::config::{keys, reference};

const START: &str = "<!-- reference: start -->\n";
const END: &str = "<!-- reference: end -->\n";

/// The part of `docs/configuration.md` between the marks is what the declarations say. `UPDATE_EXPECT=1` rewrites it.
#[test]
fn the_documentation_lists_every_key() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let (before, rest) = page.split_once(START).expect("the page marks the start");
    let (written, after) = rest.split_once(END).expect("the page marks the end");
    let expected = format!("\n{}", reference::tables());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, format!("{before}{START}{expected}{END}{after}")).expect("the page is written");
        return;
    }
    assert!(written == expected, "docs/configuration.md is out of date, UPDATE_EXPECT=1 rewrites it");
}

#[test]
fn every_key_has_documentation_and_a_variable_of_its_own() {
    let keys = keys();
    let mut variables: Vec<_> = keys.iter().filter_map(|key| key.variable.as_deref()).collect();
    for key in &keys {
        assert!(key.doc.ends_with('.'), "{}: {:?}", key.path, key.doc);
    }
    let count = variables.len();
    variables.sort_unstable();
    variables.dedup();
    assert_eq!(variables.len(), count);
    assert!(variables.contains(&"CENTRIFUGO_CHANNEL_NAMESPACES_<NAME>_HISTORY_SIZE"));
    assert!(variables.contains(&"CENTRIFUGO_CLIENT_PROXY_CONNECT_HTTP_STATIC_HEADERS"));
}
