//! Joins the rooms and runs their life cycle. Alone knows all of them.

mod assemble;
mod callers;
mod calls;
pub mod dev;
mod drain;
mod endpoints;
mod engines;
mod grpc_transports;
mod policy;
mod ports;
mod proxies;
mod redis;
mod resolve;
mod run;
mod tokens;

pub use assemble::{Assembly, AssemblyError, assemble};
pub use ports::PortError;
pub use proxies::{ProxyError, check_proxies};
pub use resolve::{TokenError, namespaces, verifier_options, verifiers};
pub use run::{RunError, run};
