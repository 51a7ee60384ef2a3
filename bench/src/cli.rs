//! The command line.

use crate::arm::Arm;
use crate::engine::Engine;
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
    /// Unidirectional gRPC of the running server: host:port; by default the host and port of --url.
    #[arg(long, value_name = "HOST:PORT", requires = "url")]
    pub uni_grpc: Option<String>,
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
    /// Scenario to run, by name or by the beginning of its name; by default all that suit the engines.
    #[arg(long = "scenario", value_name = "NAME")]
    pub scenarios: Vec<String>,
    /// Encoding of the client protocol, where it matters.
    #[arg(long = "protocol", value_enum, default_values = ["json"])]
    pub protocols: Vec<Protocol>,
    /// Engine of started servers; redis and nats start redis-server and nats-server for each run, and are used by the
    /// scenarios to which they matter.
    #[arg(long = "engine", value_enum, default_values = ["memory"], conflicts_with = "url")]
    pub engines: Vec<Engine>,
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
    /// When a given name matches none, or none that suits an engine.
    pub fn chosen(&self) -> Result<Vec<&'static Scenario>> {
        for wanted in &self.scenarios {
            if !scenario::ALL.iter().any(|scenario| scenario.name.starts_with(wanted.as_str())) {
                bail!("no scenario begins with {wanted:?}; --list shows all");
            }
        }
        let suits = |scenario: &Scenario| self.engines.iter().any(|engine| scenario.suits(*engine));
        let chosen = |scenario: &&Scenario| {
            // An exact name means that scenario alone, even when others begin with it.
            self.scenarios.is_empty()
                || self.scenarios.iter().any(|wanted| {
                    let exact = scenario::ALL.iter().any(|other| other.name == wanted);
                    if exact { scenario.name == wanted } else { scenario.name.starts_with(wanted.as_str()) }
                })
        };
        let chosen: Vec<_> = scenario::ALL.iter().filter(chosen).filter(|scenario| suits(scenario)).collect();
        if chosen.is_empty() {
            let engines: Vec<&str> = self.engines.iter().map(|engine| engine.name()).collect();
            bail!("none of these scenarios runs with the engine {}", engines.join(" or "));
        }
        Ok(chosen)
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

    fn chosen(arguments: &[&str]) -> Result<Vec<&'static str>> {
        let arguments = ["gyre-bench"].iter().chain(arguments);
        let options = Options::try_parse_from(arguments).expect("valid");
        Ok(options.chosen()?.iter().map(|scenario| scenario.name).collect())
    }

    #[test]
    fn an_engine_runs_the_scenarios_it_has_what_it_takes_for() {
        let redis = chosen(&["--engine", "redis"]).expect("some");
        assert!(redis.contains(&"http-publish-history-32") && redis.contains(&"recovery-storm"));
        assert!(!redis.contains(&"idle"));
        let nats = chosen(&["--engine", "nats"]).expect("some");
        assert!(nats.contains(&"http-broadcast-1000") && nats.contains(&"fanout-1x1000"));
        for history in ["http-publish-history-32", "fanout-positioned-1x1000", "recovery-storm"] {
            assert!(!nats.contains(&history), "{history}");
        }
        assert!(chosen(&["--engine", "nats", "--scenario", "recovery-storm"]).is_err());
        assert!(chosen(&["--engine", "nats", "--engine", "redis", "--scenario", "recovery-storm"]).is_ok());
    }

    #[test]
    fn a_scenario_is_chosen_by_name_or_beginning() {
        let chosen =
            |names: &[&str]| chosen(&names.iter().flat_map(|name| ["--scenario", name]).collect::<Vec<_>>());
        assert_eq!(chosen(&[]).expect("all").len(), scenario::ALL.len());
        assert_eq!(chosen(&["saturated"]).expect("two"), ["saturated-16", "saturated-64"]);
        assert_eq!(chosen(&["http-publish-1"]).expect("one"), ["http-publish-1"]);
        assert!(chosen(&["nothing"]).is_err());
    }
}
