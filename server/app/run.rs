//! From a checked configuration to a process that serves until it is told to stop.

use super::assemble::{Assembly, AssemblyError, assemble};
use super::drain::drain;
use super::endpoints::FrontPage;
use super::ports::{PortError, Ports};
use crate::config::Config;
use crate::net::Workers;
use crate::node::Node;
use crate::observability::{InsecureMode, Starting};
use crate::seams::{Clock, SystemClock};
use crate::session::Close;
use gyre_proto::codes::DisconnectCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the embedded engine frees what has expired.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Why the process does not serve.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The parts do not fit together.
    #[error("assemble the node")]
    Assembly(#[from] AssemblyError),
    /// A port cannot be opened.
    #[error("open a port")]
    Port(#[from] PortError),
    /// Signals cannot be listened to.
    #[error("listen to signals")]
    Signals(#[from] std::io::Error),
    /// The process id cannot be written.
    #[error("write pid_file {path:?}")]
    PidFile {
        /// Path.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
}

/// Serves until SIGINT or SIGTERM. `front_page` is what `/` shows, if anything. `reread` reads the configuration again on SIGHUP; `ready` is called with the
/// node once all ports are open.
///
/// # Errors
/// See [`RunError`]; once everything is open there are none.
pub async fn run(
    config: Config,
    front_page: Option<FrontPage>,
    reread: impl Fn() -> Result<Config, Box<dyn std::error::Error + Send + Sync>>,
    ready: impl FnOnce(&Assembly),
) -> Result<(), RunError> {
    // Before anything listens: a signal that nobody waits for would end the process.
    let signals = Signals::new()?;
    let assembly = assemble(&config, front_page).await?;
    let shards = std::thread::available_parallelism().map_or(1, usize::from);
    let (broker, presence) = assembly.engine_names;
    Starting { version: crate::VERSION, broker, presence, shards }.emit();
    warn_of_insecure_modes(&config);
    let _pid_file = PidFile::write(&config.pid_file)?;

    let workers = Arc::new(Workers::start(shards)?);
    let mut ports = Ports::open(&assembly, &config, &workers)?;
    let sweeper = tokio::spawn(sweep(assembly.broker.clone()));
    let aggregator =
        tokio::spawn(aggregate(assembly.node.clone(), config.node.info_metrics_aggregate_interval.to_std()));
    let (cluster, controller) = assembly.cluster.clone();
    let talk = controller.clone().map(|controller| {
        let cluster = cluster.clone();
        tokio::spawn(async move { cluster.run(controller).await })
    });
    ready(&assembly);
    wait_for_end(&assembly, signals, reread).await;

    tracing::info!("shutting down");
    let time = config.shutdown.timeout.to_std();
    tokio::select! {
        () = end(&assembly, &mut ports, config.shutdown.drain_rate, time) => {}
        () = tokio::time::sleep(time) => {
            tracing::warn!("shutdown timed out; connections that are left are dropped");
        }
    }
    if let (Some(talk), Some(controller)) = (talk, controller) {
        talk.abort();
        cluster.leave(&*controller).await;
    }
    sweeper.abort();
    aggregator.abort();
    let reactor = assembly.reactor.clone();
    // Joining threads blocks, which the runtime's own threads must not.
    let _ = tokio::task::spawn_blocking(move || {
        reactor.stop();
        drop(workers);
    })
    .await;
    Ok(())
}

/// Ends what is served. When connections are ended one after the other, `/ready` and the health service of gRPC say so
/// from the first on, new connections are refused, and calls are answered until the last is gone: whoever sends calls
/// here has that time to send them elsewhere.
async fn end(assembly: &Assembly, ports: &mut Ports, drain_rate: usize, time: Duration) {
    assembly.node.leave();
    assembly.grpc_health.stop().await;
    let close = Close::from(DisconnectCode::Shutdown);
    if drain_rate > 0 {
        drain(&assembly.reactor, close.clone(), drain_rate, time).await;
    }
    if let Some(api) = &assembly.http_api {
        api.stop();
    }
    ports.stop();
    // Also whoever came in between.
    assembly.reactor.drain(close);
    ports.ended().await;
    while assembly.reactor.open_connections() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn warn_of_insecure_modes(config: &Config) {
    for (on, what) in [
        (config.client.insecure, "client connection mode"),
        (config.client.insecure_skip_token_signature_verify, "token signature verification skip"),
        (config.http_api.insecure && !config.http_api.disabled, "HTTP API mode"),
        (config.grpc_api.enabled && config.grpc_api.key.is_empty(), "gRPC API without a key"),
        (config.client.allowed_origins.iter().any(|origin| origin == "*"), "connections from any origin"),
    ] {
        if on {
            InsecureMode { what }.emit();
        }
    }
}

async fn sweep(broker: super::engines::BrokerEngine) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        broker.sweep(SystemClock.now());
    }
}

/// Takes the metrics that `info` tells, once per interval; zero tells none.
async fn aggregate(node: Arc<Node>, every: Duration) {
    if every.is_zero() {
        return;
    }
    let mut interval = tokio::time::interval(every);
    interval.tick().await;
    loop {
        interval.tick().await;
        node.aggregate_metrics(every);
    }
}

/// The signals the process obeys.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Waits for SIGINT or SIGTERM and reloads on SIGHUP.
async fn wait_for_end(
    assembly: &Assembly,
    mut signals: Signals,
    reread: impl Fn() -> Result<Config, Box<dyn std::error::Error + Send + Sync>>,
) {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.hangup.recv() => reload(assembly, &reread),
        }
    }
}

fn reload(
    assembly: &Assembly,
    reread: impl Fn() -> Result<Config, Box<dyn std::error::Error + Send + Sync>>,
) {
    let config = match reread() {
        Ok(config) => config,
        Err(error) => {
            return tracing::error!(
                error = &*error as &dyn std::error::Error,
                "configuration was not reloaded"
            );
        }
    };
    match assembly.reload(&config) {
        Ok(()) => tracing::info!("configuration successfully reloaded"),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "configuration was not reloaded");
        }
    }
}

/// The file with the process id, removed at the end.
struct PidFile(Option<String>);

impl PidFile {
    fn write(path: &str) -> Result<Self, RunError> {
        if path.is_empty() {
            return Ok(Self(None));
        }
        std::fs::write(path, std::process::id().to_string())
            .map_err(|source| RunError::PidFile { path: path.to_owned(), source })?;
        Ok(Self(Some(path.to_owned())))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Nothing depends on its absence.
            let _ = std::fs::remove_file(path);
        }
    }
}
