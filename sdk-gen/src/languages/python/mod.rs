//! Python.

use crate::output::Tree;
use crate::plan::Surface;

/// Prints the client.
pub fn print(_surface: &Surface<'_>, _tree: &mut Tree) -> anyhow::Result<()> {
    Ok(())
}
