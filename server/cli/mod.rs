//! Commands of the program, one file each.
//!
//! [`parse`] reads the command line into an [`Invocation`]; whoever starts the process runs it. A command takes its
//! arguments, the configuration and a place to write to, so that it runs in tests.

pub mod check_config;
pub mod check_sub_token;
pub mod check_token;
pub mod config_doc;
mod configuration;
pub mod default_config;
pub mod default_env;
mod flags;
pub mod gen_config;
pub mod gen_sub_token;
pub mod gen_token;
mod invocation;
mod local_server;
pub mod serve;
#[cfg(test)]
mod tests;
pub mod version;

pub use flags::ServerFlags;
pub use invocation::{Command, Invocation, WithConfig, parse, parse_from};
