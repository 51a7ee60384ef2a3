//! What is printed for small contracts, one for each promise of the generated code.
//!
//! `UPDATE_GOLDEN=1 cargo test -p sdk-gen --test golden` writes the expected files anew.

mod contracts;

use std::fmt::Write as _;
use std::fs;

use sdk_gen::plan::Surface;
use sdk_gen::{ir, languages, output::Tree};
use similar::TextDiff;

/// Compares all that is printed for a project, file by file below a line with its name.
fn check(project: &str, service: &str) {
    let directory = contracts::directory().join("projects").join(project);
    let model = ir::read(&contracts::compile(&directory)).expect("read the model");
    let surface = Surface::of(&model, service).expect("plan the client");
    let mut tree = Tree::default();
    languages::print_all(&surface, &mut tree).expect("print the client");
    for language in ["typescript", "python"] {
        let mut printed = String::new();
        for (path, text) in tree.iter().filter(|(path, _)| path.contains(language)) {
            let file = path.rsplit('/').next().unwrap_or(path);
            if !file.starts_with("errors") && !file.starts_with("__init__") {
                _ = write!(printed, "=== {file}\n{text}");
            }
        }
        let expected = directory.join(format!("{language}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &printed).expect("write the expected text");
        }
        let present = fs::read_to_string(&expected).unwrap_or_default();
        let diff = TextDiff::from_lines(&present, &printed);
        assert!(present == printed, "{project}, {language}:\n{}", diff.unified_diff());
    }
}

#[test]
fn a_payload_is_one_argument() {
    check("payloads", "test.Store");
}

#[test]
fn batches_and_lists_of_outcomes_are_typed() {
    check("batches", "test.Counter");
}

#[test]
fn pages_are_gone_through_and_what_is_sold_is_left_out() {
    check("pages", "test.Index");
}

#[test]
fn values_have_the_types_of_the_language() {
    check("values", "test.Options");
}

#[test]
fn nothing_depends_on_the_run() {
    let trees = [sdk_gen::generate().unwrap(), sdk_gen::generate().unwrap()];
    assert!(trees[0].iter().eq(trees[1].iter()));
}
