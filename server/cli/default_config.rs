//! `defaultconfig`: writes a configuration with every key.

use super::configuration::{Problem, print, valid, write_new};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `defaultconfig`.
#[derive(Clone, Debug, clap::Args)]
pub struct DefaultConfigArgs {
    /// File to write, .json, .yaml or .toml
    #[arg(short, long, value_name = "FILE", default_value = "config.json")]
    pub config: PathBuf,
    /// Configuration file whose values replace defaults
    #[arg(short, long, value_name = "FILE")]
    pub base: Option<PathBuf>,
    /// Print instead of writing a file
    #[arg(short, long)]
    pub dry_run: bool,
}

/// Writes the file, which must not exist yet, or prints what it would hold.
///
/// # Errors
/// Only those of `out`. What is wrong is explained and ends the command with code 1.
///
/// Source: row CLI-4 of the compatibility list.
pub fn run(
    args: &DefaultConfigArgs,
    env: impl Iterator<Item = (String, String)>,
    out: &mut impl Write,
) -> io::Result<ExitCode> {
    match generate(args, env) {
        Ok(Some(text)) => {
            out.write_all(text.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(None) => Ok(ExitCode::SUCCESS),
        Err(problem) => {
            writeln!(out, "{problem}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What is left to print.
fn generate(
    args: &DefaultConfigArgs,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Option<String>, Problem> {
    let config = valid(args.base.as_deref(), env)?.config;
    let text = print(&config.to_tree(), &args.config)?;
    if args.dry_run {
        return Ok(Some(text));
    }
    write_new(&args.config, &text)?;
    Ok(None)
}
