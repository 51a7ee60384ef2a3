//! Load generator and scenario matrix for servers of the Centrifugo protocol.
//!
//! Follows a run from top to bottom: `cli` reads what to compare, `matrix` orders the runs, `engine` and `arm` start
//! Redis or NATS and a server, `scenario` decides the load, `load` puts it on, `wire` and `ledger` build and check every
//! message, `meter` reads the cost, `table` prints the comparison.

mod arm;
mod cli;
mod clock;
mod engine;
mod ledger;
mod load;
mod matrix;
mod meter;
mod scenario;
mod table;
mod target;
mod wire;

use anyhow::{Context, Result};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether every run was clean.
fn run() -> Result<bool> {
    let options = cli::Options::parse();
    if options.list {
        for scenario in scenario::ALL {
            println!("{:<26} {}", scenario.name, scenario.about);
        }
        return Ok(true);
    }
    let results = matrix::run(&options)?;
    println!("{}", table::markdown(&results));
    if let Some(path) = &options.json {
        let text = serde_json::to_vec_pretty(&table::json(&results))?;
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(results.is_clean())
}
