//! Python: a module per kind of thing, over `clients/python/gyre_api/runtime`.

mod dialect;

use crate::output::Tree;
use crate::plan::{PlanError, Sdk, Surface, view};

use super::{Template, environment, print_templates};
pub use dialect::Python;

const TEMPLATES: &[Template] = &[
    Template { file: "__init__.py", source: include_str!("templates/__init__.py.j2") },
    Template { file: "types.py", source: include_str!("templates/types.py.j2") },
    Template { file: "codecs.py", source: include_str!("templates/codecs.py.j2") },
    Template { file: "errors.py", source: include_str!("templates/errors.py.j2") },
    Template { file: "api.py", source: include_str!("templates/api.py.j2") },
];

/// Prints the client.
///
/// # Errors
/// When names clash or a template is at fault.
pub fn print(surface: &Surface<'_>, tree: &mut Tree) -> anyhow::Result<()> {
    print_templates(&words(surface)?, TEMPLATES, environment(), "clients/python/gyre_api/gen", tree)
}

fn words(surface: &Surface<'_>) -> Result<Sdk, PlanError> {
    view::<Python>(surface)
}
