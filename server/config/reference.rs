//! The reference page: every key with type, default, environment variable and documentation.

use std::collections::HashMap;
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

/// The reference as tables, one per top-level key: what stands in the documentation. Keys below an object are listed
/// where such an object occurs first.
pub fn tables() -> String {
    let keys = keys();
    let mut tables = Tables { keys: &keys, seen: HashMap::new(), page: String::new() };
    let is_section = |key: &&Key| !key.path.contains('.') && key.kind.contains("object");
    for key in keys.iter().filter(is_section) {
        // Writing to a string cannot fail, here and below.
        let _ = write!(tables.page, "### {}\n\n{}\n\n{HEAD}", key.path, key.doc);
        tables.rows(tables.below(key));
        tables.page.push('\n');
    }
    tables.page.push_str("### Further keys\n\n");
    tables.page.push_str(HEAD);
    for key in keys.iter().filter(|key| !key.path.contains('.') && !is_section(key)) {
        tables.row(key, None);
    }
    tables.page.push('\n');
    tables.page
}

const HEAD: &str = "| Key | Type | Default | Meaning |\n|---|---|---|---|\n";

/// Objects with fewer keys are listed each time.
const WORTH_A_REFERENCE: usize = 3;

/// What makes two objects alike: path below the object, type, default and documentation of all keys.
type Likeness<'k> = Vec<(&'k str, &'k str, &'k str, &'k str)>;

struct Tables<'k> {
    keys: &'k [Key],
    /// Where objects were listed first.
    seen: HashMap<Likeness<'k>, &'k str>,
    page: String,
}

impl<'k> Tables<'k> {
    /// The keys below `key`, which stand together.
    fn below(&self, key: &Key) -> &'k [Key] {
        let is_below = |other: &Key| {
            other.path.strip_prefix(key.path.as_str()).is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        let start = self.keys.iter().position(is_below).unwrap_or(self.keys.len());
        let count = self.keys[start..].iter().take_while(|other| is_below(other)).count();
        &self.keys[start..start + count]
    }

    fn rows(&mut self, keys: &'k [Key]) {
        let mut rest = keys;
        while let Some((key, after)) = rest.split_first() {
            let below = self.below(key);
            rest = after;
            if below.len() < WORTH_A_REFERENCE {
                self.row(key, None);
                continue;
            }
            let likeness = below
                .iter()
                .map(|other| (&other.path[key.path.len()..], other.kind, other.default, other.doc.as_str()))
                .collect();
            let first = self.seen.get(&likeness).copied();
            if first.is_none() {
                self.seen.insert(likeness, &key.path);
            } else {
                rest = &after[below.len()..];
            }
            self.row(key, first);
        }
    }

    fn row(&mut self, key: &Key, first: Option<&str>) {
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        let doc = key.doc.replace('|', "\\|");
        let _ = write!(self.page, "| `{}` | {} | {default} | {doc}", key.path, key.kind);
        if let Some(first) = first {
            let _ = write!(self.page, " Keys: those of `{first}`.");
        }
        self.page.push_str(" |\n");
    }
}

/// The reference as a page for browsers, for keys whose path starts with `section` (empty for all).
pub fn html(section: &str) -> String {
    let mut page = String::from(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Configuration</title>\
         <style>body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\
         dt{margin-top:1em}code{background:#eee;padding:.1em .3em}</style></head><body>\
         <h1>Configuration</h1><dl>",
    );
    for key in keys().iter().filter(|key| key.path.starts_with(section)) {
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
