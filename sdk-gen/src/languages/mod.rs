//! Printers, one room per language. All make the same files: types, codecs, errors, client.

pub mod python;
pub mod typescript;

use anyhow::Context as _;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, context};

use crate::output::Tree;
use crate::plan::{Sdk, Surface};

/// Prints the client in all languages.
///
/// # Errors
/// When names clash in a language or a template is at fault.
pub fn print_all(surface: &Surface<'_>, tree: &mut Tree) -> anyhow::Result<()> {
    typescript::print(surface, tree).context("print typescript")?;
    python::print(surface, tree).context("print python")
}

/// A template and the file it makes.
struct Template {
    file: &'static str,
    source: &'static str,
}

/// Prints a client by the templates of a language into a directory that holds nothing else.
fn print_templates(
    sdk: &Sdk,
    templates: &[Template],
    environment: Environment<'_>,
    directory: &str,
    tree: &mut Tree,
) -> anyhow::Result<()> {
    tree.own(directory);
    for Template { file, source } in templates {
        let text =
            environment.render_named_str(file, source, context! { sdk => Serde(sdk) }).context(*file)?;
        tree.add(format!("{directory}/{file}"), text);
    }
    Ok(())
}

/// What templates of all languages share.
pub(crate) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
    environment.set_syntax(syntax.build().expect("only spacing differs from the usual syntax"));
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    // Code is no markup.
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.add_filter("lines", |text: &str, indent: usize, before: &str| {
        let between = format!("\n{}{before}", " ".repeat(indent));
        let lines: Vec<_> = text.lines().collect();
        format!("{before}{}", lines.join(&between)).lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    });
    environment
}
