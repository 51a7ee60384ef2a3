//! `genconfig`: writes a small configuration with fresh secrets to start with.

use super::configuration::{Problem, print, write_new};
use crate::config::minimal;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `genconfig`.
#[derive(Clone, Debug, clap::Args)]
pub struct GenConfigArgs {
    /// File to write, .json, .yaml or .toml
    #[arg(short, long, value_name = "FILE", default_value = "config.json")]
    pub config: PathBuf,
}

/// Writes the file, which must not exist yet.
///
/// # Errors
/// Only those of `out`. What is wrong is explained and ends the command with code 1.
///
/// Source: row CLI-3 of the compatibility list.
pub fn run(args: &GenConfigArgs, out: &mut impl Write) -> io::Result<ExitCode> {
    match generate(args) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(problem) => {
            writeln!(out, "{problem}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn generate(args: &GenConfigArgs) -> Result<(), Problem> {
    let tree = minimal().map_err(|_| Problem::text("error: the system gives no random bytes"))?;
    write_new(&args.config, &print(&tree, &args.config)?)
}
