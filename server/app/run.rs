//! From a checked configuration to a process that serves until it is told to stop.

use super::assemble::{Assembly, AssemblyError, assemble};
use super::drain::drain;
use super::endpoints::FrontPage;
use crate::api::{PlacementSettings, Port, TlsChoice, http_service, place};
use crate::config::sections::listeners::Tls;
use crate::config::{Config, Pem, PemError};
use crate::net::Workers;
use crate::net::{ListenError, PemMaterial, Serving as Listener, TlsError, listen, serve, tls_server_config};
use crate::node::Node;
use crate::observability::{InsecureMode, Serving, Starting};
use crate::seams::{Clock, SystemClock};
use crate::session::Close;
use gyre_proto::codes::DisconnectCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

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
    Listen(#[from] ListenError),
    /// A certificate or key cannot be read.
    #[error("read {key}")]
    Pem {
        /// Path of the key in the configuration.
        key: String,
        /// Why not.
        source: PemError,
    },
    /// TLS cannot be set up.
    #[error("set up tls of {section}")]
    Tls {
        /// Section of the configuration.
        section: &'static str,
        /// Why not.
        source: TlsError,
    },
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
    let (stop, stopped) = watch::channel(false);
    let mut listeners = JoinSet::new();
    open_ports(&assembly, &config, &workers, &stopped, &mut listeners)?;
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
    assembly.grpc_health.stop().await;
    if let Some(api) = &assembly.http_api {
        api.stop();
    }
    let _ = stop.send(true);
    let time = config.shutdown.timeout.to_std();
    let draining =
        drain(&assembly.reactor, Close::from(DisconnectCode::Shutdown), config.shutdown.drain_rate, time);
    let deadline = tokio::time::sleep(time);
    tokio::select! {
        () = async {
            draining.await;
            while listeners.join_next().await.is_some() {}
            while assembly.reactor.open_connections() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        } => {}
        () = deadline => tracing::warn!("shutdown timed out; connections that are left are dropped"),
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

fn open_ports(
    assembly: &Assembly,
    config: &Config,
    workers: &Arc<Workers>,
    stopped: &watch::Receiver<bool>,
    listeners: &mut JoinSet<()>,
) -> Result<(), RunError> {
    for placement in place(&placement_settings(config)) {
        let port = assembly.port(config, placement.groups)?;
        let tls = match placement.tls {
            TlsChoice::Plain => None,
            TlsChoice::Main => Some(tls("http_server.tls", &config.http_server.tls)?),
            TlsChoice::Internal => Some(tls("http_server.internal_tls", &config.http_server.internal_tls)?),
        };
        let at = (placement.host.as_str(), placement.port);
        open(at, port, tls, workers.clone(), stopped.clone(), listeners)?;
    }
    if config.grpc_api.enabled {
        let section = &config.grpc_api;
        let tls = section.tls.enabled.then(|| tls("grpc_api.tls", &section.tls)).transpose()?;
        let port = assembly.separate_grpc(config)?;
        let at = (section.address.as_str(), section.port);
        open(at, port, tls, workers.clone(), stopped.clone(), listeners)?;
    }
    if config.uni_grpc.enabled {
        let section = &config.uni_grpc;
        let tls = section.tls.enabled.then(|| tls("uni_grpc.tls", &section.tls)).transpose()?;
        let at = (section.address.as_str(), section.port);
        open(at, assembly.uni_grpc(config), tls, workers.clone(), stopped.clone(), listeners)?;
    }
    Ok(())
}

fn open(
    (host, port_number): (&str, u16),
    port: Port,
    tls: Option<Arc<rustls::ServerConfig>>,
    workers: Arc<Workers>,
    mut stopped: watch::Receiver<bool>,
    listeners: &mut JoinSet<()>,
) -> Result<(), RunError> {
    let listener = listen(host, port_number)?;
    if let Ok(address) = listener.local_addr() {
        Serving { endpoints: &port.names(), address, tls: tls.is_some() }.emit();
    }
    let serving =
        Listener { listener, tls, workers: Some(workers), make_service: http_service(Arc::new(port)) };
    listeners.spawn(serve(serving, async move {
        // An error means the sender is gone, and with it the process's wish to serve.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }));
    Ok(())
}

fn tls(section: &'static str, tls: &Tls) -> Result<Arc<rustls::ServerConfig>, RunError> {
    let load = |name: &str, pem: &Pem| match pem.load() {
        Ok(text) => Ok(text.into_bytes()),
        Err(source) => Err(RunError::Pem { key: format!("{section}.{name}"), source }),
    };
    let authorities = (!tls.client_ca_pem.is_empty()).then(|| load("client_ca_pem", &tls.client_ca_pem));
    let material = PemMaterial {
        certificates: load("cert_pem", &tls.cert_pem)?,
        key: load("key_pem", &tls.key_pem)?,
        client_authorities: authorities.transpose()?,
    };
    tls_server_config(&material).map_err(|source| RunError::Tls { section, source })
}

fn placement_settings(config: &Config) -> PlacementSettings {
    let server = &config.http_server;
    PlacementSettings {
        address: server.address.clone(),
        port: server.port,
        internal_address: server.internal_address.clone(),
        internal_port: server.internal_port.parse().ok(),
        tls: server.tls.enabled,
        tls_external: server.tls_external,
        internal_tls: server.internal_tls.enabled,
        api: !config.http_api.disabled,
        api_external: config.http_api.external,
        admin: false,
        admin_external: false,
        prometheus: config.prometheus.enabled,
        swagger: config.swagger.enabled,
        debug: false,
        health: config.health.enabled,
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
