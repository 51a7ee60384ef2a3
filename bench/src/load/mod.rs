//! The four ways of putting load on a server, each on one thread, the application behind a server's proxies, and the
//! kernel's own price of a send.

pub mod backend;
mod connection;
pub mod grpc;
mod grpc_stream;
pub mod http;
mod reception;
mod sources;
pub mod swarm;
pub mod transport;
pub mod visitors;
pub mod ward;
pub mod yardstick;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files to what the system allows and returns it.
pub fn raise_file_limit() -> Result<usize> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("raise the limit of open files")?;
    Ok(maximum.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)))
}
