//! `defaultenv`: prints every environment variable.

use super::configuration::{Problem, valid};
use crate::config::Config;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `defaultenv`.
#[derive(Clone, Debug, clap::Args)]
pub struct DefaultEnvArgs {
    /// Configuration file whose values replace defaults
    #[arg(short, long, value_name = "FILE")]
    pub base: Option<PathBuf>,
    /// Print only what is set in that file and not zero
    #[arg(long)]
    pub base_non_zero_only: bool,
}

/// Prints `NAME=value`, sorted by name.
///
/// # Errors
/// Only those of `out`. What is wrong is explained and ends the command with code 1.
///
/// Source: row CLI-5 of the compatibility list.
pub fn run(
    args: &DefaultEnvArgs,
    env: impl Iterator<Item = (String, String)>,
    out: &mut impl Write,
) -> io::Result<ExitCode> {
    match variables(args, env) {
        Ok(variables) => {
            for (name, value) in variables {
                writeln!(out, "{name}={value}")?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(problem) => {
            writeln!(out, "{problem}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn variables(
    args: &DefaultEnvArgs,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Vec<(String, String)>, Problem> {
    let base = args.base.as_deref();
    let config = valid(base, env)?.config;
    if !args.base_non_zero_only {
        return Ok(config.to_variables(None));
    }
    let file = base.map(Config::file_tree).transpose().map_err(|error| Problem::new("error", &error))?;
    Ok(config.to_variables(Some(&file.flatten().unwrap_or_default())))
}
