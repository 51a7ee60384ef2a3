//! A server on a free port.

use crate::api::{
    Access, ConnectionEndpoints, Explorer, GrpcFront, GrpcHealth, GrpcSettings, HttpApi, HttpApiSettings,
    Port, Reply, Service, http_service,
};
use crate::auth::ApiKey;
use crate::broker::{ClientInfo, MemoryBroker, Publication, Receiver, StreamPosition};
use crate::cluster::Cluster;
use crate::net::{Body, Peer, RequestBody, Serving, listen, serve};
use crate::node::{
    ChannelKind, ChannelOptions, Connections, Counts, DataFormat, DisconnectUser, Namespaces, Node,
    NodeParts, RefreshUser, SubscribeUser, UnsubscribeUser,
};
use crate::observability::{ApiProtocol, Metrics, MetricsSettings};
use crate::presence::{MemoryPresence, PresenceStore};
use crate::seams::{Clock, VirtualClock};
use bytes::Bytes;
use http::{Request, Response};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What the connections were told, and what was delivered.
#[derive(Default)]
pub struct Notes {
    pub subscribed: Mutex<Vec<Arc<SubscribeUser>>>,
    pub unsubscribed: Mutex<Vec<Arc<UnsubscribeUser>>>,
    pub disconnected: Mutex<Vec<Arc<DisconnectUser>>>,
    pub refreshed: Mutex<Vec<Arc<RefreshUser>>>,
    pub delivered: Mutex<Vec<(String, Arc<Publication>)>>,
}

impl Connections for Notes {
    fn subscribe(&self, request: Arc<SubscribeUser>) {
        self.subscribed.lock().push(request);
    }
    fn unsubscribe(&self, request: Arc<UnsubscribeUser>) {
        self.unsubscribed.lock().push(request);
    }
    fn disconnect(&self, request: Arc<DisconnectUser>) {
        self.disconnected.lock().push(request);
    }
    fn refresh(&self, request: Arc<RefreshUser>) {
        self.refreshed.lock().push(request);
    }
    fn channels(&self) -> Vec<(Arc<str>, u32)> {
        vec![("news".into(), 2), ("chat:1".into(), 1)]
    }
    fn counts(&self) -> Counts {
        Counts { clients: 3, users: 2, channels: 2, subscriptions: 3 }
    }
}

impl Receiver for Notes {
    fn publication(
        &self,
        channel: &Arc<str>,
        publication: Arc<Publication>,
        _: StreamPosition,
        _: bool,
        _: Option<Arc<Publication>>,
    ) {
        self.delivered.lock().push((channel.to_string(), publication));
    }
    fn join(&self, _: &Arc<str>, _: Arc<ClientInfo>) {}
    fn leave(&self, _: &Arc<str>, _: Arc<ClientInfo>) {}
}

/// Namespaces `kept` (history and presence), `json`, `map`; channels without namespace.
struct Rules;

impl Namespaces for Rules {
    fn options(&self, channel: &str) -> Option<Arc<ChannelOptions>> {
        let mut options = ChannelOptions::default();
        match channel.split_once(':').map_or("", |(namespace, _)| namespace) {
            "" => {}
            "kept" => {
                options.history_size = 10;
                options.history_ttl = Duration::from_secs(60);
                options.presence = true;
            }
            "json" => options.data_format = DataFormat::Json,
            "map" => options.kind = ChannelKind::Map,
            _ => return None,
        }
        Some(Arc::new(options))
    }
}

/// A path that clients connect to.
struct Clients;

impl ConnectionEndpoints for Clients {
    fn names(&self) -> Vec<&'static str> {
        vec!["websocket"]
    }
    fn handles(&self, path: &str) -> bool {
        path == "/connection/websocket"
    }
    fn call(&self, request: Request<RequestBody>, peer: Peer) -> Reply {
        let text = format!("{} {}", request.method(), peer.address.ip());
        Box::pin(std::future::ready(Response::new(Body::from(text))))
    }
}

/// How the server differs from an open one with everything switched on.
pub struct Options {
    pub access: Access,
    pub transport_errors: bool,
    pub prefix: &'static str,
    pub body_limit: usize,
    pub count_requests: bool,
    pub max_message_size: usize,
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            access: Access::Open,
            transport_errors: false,
            prefix: "/api/",
            body_limit: 64 << 20,
            count_requests: false,
            max_message_size: 0,
            tls: None,
        }
    }
}

pub fn key(text: &str) -> Access {
    Access::Key(ApiKey::new(text))
}

/// A running server; it stops when dropped.
pub struct Server {
    pub address: SocketAddr,
    pub notes: Arc<Notes>,
    pub node: Arc<Node>,
    pub presence: Arc<MemoryPresence>,
    pub api: Arc<HttpApi>,
    pub health: GrpcHealth,
    stop: Option<oneshot::Sender<()>>,
    task: Option<tokio::task::JoinHandle<()>>,
}

pub async fn start(options: Options) -> Server {
    let clock = Arc::new(VirtualClock::new(1_700_000_000_000));
    let notes = Arc::new(Notes::default());
    let presence = Arc::new(MemoryPresence::new());
    let metrics = Arc::new(Metrics::new(MetricsSettings::default(), clock.now().instant));
    let node = Arc::new(Node::new(NodeParts {
        name: "test".to_owned(),
        version: "6.9.1 OSS".to_owned(),
        broker: Arc::new(MemoryBroker::new(notes.clone(), clock.clone())),
        presence: presence.clone(),
        namespaces: Arc::new(Rules),
        cluster: Cluster::alone(clock.clone(), metrics.clone()),
        metrics,
        clock,
    }));
    node.set_connections(notes.clone());
    let settings = HttpApiSettings {
        prefix: options.prefix.to_owned(),
        access: options.access.clone(),
        transport_errors: options.transport_errors,
        body_limit: options.body_limit,
    };
    let service = |protocol| Arc::new(Service::new(node.clone(), protocol));
    let api = Arc::new(HttpApi::new(settings, service(ApiProtocol::Http)));
    let settings = GrpcSettings {
        access: options.access,
        transport_errors: options.transport_errors,
        max_message_size: options.max_message_size,
        reflection: true,
    };
    let health = GrpcHealth::serving().await;
    let grpc = GrpcFront::new(settings, service(ApiProtocol::Grpc), &health).expect("descriptors");
    let port = Port {
        node: node.clone(),
        connections: Some(Arc::new(Clients)),
        api: Some(api.clone()),
        grpc: Some(grpc),
        health: Some("/health".to_owned()),
        metrics: Some("/metrics".to_owned()),
        explorer: Some(Explorer::new("/swagger", options.prefix)),
        alt_svc: None,
        count_requests: options.count_requests,
    };
    let listener = listen("127.0.0.1", 0).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = Serving {
        listener,
        tls: options.tls,
        workers: None,
        extended_connect: false,
        make_service: http_service(Arc::new(port)),
    };
    let task = tokio::spawn(serve(serving, async move {
        let _ = stopped.await;
    }));
    Server { address, notes, node, presence, api, health, stop: Some(stop), task: Some(task) }
}

impl Server {
    /// Puts a client into the presence of a channel.
    pub async fn enter(&self, channel: &str, client: &str, user: &str) {
        let info = ClientInfo {
            user: user.to_owned(),
            client: client.to_owned(),
            conn_info: Bytes::from_static(br#"{ "name" : "<b>" }"#),
            chan_info: Bytes::new(),
        };
        self.presence.add(&Arc::from(channel), Arc::new(info)).await.expect("added");
    }

    pub fn metrics(&self) -> String {
        self.node.metrics().render(self.node.gauges(), self.node.clock().now().instant)
    }

    /// Stops and waits until requests under way have ended.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            task.await.expect("no panic");
        }
    }
}
