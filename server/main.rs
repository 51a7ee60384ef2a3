//! The `gyre` program: a server for real-time messages, and commands around it.

use anyhow::Context as _;
use gyre::cli::{self, Invocation};
use gyre::config::{Config, ConfigError, Warning, variables_of_process, variables_with_file};
use gyre::observability::{LogSettings, init_logging};
use gyre::seams::{Clock, SystemClock};
use serde_json::Value;
use std::collections::BTreeMap;
use std::future::Future;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match cli::parse() {
        Invocation::Serve { config_path, flags } => serve(config_path, flags),
        Invocation::Dev { port } => dev(port),
        Invocation::Command(command) => {
            let (now, mut out) = (SystemClock.now().unix, std::io::stdout());
            match command.run(variables_of_process(), now, &mut out) {
                // Whoever read our output has enough of it.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
                ended => ended.context("run the command"),
            }
        }
    };
    outcome.unwrap_or_else(|error| {
        // Logging may not be set up, or go to a file: whoever starts the process sees this in any case.
        eprintln!("gyre: {error:#}");
        ExitCode::FAILURE
    })
}

/// Runs the server until it is told to stop.
fn serve(path: PathBuf, flags: Vec<(String, Value)>) -> anyhow::Result<ExitCode> {
    let variables = variables_with_file(Path::new(".env")).context("read .env")?;
    let (config, warnings) = load(&path, &variables, &flags).context("load the configuration")?;
    let file = (!config.log.file.is_empty()).then(|| config.log.file.clone().into());
    let _logs =
        init_logging(&LogSettings { level: config.log.level.clone(), file }).context("set up logging")?;
    warnings.iter().for_each(tell);
    let reread = move || {
        let (config, warnings) = load(&path, &variables, &flags)?;
        warnings.iter().for_each(tell);
        Ok(config)
    };
    run(async { gyre::app::run(config, None, reread, |_| {}).await.context("run the server") })
}

/// Runs the server to try until it is told to stop.
fn dev(port: u16) -> anyhow::Result<ExitCode> {
    let _logs = init_logging(&LogSettings { level: "warn".into(), file: None }).context("set up logging")?;
    run(async { gyre::app::dev::serve(port).await.context("run the server to try") })
}

fn run(server: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(server)?;
    Ok(ExitCode::SUCCESS)
}

fn load(
    path: &Path,
    variables: &BTreeMap<String, String>,
    flags: &[(String, Value)],
) -> Result<(Config, Vec<Warning>), ConfigError> {
    let loaded = Config::load(Some(path), variables.clone().into_iter(), flags)?;
    loaded.config.validate()?;
    Ok((loaded.config, loaded.warnings))
}

fn tell(warning: &Warning) {
    match warning {
        Warning::FileNotFound { path } => tracing::warn!(path = %path.display(), "{}", warning.message()),
        Warning::UnknownKey { key } => tracing::warn!(key, "{}", warning.message()),
        Warning::UnknownVariable { name } => tracing::warn!(var = name, "{}", warning.message()),
    }
}
