//! Opening the ports that a configuration names, each with its TLS and what it serves.

use super::assemble::{Assembly, AssemblyError};
use crate::api::{PlacementSettings, Port, TlsChoice, http_service, place};
use crate::config::sections::listeners::Tls;
use crate::config::{Config, Pem, PemError};
use crate::net::{ListenError, PemMaterial, QuicError, QuicServing, Serving as Listener, TlsError, Workers};
use crate::net::{listen, quic_endpoint, serve, serve_http3, tls_server_config};
use crate::observability::Serving;
use http::HeaderValue;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Why a port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// What it serves cannot be made.
    #[error("make endpoints")]
    Assembly(#[from] AssemblyError),
    /// The address cannot be used.
    #[error("listen")]
    Listen(#[from] ListenError),
    /// The address cannot be used over UDP.
    #[error("serve http_server.http3")]
    Quic(#[from] QuicError),
    /// HTTP/3 is encrypted always.
    #[error("http_server.http3 requires http_server.tls")]
    QuicWithoutTls,
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
}

/// Ports that are open.
pub struct Ports {
    workers: Arc<Workers>,
    listeners: JoinSet<()>,
    stop: watch::Sender<bool>,
    /// WebSockets may be streams of HTTP/2.
    extended_connect: bool,
}

/// Where a port is.
type Place<'h> = (&'h str, u16);

impl Ports {
    /// Opens all ports of `config`, whose connections `workers` serve.
    ///
    /// # Errors
    /// See [`PortError`].
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn open(assembly: &Assembly, config: &Config, workers: &Arc<Workers>) -> Result<Self, PortError> {
        let mut ports = Self {
            workers: workers.clone(),
            listeners: JoinSet::new(),
            stop: watch::Sender::new(false),
            extended_connect: config.http_server.http2_websocket,
        };
        for placement in place(&placement_settings(config)) {
            let port = assembly.port(config, placement.groups)?;
            let tls = match placement.tls {
                TlsChoice::Plain => None,
                TlsChoice::Main => Some(tls("http_server.tls", &config.http_server.tls)?),
                TlsChoice::Internal => {
                    Some(tls("http_server.internal_tls", &config.http_server.internal_tls)?)
                }
            };
            let at = (placement.host.as_str(), placement.port);
            if placement.groups.connections && config.http_server.http3.enabled {
                let tls = tls.ok_or(PortError::QuicWithoutTls)?;
                ports.serve_with_http3(at, port, tls, config.webtransport.enabled)?;
            } else {
                ports.serve(at, port, tls)?;
            }
        }
        if config.grpc_api.enabled {
            let section = &config.grpc_api;
            let tls = section.tls.enabled.then(|| tls("grpc_api.tls", &section.tls)).transpose()?;
            ports.serve((&section.address, section.port), assembly.separate_grpc(config)?, tls)?;
        }
        if config.uni_grpc.enabled {
            let section = &config.uni_grpc;
            let tls = section.tls.enabled.then(|| tls("uni_grpc.tls", &section.tls)).transpose()?;
            ports.serve((&section.address, section.port), assembly.uni_grpc(config), tls)?;
        }
        Ok(ports)
    }

    fn serve(
        &mut self,
        (host, number): Place<'_>,
        port: Port,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Result<(), PortError> {
        let listener = listen(host, number)?;
        self.serve_tcp(listener, Arc::new(port), tls, false);
        Ok(())
    }

    /// Serves over TCP, and over UDP at a port of the same number.
    fn serve_with_http3(
        &mut self,
        (host, number): Place<'_>,
        mut port: Port,
        tls: Arc<rustls::ServerConfig>,
        webtransport: bool,
    ) -> Result<(), PortError> {
        let listener = listen(host, number)?;
        let address = listener.local_addr().map_err(ListenError::Address)?;
        let endpoint = quic_endpoint(address, &tls)?;
        port.alt_svc = alternative(address.port());
        let port = Arc::new(port);
        let quic = QuicServing {
            endpoint,
            workers: self.workers.clone(),
            webtransport,
            make_service: http_service(port.clone()),
        };
        self.listeners.spawn(serve_http3(quic, self.stopped()));
        self.serve_tcp(listener, port, Some(tls), true);
        Ok(())
    }

    fn serve_tcp(
        &mut self,
        listener: tokio::net::TcpListener,
        port: Arc<Port>,
        tls: Option<Arc<rustls::ServerConfig>>,
        http3: bool,
    ) {
        if let Ok(address) = listener.local_addr() {
            Serving { endpoints: &port.names(), address, tls: tls.is_some(), http3 }.emit();
        }
        let workers = Some(self.workers.clone());
        let extended_connect = self.extended_connect && port.connections.is_some();
        let serving = Listener { listener, tls, workers, extended_connect, make_service: http_service(port) };
        self.listeners.spawn(serve(serving, self.stopped()));
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stopped = self.stop.subscribe();
        async move {
            // An error means the sender is gone, and with it the process's wish to serve.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }
    }

    /// Takes no more connections.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until requests under way have ended.
    pub async fn ended(&mut self) {
        while self.listeners.join_next().await.is_some() {}
    }
}

/// Tells clients that HTTP/3 is served at a port, and for how many seconds they may remember that.
///
/// Source: RFC 7838 §3.
fn alternative(port: u16) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("h3=\":{port}\"; ma=2592000")).ok()
}

fn tls(section: &'static str, tls: &Tls) -> Result<Arc<rustls::ServerConfig>, PortError> {
    let load = |name: &str, pem: &Pem| match pem.load() {
        Ok(text) => Ok(text.into_bytes()),
        Err(source) => Err(PortError::Pem { key: format!("{section}.{name}"), source }),
    };
    let authorities = (!tls.client_ca_pem.is_empty()).then(|| load("client_ca_pem", &tls.client_ca_pem));
    let material = PemMaterial {
        certificates: load("cert_pem", &tls.cert_pem)?,
        key: load("key_pem", &tls.key_pem)?,
        client_authorities: authorities.transpose()?,
    };
    tls_server_config(&material).map_err(|source| PortError::Tls { section, source })
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
