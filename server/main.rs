//! The program: reads the command line and does what it says.

use gyre::app::{dev, run};
use gyre::cli::{Invocation, parse};
use gyre::config::{Config, Loaded, Warning};
use gyre::observability::{LogGuard, LogSettings, init_logging};
use gyre::seams::{Clock, SystemClock};
use serde_json::Value;
use std::error::Error;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let done = match parse() {
        Invocation::Serve { config_path, flags } => serve(config_path, flags).map(|()| ExitCode::SUCCESS),
        Invocation::Dev { port } => try_out(port).map(|()| ExitCode::SUCCESS),
        Invocation::Command(command) => {
            let mut out = std::io::stdout().lock();
            let code = command.run(environment(), SystemClock.now().unix, &mut out);
            match code.and_then(|code| out.flush().map(|()| code)) {
                // Whoever reads has seen enough.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
                done => done.map_err(Into::into),
            }
        }
    };
    done.unwrap_or_else(|error: Failure| {
        eprintln!("error: {}", chain(&*error));
        ExitCode::FAILURE
    })
}

/// Runs the server until it is told to stop.
fn serve(path: PathBuf, flags: Vec<(String, Value)>) -> Result<(), Failure> {
    // Read at start only, as upstream does; a reload sees the same values.
    let file = dotenvy::from_path_iter(Path::new(".env"));
    let file: Vec<_> = file.into_iter().flatten().filter_map(Result::ok).collect();
    // Later ones win, so the process's own variables come last.
    let variables = move || file.clone().into_iter().chain(environment());
    let Loaded { config, warnings } = Config::load(Some(&path), variables(), &flags)?;
    config.validate()?;
    let _guard = start_logging(&config)?;
    for warning in &warnings {
        warn(warning);
    }
    let reread = move || -> Result<Config, Failure> {
        let config = Config::load(Some(&path), variables(), &flags)?.config;
        config.validate()?;
        Ok(config)
    };
    runtime()?.block_on(run(config, None, reread, |_| {}))?;
    Ok(())
}

fn try_out(port: u16) -> Result<(), Failure> {
    let _guard = init_logging(&LogSettings { level: "warn".to_owned(), file: None })?;
    runtime()?.block_on(dev::serve(port))?;
    Ok(())
}

/// The runtime that waits for whatever shards and request threads do not have at hand. Those have a thread for every core
/// already, so it gets half as many: each more would hand small pieces of work around.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(cores.div_ceil(2)).enable_all().thread_name("runtime").build()
}

fn start_logging(config: &Config) -> Result<LogGuard, Failure> {
    let file = Some(PathBuf::from(&config.log.file)).filter(|file| !file.as_os_str().is_empty());
    Ok(init_logging(&LogSettings { level: config.log.level.clone(), file })?)
}

/// Variables of the process whose names and values are text.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn warn(warning: &Warning) {
    match warning {
        Warning::FileNotFound { path } => tracing::warn!(path = %path.display(), "{}", warning.message()),
        Warning::UnknownKey { key } => tracing::warn!(key, "{}", warning.message()),
        Warning::UnknownVariable { name } => tracing::warn!(var = name, "{}", warning.message()),
    }
}

/// The error and everything it came from.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
