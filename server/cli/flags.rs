//! Flags of the server itself: keys of the configuration that can be given on the command line.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use serde_json::Value;
use std::path::PathBuf;

/// What a flag takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Text,
    /// Nothing, or `=true` and `=false`.
    Switch,
}

/// Key, short form, what it takes, help.
type Row = (&'static str, Option<char>, Takes, &'static str);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("pid_file", None, Takes::Text, "File that receives the process id"),
    ("http_server.address", Some('a'), Takes::Text, "Address to listen on"),
    ("http_server.port", Some('p'), Takes::Text, "Port of client connections and the API [default: 8000]"),
    ("http_server.internal_address", None, Takes::Text, "Address of the internal listener"),
    ("http_server.internal_port", None, Takes::Text, "Port of the internal listener"),
    ("engine.type", None, Takes::Text, "Engine: memory or redis [default: memory]"),
    ("broker.enabled", None, Takes::Switch, "Use the broker of the broker section"),
    ("broker.type", None, Takes::Text, "Broker: memory, redis, nats or postgres [default: memory]"),
    ("presence_manager.enabled", None, Takes::Switch, "Use the presence manager of its section"),
    ("presence_manager.type", None, Takes::Text, "Presence manager: memory or redis [default: memory]"),
    ("map_broker.type", None, Takes::Text, "Map broker: memory, redis or postgres [default: memory]"),
    ("log.level", None, Takes::Text, "Log level: trace, debug, info, warn, error, fatal or none [default: info]"),
    ("log.file", None, Takes::Text, "File to log to instead of standard output"),
    ("debug.enabled", None, Takes::Switch, "Serve profiling endpoints"),
    ("admin.enabled", None, Takes::Switch, "Serve the admin interface"),
    ("admin.external", None, Takes::Switch, "Serve the admin interface on the external port"),
    ("admin.insecure", None, Takes::Switch, "Admin interface without authentication (insecure)"),
    ("prometheus.enabled", None, Takes::Switch, "Serve metrics"),
    ("swagger.enabled", None, Takes::Switch, "Serve a description of the HTTP API"),
    ("health.enabled", None, Takes::Switch, "Serve the health endpoint"),
    ("uni_websocket.enabled", None, Takes::Switch, "Serve unidirectional WebSocket"),
    ("uni_sse.enabled", None, Takes::Switch, "Serve unidirectional SSE"),
    ("uni_http_stream.enabled", None, Takes::Switch, "Serve unidirectional HTTP streaming"),
    ("sse.enabled", None, Takes::Switch, "Serve SSE"),
    ("http_stream.enabled", None, Takes::Switch, "Serve HTTP streaming"),
    ("init.enabled", None, Takes::Switch, "Serve the init endpoint"),
    ("client.insecure", None, Takes::Switch, "Clients without authentication (insecure)"),
    ("http_api.insecure", None, Takes::Switch, "HTTP API without a key (insecure)"),
    ("http_api.external", None, Takes::Switch, "Serve the HTTP API on the external port"),
    ("grpc_api.enabled", None, Takes::Switch, "Serve the gRPC API"),
    ("grpc_api.port", None, Takes::Text, "Port of the gRPC API [default: 10000]"),
    ("uni_grpc.enabled", None, Takes::Switch, "Serve unidirectional gRPC"),
    ("uni_grpc.port", None, Takes::Text, "Port of unidirectional gRPC [default: 11000]"),
];

/// The flags given, in order of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFlags {
    /// Configuration file.
    pub config: PathBuf,
    /// Dotted keys with the values given.
    pub values: Vec<(String, Value)>,
}

impl Args for ServerFlags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .short('c')
            .long("config")
            .value_name("FILE")
            .default_value("config.json")
            .value_parser(value_parser!(PathBuf))
            .help("Configuration file, .json, .yaml or .toml");
        command.arg(config).args(ROWS.iter().map(|(key, short, takes, help)| {
            let arg = Arg::new(*key).long(*key).help(*help).action(ArgAction::Set);
            let arg = match short {
                Some(short) => arg.short(*short),
                None => arg,
            };
            match takes {
                Takes::Text => arg.value_name("VALUE"),
                Takes::Switch => arg
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .hide_possible_values(true),
            }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServerFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |key: &str| matches.get_one::<String>(key).map(|text| Value::from(text.as_str()));
        let values = ROWS.iter().filter_map(|(key, ..)| Some(((*key).to_owned(), given(key)?))).collect();
        let config = matches.get_one::<PathBuf>("config").cloned().unwrap_or_default();
        Ok(Self { config, values })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
