//! `checkconfig`: says nothing if the server would start with a configuration.

use super::configuration::Problem;
use crate::app::{check_proxies, namespaces, verifiers};
use crate::auth::OriginPolicy;
use crate::config::{Config, Loaded, Warning};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `checkconfig`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckConfigArgs {
    /// Configuration file
    #[arg(short, long, value_name = "FILE", default_value = "config.json")]
    pub config: PathBuf,
    /// Fail on keys nobody reads
    #[arg(short, long)]
    pub strict: bool,
}

/// Loads and checks a configuration, keys of tokens, patterns of origins and proxies included.
///
/// # Errors
/// Only those of `out`. What is wrong is explained and ends the command with code 1.
///
/// Source: rows CLI-2 and VAL-2 of the compatibility list.
pub fn run(
    args: &CheckConfigArgs,
    env: impl Iterator<Item = (String, String)>,
    out: &mut impl Write,
) -> io::Result<ExitCode> {
    match check(args, env) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(problem) => {
            writeln!(out, "{problem}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn check(args: &CheckConfigArgs, env: impl Iterator<Item = (String, String)>) -> Result<(), Problem> {
    let Loaded { config, warnings } =
        Config::load(Some(&args.config), env, &[]).map_err(|e| Problem::new("error getting config", &e))?;
    if warnings.iter().any(|warning| matches!(warning, Warning::FileNotFound { .. })) {
        return Err(Problem::text("config file not found"));
    }
    let invalid = "error validating config";
    config.validate().map_err(|e| Problem::new(invalid, &e))?;
    namespaces(&config).map_err(|e| Problem::new(invalid, &e))?;
    OriginPolicy::new(&config.client.allowed_origins).map_err(|e| Problem::new(invalid, &e))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Problem::new("error starting a runtime", &e))?;
    verifiers(&config, runtime.handle()).map_err(|e| Problem::new(invalid, &e))?;
    let _context = runtime.enter();
    check_proxies(&config).map_err(|e| Problem::new(invalid, &e))?;
    let unknown: Vec<_> = warnings
        .iter()
        .filter_map(|warning| match warning {
            Warning::UnknownKey { key } => Some(key.as_str()),
            _ => None,
        })
        .collect();
    if args.strict && !unknown.is_empty() {
        return Err(Problem::text(format!("unknown keys in config: {}", unknown.join(", "))));
    }
    Ok(())
}
