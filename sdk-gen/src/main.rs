//! Writes the generated parts of `clients/` and `docs/`, or checks that they are up to date.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Generates SDKs and reference pages from the contracts.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Root of the repository.
    #[arg(long, global = true, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.."))]
    root: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Writes all generated files.
    Generate,
    /// Shows how the files differ from what would be written; fails if they do.
    Check,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let tree = sdk_gen::generate()?;
    match arguments.command {
        Command::Generate => {
            let changes = tree.write(&arguments.root).context("write generated files")?;
            println!("{} files, {} changed", tree.len(), changes);
            Ok(ExitCode::SUCCESS)
        }
        Command::Check => {
            let difference = tree.difference(&arguments.root).context("read generated files")?;
            if difference.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            print!("{difference}");
            eprintln!("generated files are out of date; run `cargo run -p sdk-gen -- generate`");
            Ok(ExitCode::FAILURE)
        }
    }
}
