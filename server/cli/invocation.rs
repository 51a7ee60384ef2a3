//! What the command line asks for.

use super::check_config::CheckConfigArgs;
use super::check_token::CheckTokenArgs;
use super::config_doc::ConfigDocArgs;
use super::configuration::Problem;
use super::default_config::DefaultConfigArgs;
use super::default_env::DefaultEnvArgs;
use super::flags::ServerFlags;
use super::gen_config::GenConfigArgs;
use super::gen_sub_token::GenSubTokenArgs;
use super::gen_token::GenTokenArgs;
use super::serve::ServeArgs;
use super::{
    check_config, check_sub_token, check_token, config_doc, default_config, default_env, gen_config,
    gen_sub_token, gen_token, serve, version,
};
use crate::config::Config;
use crate::seams::UnixMillis;
use clap::{Parser, Subcommand};
use serde_json::Value;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// What the process is to do.
#[derive(Clone, Debug)]
pub enum Invocation {
    /// Run the server.
    Serve {
        /// Configuration file; that it is missing is a warning.
        config_path: PathBuf,
        /// Dotted keys with the values given as flags, for [`Config::load`].
        flags: Vec<(String, Value)>,
    },
    /// Run a server to try, with nothing to configure.
    Dev {
        /// Port to listen on, on this machine only.
        port: u16,
    },
    /// Run a command that ends by itself.
    Command(Box<Command>),
}

/// Real-time messaging server that speaks the Centrifugo protocol
///
/// Without a command, runs the server. Every key of the configuration can be set in the environment too, as
/// CENTRIFUGO_<KEY> or GYRE_<KEY>.
#[derive(Debug, Parser)]
#[command(name = "gyre", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Choice>,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, Subcommand)]
enum Choice {
    /// Run a server to try, on this machine only, with nothing to configure
    Dev {
        /// Port to listen on
        #[arg(short, long, default_value_t = 8000)]
        port: u16,
    },
    #[command(flatten)]
    Command(Command),
}

/// A command that ends by itself, or when interrupted.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show the version
    Version,
    /// Check a configuration
    #[command(name = "checkconfig")]
    CheckConfig(CheckConfigArgs),
    /// Write a small configuration with fresh secrets
    #[command(name = "genconfig")]
    GenConfig(GenConfigArgs),
    /// Write a configuration with every key
    #[command(name = "defaultconfig")]
    DefaultConfig(DefaultConfigArgs),
    /// Print every environment variable
    #[command(name = "defaultenv")]
    DefaultEnv(DefaultEnvArgs),
    /// Show what there is to configure
    #[command(name = "configdoc")]
    ConfigDoc(ConfigDocArgs),
    /// Serve the files of a directory
    Serve(ServeArgs),
    /// Make a connection token to try things with
    #[command(name = "gentoken")]
    GenToken(WithConfig<GenTokenArgs>),
    /// Make a subscription token to try things with
    #[command(name = "gensubtoken")]
    GenSubToken(WithConfig<GenSubTokenArgs>),
    /// Verify a connection token
    #[command(name = "checktoken")]
    CheckToken(WithConfig<CheckTokenArgs>),
    /// Verify a subscription token
    #[command(name = "checksubtoken")]
    CheckSubToken(WithConfig<CheckTokenArgs>),
}

/// Arguments of a command that looks at the configuration.
#[derive(Clone, Debug, clap::Args)]
pub struct WithConfig<A: clap::Args> {
    /// Configuration file
    #[arg(short, long, value_name = "FILE", default_value = "config.json")]
    pub config: PathBuf,
    /// Arguments of the command itself.
    #[command(flatten)]
    pub args: A,
}

/// Reads the command line of this process. Help, the version and mistakes end the process: with code 0 for the
/// first two, 2 for mistakes.
pub fn parse() -> Invocation {
    parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Reads a command line, the name of the program first.
///
/// # Errors
/// Requests for help and version too, as clap has it.
pub fn parse_from<I: IntoIterator<Item: Into<OsString> + Clone>>(line: I) -> Result<Invocation, clap::Error> {
    let Arguments { command, server } = Arguments::try_parse_from(line)?;
    Ok(match command {
        None => Invocation::Serve { config_path: server.config, flags: server.values },
        Some(Choice::Dev { port }) => Invocation::Dev { port },
        Some(Choice::Command(command)) => Invocation::Command(Box::new(command)),
    })
}

impl Command {
    /// Runs the command, writing to `out`. Blocks; starts a runtime of its own where it needs one.
    ///
    /// # Errors
    /// Those of `out` and of ports; everything else is explained on `out` and told by the code.
    pub fn run(
        &self,
        env: impl Iterator<Item = (String, String)>,
        now: UnixMillis,
        out: &mut impl Write,
    ) -> io::Result<ExitCode> {
        match self {
            Self::Version => version::run(out),
            Self::CheckConfig(args) => check_config::run(args, env, out),
            Self::GenConfig(args) => gen_config::run(args, out),
            Self::DefaultConfig(args) => default_config::run(args, env, out),
            Self::DefaultEnv(args) => default_env::run(args, env, out),
            Self::ConfigDoc(args) => config_doc::run(args, out),
            Self::Serve(args) => serve::run(args, out),
            Self::GenToken(with) => {
                with.load(env, out, |config, out| gen_token::run(&with.args, config, now, out))
            }
            Self::GenSubToken(with) => {
                with.load(env, out, |config, out| gen_sub_token::run(&with.args, config, now, out))
            }
            Self::CheckToken(with) => {
                with.load(env, out, |config, out| check_token::run(&with.args, config, now, out))
            }
            Self::CheckSubToken(with) => {
                with.load(env, out, |config, out| check_sub_token::run(&with.args, config, now, out))
            }
        }
    }
}

impl<A: clap::Args> WithConfig<A> {
    /// Loads the configuration for `run`; what is wrong with it ends the command. Only its form counts: tokens can be
    /// made for a configuration that this build could not serve.
    fn load<W: Write>(
        &self,
        env: impl Iterator<Item = (String, String)>,
        out: &mut W,
        run: impl FnOnce(&Config, &mut W) -> io::Result<ExitCode>,
    ) -> io::Result<ExitCode> {
        match Config::load(Some(&self.config), env, &[]) {
            Ok(loaded) => run(&loaded.config, out),
            Err(error) => {
                writeln!(out, "{}", Problem::new("error getting config", &error))?;
                Ok(ExitCode::FAILURE)
            }
        }
    }
}
