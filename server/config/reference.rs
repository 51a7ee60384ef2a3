//! The reference page: every key with type, default, environment variable and documentation.

use std::fmt::Write as _;

use super::describe::{Key, keys};

/// The reference as Markdown, for keys whose path starts with `section` (empty for all). Headings of top-level
/// keys have level `1 + base_level`, at most 6.
pub fn markdown(section: &str, base_level: usize) -> String {
    let mut page = String::new();
    for key in keys().iter().filter(|key| key.path.starts_with(section)) {
        let depth = key.path.matches('.').count() + 1;
        let heading = "#".repeat((depth + base_level).clamp(1, 6));
        // Writing to a string cannot fail.
        let _ = write!(page, "{heading} `{}`\n\n{}\n\n{}\n\n", key.path, facts(key), key.doc);
    }
    page
}

fn facts(key: &Key) -> String {
    let mut facts = format!("Type: `{}`", key.kind);
    if !key.default.is_empty() {
        let _ = write!(facts, ". Default: `{}`", key.default);
    }
    if let Some(variable) = &key.variable {
        let _ = write!(facts, ". Env: `{variable}`");
    }
    facts
}

/// The reference as tables, one per top-level key: what stands in the documentation.
pub fn tables() -> String {
    let mut page = String::new();
    let keys = keys();
    for key in keys.iter().filter(|key| !key.path.contains('.')) {
        if !key.kind.contains("object") {
            continue;
        }
        let _ = write!(page, "### {}\n\n{}\n\n", key.path, key.doc);
        let start = [format!("{}.", key.path), format!("{}[].", key.path)];
        rows(&mut page, keys.iter().filter(|other| start.iter().any(|start| other.path.starts_with(start))));
    }
    page.push_str("### Further keys\n\n");
    rows(&mut page, keys.iter().filter(|key| !key.path.contains('.') && !key.kind.contains("object")));
    page
}

fn rows<'k>(page: &mut String, keys: impl Iterator<Item = &'k Key>) {
    page.push_str("| Key | Type | Default | Meaning |\n|---|---|---|---|\n");
    for key in keys {
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        let _ = writeln!(
            page,
            "| `{}` | {} | {default} | {} |",
            key.path,
            key.kind,
            key.doc.replace('|', "\\|")
        );
    }
    page.push('\n');
}

/// The reference as a page for browsers.
pub fn html() -> String {
    let mut page = String::from(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Configuration</title>\
         <style>body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\
         dt{margin-top:1em}code{background:#eee;padding:.1em .3em}</style></head><body>\
         <h1>Configuration</h1><dl>",
    );
    for key in keys() {
        let _ = write!(page, "<dt><code>{}</code> {}", escaped(&key.path), escaped(key.kind));
        if !key.default.is_empty() {
            let _ = write!(page, ", default <code>{}</code>", escaped(key.default));
        }
        if let Some(variable) = &key.variable {
            let _ = write!(page, ", env <code>{}</code>", escaped(variable));
        }
        let _ = write!(page, "</dt><dd>{}</dd>", escaped(&key.doc));
    }
    page.push_str("</dl></body></html>\n");
    page
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
