//! Generates SDKs and reference pages from the contracts.
//!
//! Descriptors become a checked model (`ir`), the model a selection in the words of a language
//! (`plan`), the selection text (`languages`, `reference`). Each step knows only the one before it.

pub mod ir;
pub mod languages;
pub mod load;
pub mod output;
pub mod plan;
pub mod reference;

use anyhow::Context as _;

/// All generated files of the repository.
///
/// # Errors
/// When the contracts of this build are no base for an SDK: the fault is theirs.
pub fn generate() -> anyhow::Result<output::Tree> {
    let pool = load::load(gyre_proto::FILE_DESCRIPTOR_SET).context("load contracts")?;
    let model = ir::read(&pool).context("read contracts")?;
    let surface = plan::Surface::of(&model, plan::SERVER_API).context("plan the server api client")?;
    let mut tree = output::Tree::default();
    languages::print_all(&surface, &mut tree)?;
    tree.add("docs/reference/server-api.md", reference::server_api(&surface)?);
    Ok(tree)
}
