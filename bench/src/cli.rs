//! The command line.

use crate::arm::Arm;
use crate::scenario::{self, Scenario};
use crate::wire::Protocol;
use anyhow::{Result, bail};
use std::path::PathBuf;

/// Compares servers of the Centrifugo protocol under the same load, or measures one that is already running.
#[derive(Debug, clap::Parser)]
#[command(name = "gyre-bench", version)]
pub struct Options {
    /// Server to start, as NAME=BINARY; the first one is the reference of all ratios.
    #[arg(long = "arm", value_name = "NAME=BINARY", conflicts_with = "url")]
    pub arms: Vec<Arm>,
    /// WebSocket address of a running server: ws://host:port/connection/websocket.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// HTTP API of the running server: http://host:port/api; by default on the host and port of --url.
    #[arg(long, value_name = "URL", requires = "url")]
    pub http: Option<String>,
    /// gRPC API of the running server: host:port; by default the host and port of --url.
    #[arg(long, value_name = "HOST:PORT", requires = "url")]
    pub grpc: Option<String>,
    /// API key of the running server.
    #[arg(long, value_name = "KEY", requires = "url", default_value = "bench-api-key")]
    pub api_key: String,
    /// HMAC secret with which the running server checks connection tokens.
    #[arg(
        long,
        value_name = "SECRET",
        requires = "url",
        default_value = "bench-token-secret-of-enough-length"
    )]
    pub token_secret: String,
    /// Process id of the running server, to measure CPU and memory on this machine.
    #[arg(long, requires = "url")]
    pub pid: Option<u32>,
    /// Scenario to run, by name or by the beginning of its name; all by default.
    #[arg(long = "scenario", value_name = "NAME")]
    pub scenarios: Vec<String>,
    /// Encoding of the client protocol, where it matters.
    #[arg(long = "protocol", value_enum, default_values = ["json"])]
    pub protocols: Vec<Protocol>,
    /// Rounds per scenario; each runs every arm once, in alternating order.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// JSON file merged over the configuration that started servers get.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Connections of the idle scenario; at most what the limit of open files allows.
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: u32,
    /// Writes all figures of all runs to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Tiny sizes and one round: checks that nothing is lost, measures nothing worth quoting.
    #[arg(long)]
    pub smoke: bool,
    /// Lists the scenarios and exits.
    #[arg(long)]
    pub list: bool,
}

impl Options {
    /// Returns the chosen scenarios in matrix order.
    ///
    /// # Errors
    /// When a given name matches none.
    pub fn chosen(&self) -> Result<Vec<&'static Scenario>> {
        for wanted in &self.scenarios {
            if !scenario::ALL.iter().any(|scenario| scenario.name.starts_with(wanted.as_str())) {
                bail!("no scenario begins with {wanted:?}; --list shows all");
            }
        }
        let chosen = |scenario: &&Scenario| {
            // An exact name means that scenario alone, even when others begin with it.
            self.scenarios.is_empty()
                || self.scenarios.iter().any(|wanted| {
                    let exact = scenario::ALL.iter().any(|other| other.name == wanted);
                    if exact { scenario.name == wanted } else { scenario.name.starts_with(wanted.as_str()) }
                })
        };
        Ok(scenario::ALL.iter().filter(chosen).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_scenario_is_chosen_by_name_or_beginning() {
        let chosen = |names: &[&str]| -> Result<Vec<&str>> {
            let arguments = names.iter().flat_map(|name| ["--scenario", name]);
            let options =
                Options::try_parse_from(["gyre-bench"].into_iter().chain(arguments)).expect("valid");
            Ok(options.chosen()?.iter().map(|scenario| scenario.name).collect())
        };
        assert_eq!(chosen(&[]).expect("all").len(), scenario::ALL.len());
        assert_eq!(chosen(&["saturated"]).expect("two"), ["saturated-16", "saturated-64"]);
        assert_eq!(chosen(&["http-publish-1"]).expect("one"), ["http-publish-1"]);
        assert!(chosen(&["nothing"]).is_err());
    }
}
