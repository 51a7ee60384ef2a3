//! TypeScript: a module per kind of thing, over `clients/typescript/runtime`.

mod dialect;

use crate::output::Tree;
use crate::plan::{PlanError, Sdk, Surface, view};

use super::{Template, environment, print_templates};
pub use dialect::TypeScript;

const TEMPLATES: &[Template] = &[
    Template { file: "types.ts", source: include_str!("templates/types.ts.j2") },
    Template { file: "codecs.ts", source: include_str!("templates/codecs.ts.j2") },
    Template { file: "errors.ts", source: include_str!("templates/errors.ts.j2") },
    Template { file: "api.ts", source: include_str!("templates/api.ts.j2") },
];

/// Prints the client.
///
/// # Errors
/// When names clash or a template is at fault.
pub fn print(surface: &Surface<'_>, tree: &mut Tree) -> anyhow::Result<()> {
    print_templates(&words(surface)?, TEMPLATES, environment(), "clients/typescript/gen", tree)
}

fn words(surface: &Surface<'_>) -> Result<Sdk, PlanError> {
    view::<TypeScript>(surface)
}
