//! The three ways of putting load on a server, each on one thread, and the kernel's own price of a send.

mod connection;
pub mod grpc;
pub mod http;
mod sources;
pub mod swarm;
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
