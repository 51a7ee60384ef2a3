//! The whole configuration.

use super::channel::Channel;
use super::client::Client;
use super::consumers::Consumer;
use super::engines::{Broker, Controller, Engine, MapBroker, PresenceManager, SharedPoll};
use super::listeners::{HttpServer, Log, Node, Shutdown};
use super::operations::{
    Admin, Debug, Graphite, GrpcApi, Health, HttpApi, OpenTelemetry, Prometheus, Swagger, UsageStats,
};
use super::proxy::NamedProxy;
use super::rpc::Rpc;
use super::transports::{
    Emulation, GrpcStream, HttpStream, Init, Sse, UniGrpc, UniHttpStream, UniSse, UniWebSocket, WebSocket,
    WebTransport,
};
use crate::config::setting::section;

section! {
    /// The whole configuration, as written; checked by [`Config::validate`].
    pub struct Config {
        /// The main HTTP server and its internal twin.
        http_server: HttpServer,
        /// Logging.
        log: Log,
        /// Broker and presence manager in one.
        engine: Engine,
        /// What carries publications and keeps history, when it is not the engine.
        broker: Broker,
        /// What keeps presence, when it is not the engine.
        presence_manager: PresenceManager,
        /// What keeps the keys and streams of map channels.
        map_broker: MapBroker,
        /// What carries messages between nodes, when it is not the broker.
        controller: Controller,
        /// Shared poll subscriptions.
        shared_poll: SharedPoll,
        /// Client connections.
        client: Client,
        /// Channels and their namespaces.
        channel: Channel,
        /// Calls of clients that the application answers.
        rpc: Rpc,
        /// Proxies that namespaces choose by name.
        proxies: Vec<NamedProxy>,
        /// The server API over HTTP.
        http_api: HttpApi,
        /// The server API over gRPC.
        grpc_api: GrpcApi,
        /// Commands of the server API that arrive from queues and tables.
        consumers: Vec<Consumer>,
        /// WebSocket.
        websocket: WebSocket,
        /// Server-sent events.
        sse: Sse,
        /// HTTP streaming.
        http_stream: HttpStream,
        /// WebTransport.
        webtransport: WebTransport,
        /// Unidirectional server-sent events.
        uni_sse: UniSse,
        /// Unidirectional HTTP streaming.
        uni_http_stream: UniHttpStream,
        /// Unidirectional WebSocket.
        uni_websocket: UniWebSocket,
        /// Unidirectional gRPC.
        uni_grpc: UniGrpc,
        /// The client protocol over gRPC, both directions in one stream.
        grpc_stream: GrpcStream,
        /// The way back of `sse` and `http_stream`.
        emulation: Emulation,
        /// The web interface for operators.
        admin: Admin,
        /// Metrics in the Prometheus format.
        prometheus: Prometheus,
        /// An endpoint that tells whether the server lives.
        health: Health,
        /// A page that describes the server API.
        swagger: Swagger,
        /// Endpoints for profiling.
        debug: Debug,
        /// An endpoint that prepares a connection.
        init: Init,
        /// Tracing over OpenTelemetry.
        opentelemetry: OpenTelemetry,
        /// Metrics sent to Graphite.
        graphite: Graphite,
        /// Anonymous usage statistics.
        usage_stats: UsageStats,
        /// This process as a member of a cluster.
        node: Node,
        /// Graceful shutdown.
        shutdown: Shutdown,
        /// File that receives the process id.
        pid_file: String,
        /// Allows features that may still change or go.
        enable_unreleased_features: bool,
    }
}
