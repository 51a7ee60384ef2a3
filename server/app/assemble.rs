//! The only place where rooms are joined: engines, node, reactor, API, endpoints.

use super::callers::Callers;
use super::endpoints::{EmulatedEndpoints, Endpoints, FrontPage, Gate, UniEndpoints};
use super::engines::{BrokerEngine, ControlPath, EngineError, Engines};
use super::grpc_transports::UniGrpcPort;
use super::proxies::{ProxyError, proxies};
use super::resolve::{self, NodeNamespaces};
use super::tokens::Authority;
use crate::api::{
    Access, Explorer, GrpcError, GrpcFront, GrpcHealth, GrpcSettings, HttpApi, HttpApiSettings, Service,
};
use crate::api::{EndpointGroups, Port, route_path};
use crate::auth::{ApiKey, OriginError, OriginPolicy};
use crate::channel::NamespaceError;
use crate::cluster::{Cluster, Controller};
use crate::config::Config;
use crate::node::{Connections, Everywhere, Node, NodeParts};
use crate::observability::{ApiProtocol, Metrics, MetricsSettings};
use crate::reactor::{Backend, Reactor};
use crate::seams::{Clock, SystemClock};
use crate::transport::uni_http_stream::UnusableStatus;
use crate::transport::websocket::accept::Options;
use crate::transport::{grpc_stream, uni_grpc, webtransport};
use arc_swap::ArcSwap;
use std::sync::{Arc, OnceLock, Weak};

/// Bytes of a request body of the server API.
const API_BODY_LIMIT: usize = 64 << 20;

/// Bytes of a message over gRPC when nothing is configured, as gRPC implementations agree on.
const DEFAULT_GRPC_MESSAGE_SIZE: usize = 4 << 20;

/// Bytes of a message over WebTransport when the limit is zero.
const DEFAULT_WEBTRANSPORT_MESSAGE_SIZE: usize = 64 << 10;

/// Why the parts do not fit together. All of them end the start.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    /// A response that stands for a connect error cannot be sent.
    #[error("use connect_code_to_http_response")]
    Refusal(#[from] UnusableStatus),
    /// A namespace option has no meaning.
    #[error("build namespaces")]
    Namespaces(#[from] NamespaceError),
    /// A token key or pattern cannot be used.
    #[error("build token verifiers")]
    Tokens(#[from] resolve::TokenError),
    /// An origin pattern is malformed.
    #[error("read client.allowed_origins")]
    Origins(#[from] OriginError),
    /// The gRPC services cannot be made.
    #[error("build grpc services")]
    Grpc(#[from] GrpcError),
    /// Redis cannot be used.
    #[error("start engines")]
    Engines(#[from] EngineError),
    /// The application cannot be asked as configured.
    #[error("prepare proxies")]
    Proxies(#[from] ProxyError),
    /// The operating system refuses threads or event queues.
    #[error("start reactor")]
    Reactor(#[from] std::io::Error),
}

/// A node, ready to serve.
pub struct Assembly {
    /// The node.
    pub node: Arc<Node>,
    /// Its connections.
    pub reactor: Arc<Reactor>,
    /// What keeps publications.
    pub broker: BrokerEngine,
    /// Names of broker and presence store.
    pub engine_names: (&'static str, &'static str),
    /// Server API over HTTP.
    pub http_api: Option<Arc<HttpApi>>,
    /// What the gRPC health service says.
    pub grpc_health: GrpcHealth,
    authority: Arc<Authority>,
    namespaces: Arc<SwappableNamespaces>,
    endpoints: Arc<Endpoints>,
    service: Arc<Service>,
    clock: Arc<dyn Clock>,
    /// This node among the others, and what carries its messages when it is not alone.
    pub cluster: (Arc<Cluster>, Option<Arc<dyn Controller>>),
    /// Kept alive for the reactor's backend, which must not own its reactor.
    _everywhere: Arc<dyn Connections>,
}

/// Namespaces of the node that a reload can replace.
struct SwappableNamespaces(ArcSwap<NodeNamespaces>);

impl crate::node::Namespaces for SwappableNamespaces {
    fn options(&self, channel: &str) -> Option<Arc<crate::node::ChannelOptions>> {
        self.0.load().options(channel)
    }
}

/// Joins the rooms as `config` says; `front_page` is what `/` shows, if anything. Starts the reactor's threads and opens no port.
///
/// # Errors
/// See [`AssemblyError`].
///
/// # Panics
/// When called outside of a tokio runtime.
pub async fn assemble(config: &Config, front_page: Option<FrontPage>) -> Result<Assembly, AssemblyError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let runtime = tokio::runtime::Handle::current();
    let namespaces = Arc::new(resolve::namespaces(config)?);
    let node_namespaces = NodeNamespaces::new(config, namespaces.clone());
    let node_namespaces = Arc::new(SwappableNamespaces(ArcSwap::from_pointee(node_namespaces)));
    let authority = Arc::new(Authority::new(resolve::verifiers(config, &runtime)?));
    let Engines { broker: engine, presence, control, broker_name, presence_name } =
        Engines::start(config, &clock).await?;
    let broker = engine.shared();
    let metrics = Arc::new(Metrics::new(metrics_settings(config), clock.now().instant));
    let cluster = match &control {
        ControlPath::None => Cluster::alone(clock.clone(), metrics.clone()),
        _ => Cluster::joined(clock.clone(), metrics.clone()),
    };
    let node = Arc::new(Node::new(NodeParts {
        name: node_name(config),
        version: crate::VERSION.to_owned(),
        broker: broker.clone(),
        presence: presence.clone(),
        cluster: cluster.clone(),
        namespaces: node_namespaces.clone(),
        metrics: metrics.clone(),
        clock: clock.clone(),
    }));
    let connections = Arc::new(OnceLock::new());
    let backend = Backend {
        broker: broker.clone(),
        presence,
        tokens: authority.clone(),
        metrics: metrics.clone(),
        connections: connections.clone(),
    };
    let shards = std::thread::available_parallelism().map_or(1, usize::from);
    let application = Arc::new(proxies(config, &metrics, &clock)?);
    let environment = resolve::environment(config, namespaces, application, node.uid());
    let reactor = Reactor::new(shards, environment, backend, clock.clone(), metrics.clone(), runtime)?;
    engine.attach(reactor.clone());
    let everywhere: Arc<dyn Connections> =
        Arc::new(Everywhere { local: reactor.clone(), cluster: cluster.clone() });
    // Set once, right here, before anything can ask.
    let _ = connections.set(Arc::downgrade(&everywhere));
    node.set_connections(reactor.clone());
    let node_as_handler: Weak<Node> = Arc::downgrade(&node);
    cluster.set_handler(node_as_handler);
    let controller = control.start(cluster.uid(), Arc::new(cluster.clone())).await?;

    let service = Arc::new(Service::new(node.clone(), ApiProtocol::Http));
    let http_api =
        (!config.http_api.disabled).then(|| Arc::new(HttpApi::new(http_settings(config), service.clone())));
    let client = &config.client;
    let endpoints = Arc::new(Endpoints {
        reactor: reactor.clone(),
        node: node.clone(),
        websocket: (!config.websocket.disabled).then(|| route_path(&config.websocket.handler_prefix)),
        webtransport: config.webtransport.enabled.then(|| webtransport(config)),
        grpc_stream: config
            .grpc_stream
            .enabled
            .then_some(grpc_stream::Options { message_size: config.grpc_stream.max_receive_message_size }),
        init: config.init.enabled.then(|| route_path(&config.init.handler_prefix)),
        front_page,
        websocket_options: Options { compression: config.websocket.frames.compression },
        emulated: EmulatedEndpoints::new(config),
        uni: UniEndpoints::new(config)?,
        origins: OriginPolicy::new(&client.allowed_origins)?,
        user_header: client.user_id_http_header.clone(),
        callers: ArcSwap::from_pointee(Callers::new(config)),
        gate: Gate::new(
            client.connection_limit as u64,
            client.connection_rate_limit as u64,
            clock.now().instant,
        ),
        metrics,
    });
    let grpc_health = GrpcHealth::serving().await;
    Ok(Assembly {
        node,
        reactor,
        broker: engine,
        engine_names: (broker_name, presence_name),
        http_api,
        grpc_health,
        authority,
        namespaces: node_namespaces,
        endpoints,
        service,
        clock,
        cluster: (cluster, controller),
        _everywhere: everywhere,
    })
}

impl Assembly {
    /// What a port with these groups of endpoints serves.
    ///
    /// # Errors
    /// When the gRPC services cannot be made.
    pub fn port(&self, config: &Config, groups: EndpointGroups) -> Result<Port, AssemblyError> {
        let grpc = groups.api.then(|| self.main_port_grpc(config)).transpose()?;
        Ok(Port {
            node: self.node.clone(),
            connections: groups.connections.then(|| self.endpoints.clone() as Arc<_>),
            api: self.http_api.clone().filter(|_| groups.api),
            grpc,
            health: groups.health.then(|| route_path(&config.health.handler_prefix)),
            metrics: groups.prometheus.then(|| route_path(&config.prometheus.handler_prefix)),
            explorer: groups
                .swagger
                .then(|| Explorer::new(&config.swagger.handler_prefix, &config.http_api.handler_prefix)),
            alt_svc: None,
            count_requests: config.prometheus.instrument_http_handlers,
        })
    }

    /// The gRPC API on the main port takes the key and the error mode of the HTTP API.
    fn main_port_grpc(&self, config: &Config) -> Result<GrpcFront, AssemblyError> {
        let settings = GrpcSettings {
            access: http_access(config),
            transport_errors: config.http_api.error_mode == "transport",
            max_message_size: API_BODY_LIMIT,
            reflection: true,
        };
        Ok(GrpcFront::new(settings, self.grpc_service(), &self.grpc_health)?)
    }

    /// The gRPC API on its own port.
    ///
    /// # Errors
    /// When the gRPC services cannot be made.
    pub fn separate_grpc(&self, config: &Config) -> Result<Port, AssemblyError> {
        let section = &config.grpc_api;
        let access = match section.key.as_str() {
            "" => Access::Open,
            key => Access::Key(ApiKey::new(key)),
        };
        let settings = GrpcSettings {
            access,
            transport_errors: section.error_mode == "transport",
            max_message_size: section.max_receive_message_size,
            reflection: section.reflection,
        };
        let grpc = Some(GrpcFront::new(settings, self.grpc_service(), &self.grpc_health)?);
        Ok(Port {
            node: self.node.clone(),
            connections: None,
            api: None,
            grpc,
            health: None,
            metrics: None,
            explorer: None,
            alt_svc: None,
            count_requests: false,
        })
    }

    /// The port of `uni_grpc`.
    pub fn uni_grpc(&self, config: &Config) -> Port {
        let message_size = match config.uni_grpc.max_receive_message_size {
            0 => DEFAULT_GRPC_MESSAGE_SIZE,
            size => size,
        };
        let options = uni_grpc::Options { message_size };
        let endpoints = UniGrpcPort { endpoints: self.endpoints.clone(), options };
        Port {
            node: self.node.clone(),
            connections: Some(Arc::new(endpoints)),
            api: None,
            grpc: None,
            health: None,
            metrics: None,
            explorer: None,
            alt_svc: None,
            count_requests: false,
        }
    }

    fn grpc_service(&self) -> Arc<Service> {
        Arc::new(Service::new(self.service.node().clone(), ApiProtocol::Grpc))
    }

    /// Puts a new configuration in force: namespaces, permissions, tokens and limits of sessions.
    ///
    /// # Errors
    /// When something in it cannot be built; then everything stays as it was.
    pub fn reload(&self, config: &Config) -> Result<(), AssemblyError> {
        let namespaces = Arc::new(resolve::namespaces(config)?);
        let verifiers = resolve::verifiers(config, &tokio::runtime::Handle::current())?;
        let application = Arc::new(proxies(config, &self.endpoints.metrics, &self.clock)?);
        let environment = resolve::environment(config, namespaces.clone(), application, self.node.uid());
        self.endpoints.callers.store(Arc::new(Callers::new(config)));
        self.authority.replace(verifiers);
        self.namespaces.0.store(Arc::new(NodeNamespaces::new(config, namespaces)));
        self.reactor.reload(environment);
        Ok(())
    }
}

fn webtransport(config: &Config) -> (String, webtransport::Options) {
    let section = &config.webtransport;
    let message_size = match section.message_size_limit {
        0 => DEFAULT_WEBTRANSPORT_MESSAGE_SIZE,
        size => size,
    };
    (route_path(&section.handler_prefix), webtransport::Options { message_size })
}

fn metrics_settings(config: &Config) -> MetricsSettings {
    MetricsSettings {
        version: crate::VERSION.to_owned(),
        native_histograms: config.prometheus.native_histograms,
        recovered_publications: config.prometheus.recovered_publications_histogram,
    }
}

fn http_access(config: &Config) -> Access {
    if config.http_api.insecure { Access::Open } else { Access::Key(ApiKey::new(&config.http_api.key)) }
}

fn http_settings(config: &Config) -> HttpApiSettings {
    HttpApiSettings {
        prefix: config.http_api.handler_prefix.clone(),
        access: http_access(config),
        transport_errors: config.http_api.error_mode == "transport",
        body_limit: API_BODY_LIMIT,
    }
}

/// The configured name, or host and port, which tell nodes of a cluster apart.
fn node_name(config: &Config) -> String {
    if !config.node.name.is_empty() {
        return config.node.name.clone();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "?" } else { host.trim() };
    format!("{host}_{}", config.http_server.port)
}
