//! The scenarios: what load to put on a server and which figures to read from it.
//!
//! Each scenario runs against one fresh server and returns a [`Report`]; comparing arms is the matrix's business.

mod api;
mod fanout;
mod idle;
mod proxy;
mod sick;
mod storm;

use crate::arm::{DELTA, PLAIN, Ports, STREAM};
use crate::clock::Clock;
use crate::engine::Engine;
use crate::ledger::Faults;
use crate::load::backend::Backend;
use crate::load::swarm::{ClientPlan, Feed, Swarm};
use crate::load::transport::Transport;
use crate::load::ward::Ward;
use crate::meter::{Meters, Usage};
use crate::target::Target;
use crate::wire::payload::{Filling, Shape};
use anyhow::Result;
use hdrhistogram::Histogram;
use proxy::Way;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of JSON payload in each publication.
const PAYLOAD: usize = 100;
/// The usual payload.
const SHAPE: Shape = Shape { size: PAYLOAD, filling: Filling::Plain };
/// Bytes of a state that changes a little with each publication.
const STATE: usize = 2048;
/// One channel with 1000 subscribers and 50 publications/s, which other scenarios vary.
const FANOUT: fanout::OpenLoop = fanout::OpenLoop::one_channel(PLAIN, 1000, 50.0);
/// Clients opened at the same time when the opening itself is not measured.
const RAMP: usize = 16;

/// A named entry of the matrix.
pub struct Scenario {
    pub name: &'static str,
    pub about: &'static str,
    kind: Kind,
}

enum Kind {
    OpenLoop(fanout::OpenLoop),
    Saturated { subscribers: u32, outstanding: u64 },
    Idle,
    ConnectStorm { clients: usize, parallel: usize },
    RecoveryStorm { clients: usize, publications: u64, parallel: usize },
    HttpPublish { connections: usize, namespace: &'static str },
    HttpBatch { commands: usize },
    HttpBroadcast { channels: usize },
    GrpcPublish { connections: usize, streams: usize },
    Rpc { connections: usize, way: Way },
    SickBackend,
}

/// Every scenario, in the order in which they run.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "fanout-1x1000",
        about: "1 channel, 1000 subscribers, 50 publications/s, open loop",
        kind: Kind::OpenLoop(FANOUT),
    },
    Scenario {
        name: "fanout-1x5000",
        about: "1 channel, 5000 subscribers, 10 publications/s, open loop",
        kind: Kind::OpenLoop(fanout::OpenLoop::one_channel(PLAIN, 5000, 10.0)),
    },
    Scenario {
        name: "fanout-positioned-1x1000",
        about: "as fanout-1x1000 on a channel with history, positioning and recovery",
        kind: Kind::OpenLoop(fanout::OpenLoop::one_channel(STREAM, 1000, 50.0)),
    },
    Scenario {
        name: "fanout-1x200",
        about: "1 channel, 200 subscribers, 100 publications/s, open loop",
        kind: Kind::OpenLoop(fanout::OpenLoop::one_channel(PLAIN, 200, 100.0)),
    },
    Scenario {
        name: "fanout-deflate-1x1000",
        about: "as fanout-1x1000 with text that is compressed for each message",
        kind: Kind::OpenLoop(FANOUT.with_text(PAYLOAD).over(Transport::WebSocket { deflate: true })),
    },
    Scenario {
        name: "fanout-delta-1x1000",
        about: "as fanout-1x1000 with a state of 2 KiB sent as Fossil deltas",
        kind: Kind::OpenLoop(fanout::OpenLoop::one_channel(DELTA, 1000, 50.0).with_text(STATE)),
    },
    Scenario {
        name: "fanout-http-stream-1x1000",
        about: "as fanout-1x1000 to subscribers on http_stream",
        kind: Kind::OpenLoop(FANOUT.over(Transport::HttpStream)),
    },
    Scenario {
        name: "fanout-sse-1x1000",
        about: "as fanout-1x1000 to subscribers on sse",
        kind: Kind::OpenLoop(FANOUT.over(Transport::Sse)),
    },
    Scenario {
        name: "fanout-uni-http-stream-1x1000",
        about: "as fanout-1x1000 to subscribers on uni_http_stream",
        kind: Kind::OpenLoop(FANOUT.over(Transport::UniHttpStream)),
    },
    Scenario {
        name: "fanout-uni-sse-1x1000",
        about: "as fanout-1x1000 to subscribers on uni_sse",
        kind: Kind::OpenLoop(FANOUT.over(Transport::UniSse)),
    },
    Scenario {
        name: "fanout-uni-grpc-1x1000",
        about: "as fanout-1x1000 to subscribers on uni_grpc, each with a connection of its own",
        kind: Kind::OpenLoop(FANOUT.over(Transport::UniGrpc)),
    },
    Scenario {
        name: "saturated-16",
        about: "1 channel, 1000 subscribers, 16 publications outstanding",
        kind: Kind::Saturated { subscribers: 1000, outstanding: 16 },
    },
    Scenario {
        name: "saturated-64",
        about: "1 channel, 1000 subscribers, 64 publications outstanding",
        kind: Kind::Saturated { subscribers: 1000, outstanding: 64 },
    },
    Scenario {
        name: "small-channels-200x5",
        about: "200 channels with 5 subscribers each, 4000 publications/s by their own clients",
        kind: Kind::OpenLoop(fanout::OpenLoop::small_channels(200, 5, 4000.0)),
    },
    Scenario {
        name: "latency-1x1",
        about: "1 publisher, 1 subscriber, 2000 publications/s",
        kind: Kind::OpenLoop(fanout::OpenLoop::one_channel(PLAIN, 1, 2000.0)),
    },
    Scenario {
        name: "idle",
        about: "idle connections with a token and one subscription (--connections)",
        kind: Kind::Idle,
    },
    Scenario {
        name: "connect-storm",
        about: "12000 clients connect with a token and subscribe, 4 at a time",
        kind: Kind::ConnectStorm { clients: 12_000, parallel: 4 },
    },
    Scenario {
        name: "recovery-storm",
        about: "5000 clients reconnect and recover 100 publications each, 4 at a time",
        kind: Kind::RecoveryStorm { clients: 5_000, publications: 100, parallel: 4 },
    },
    Scenario {
        name: "http-publish-1",
        about: "HTTP publish, 1 keep-alive connection",
        kind: Kind::HttpPublish { connections: 1, namespace: PLAIN },
    },
    Scenario {
        name: "http-publish-32",
        about: "HTTP publish, 32 keep-alive connections",
        kind: Kind::HttpPublish { connections: 32, namespace: PLAIN },
    },
    Scenario {
        name: "http-publish-128",
        about: "HTTP publish, 128 keep-alive connections",
        kind: Kind::HttpPublish { connections: 128, namespace: PLAIN },
    },
    Scenario {
        name: "http-publish-history-32",
        about: "HTTP publish into a channel with history, 32 keep-alive connections",
        kind: Kind::HttpPublish { connections: 32, namespace: STREAM },
    },
    Scenario {
        name: "http-batch-100",
        about: "HTTP batches of 100 publishes, 8 keep-alive connections",
        kind: Kind::HttpBatch { commands: 100 },
    },
    Scenario {
        name: "http-broadcast-1000",
        about: "HTTP broadcast to 1000 channels, 8 keep-alive connections",
        kind: Kind::HttpBroadcast { channels: 1000 },
    },
    Scenario {
        name: "grpc-publish-1",
        about: "gRPC unary publish, one at a time",
        kind: Kind::GrpcPublish { connections: 1, streams: 1 },
    },
    Scenario {
        name: "grpc-publish-4x32",
        about: "gRPC unary publish, 4 connections with 32 streams each",
        kind: Kind::GrpcPublish { connections: 4, streams: 32 },
    },
    Scenario {
        name: "rpc-http-32",
        about: "calls answered by an application over an HTTP proxy, 1 outstanding on each of 32 connections",
        kind: Kind::Rpc { connections: 32, way: Way::Http },
    },
    Scenario {
        name: "rpc-http-128",
        about: "calls answered by an application over an HTTP proxy, 1 outstanding on each of 128 connections",
        kind: Kind::Rpc { connections: 128, way: Way::Http },
    },
    Scenario {
        name: "rpc-grpc-32",
        about: "calls answered by an application over a gRPC proxy, 1 outstanding on each of 32 connections",
        kind: Kind::Rpc { connections: 32, way: Way::Grpc },
    },
    Scenario {
        name: "rpc-grpc-128",
        about: "calls answered by an application over a gRPC proxy, 1 outstanding on each of 128 connections",
        kind: Kind::Rpc { connections: 128, way: Way::Grpc },
    },
    Scenario {
        name: "sick-backend",
        about: "what others notice while the application behind connects, subscriptions and calls is sick",
        kind: Kind::SickBackend,
    },
];

impl Scenario {
    /// Whether the encoding of the client protocol matters to the result.
    pub fn depends_on_protocol(&self) -> bool {
        match &self.kind {
            Kind::OpenLoop(shape) => shape.transport().has_protocols(),
            Kind::Saturated { .. }
            | Kind::ConnectStorm { .. }
            | Kind::RecoveryStorm { .. }
            | Kind::Rpc { .. } => true,
            Kind::Idle
            | Kind::HttpPublish { .. }
            | Kind::HttpBatch { .. }
            | Kind::HttpBroadcast { .. }
            | Kind::GrpcPublish { .. }
            | Kind::SickBackend => false,
        }
    }

    /// Whether the engine matters to the result, and has what the scenario needs.
    pub fn suits(&self, engine: Engine) -> bool {
        if engine == Engine::Memory {
            return true;
        }
        match &self.kind {
            Kind::OpenLoop(_) => {
                ["fanout-1x1000", "fanout-positioned-1x1000", "small-channels-200x5"].contains(&self.name)
                    && (engine.keeps_history() || !self.needs_history())
            }
            Kind::HttpPublish { connections, .. } => {
                *connections == 32 && (engine.keeps_history() || !self.needs_history())
            }
            Kind::HttpBatch { .. } | Kind::HttpBroadcast { .. } => true,
            Kind::RecoveryStorm { .. } => engine.keeps_history(),
            Kind::Saturated { .. }
            | Kind::Idle
            | Kind::ConnectStorm { .. }
            | Kind::GrpcPublish { .. }
            | Kind::Rpc { .. }
            | Kind::SickBackend => false,
        }
    }

    fn needs_history(&self) -> bool {
        match &self.kind {
            Kind::OpenLoop(shape) => shape.needs_history(),
            Kind::HttpPublish { namespace, .. } => *namespace != PLAIN,
            Kind::RecoveryStorm { .. } => true,
            _ => false,
        }
    }

    /// Starts the application the scenario needs behind the server, if any.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn backend(&self) -> Result<Option<Backend>> {
        matches!(self.kind, Kind::Rpc { .. } | Kind::SickBackend).then(Backend::start).transpose()
    }

    /// Keys that switch on what the scenario needs, and no others: a server may refuse what it does not have.
    pub fn settings(&self, ports: Ports, backend: Option<&Backend>) -> Value {
        match (&self.kind, backend) {
            (Kind::OpenLoop(shape), _) => transport_settings(shape.transport(), ports),
            (Kind::SickBackend, Some(backend)) => sick::settings(backend.address()),
            (Kind::Rpc { way, .. }, Some(backend)) => {
                let scheme = match way {
                    Way::Http => "http",
                    Way::Grpc => "grpc",
                };
                let endpoint = format!("{scheme}://{}", backend.address());
                let options = json!({ "proxy_enabled": true });
                json!({ "rpc": { "proxy": { "endpoint": endpoint }, "without_namespace": options } })
            }
            _ => json!({}),
        }
    }

    /// Whether the scenario's figures are per delivery, so that the price of a bare send is worth knowing.
    pub fn counts_deliveries(&self) -> bool {
        matches!(self.kind, Kind::OpenLoop(_) | Kind::Saturated { .. })
    }

    /// Runs against the server at `bench.target`.
    ///
    /// # Errors
    /// When the scenario could not run to its end. Lost or wrong deliveries are faults in the report instead.
    pub fn run(&self, bench: &mut Bench) -> Result<Report> {
        match self.kind {
            Kind::OpenLoop(shape) => fanout::open_loop(bench, shape),
            Kind::Saturated { subscribers, outstanding } => {
                fanout::saturated(bench, subscribers, outstanding)
            }
            Kind::Idle => idle::idle(bench),
            Kind::ConnectStorm { clients, parallel } => storm::connect(bench, clients, parallel),
            Kind::RecoveryStorm { clients, publications, parallel } => {
                storm::recover(bench, clients, publications, parallel)
            }
            Kind::HttpPublish { connections, namespace } => api::http_publish(bench, connections, namespace),
            Kind::HttpBatch { commands } => api::http_batch(bench, commands),
            Kind::HttpBroadcast { channels } => api::http_broadcast(bench, channels),
            Kind::GrpcPublish { connections, streams } => api::grpc_publish(bench, connections, streams),
            Kind::Rpc { connections, .. } => proxy::rpc(bench, connections),
            Kind::SickBackend => sick::sick_backend(bench),
        }
    }
}

fn transport_settings(transport: Transport, ports: Ports) -> Value {
    // A client that cannot send does not answer pings; no run lasts until the first answer is overdue.
    let patience = json!({ "ping_interval": "300s", "pong_timeout": "240s" });
    match transport {
        Transport::WebSocket { deflate: false } => json!({}),
        Transport::WebSocket { deflate: true } => json!({ "websocket": { "compression": true } }),
        Transport::HttpStream => json!({ "http_stream": { "enabled": true }, "client": patience }),
        Transport::Sse => json!({ "sse": { "enabled": true }, "client": patience }),
        Transport::UniHttpStream => json!({ "uni_http_stream": { "enabled": true } }),
        Transport::UniSse => json!({ "uni_sse": { "enabled": true } }),
        Transport::UniGrpc => {
            json!({ "uni_grpc": { "enabled": true, "address": "127.0.0.1", "port": ports.uni_grpc } })
        }
    }
}

/// One run: the server, how to measure it, and how large to be.
pub struct Bench {
    pub target: Target,
    pub meters: Meters,
    /// How the application behind the server is, if there is one.
    pub ward: Option<Arc<Ward>>,
    pub clock: Clock,
    /// Tiny sizes: checks deliveries, measures nothing worth quoting.
    pub smoke: bool,
    /// Clients of the idle scenario.
    pub idle_connections: usize,
    /// Files this process may open.
    pub file_limit: usize,
    /// Distinguishes the channels of this run from earlier ones on the same server.
    pub run: String,
}

impl Bench {
    /// Picks a size by mode.
    fn size<T>(&self, full: T, smoke: T) -> T {
        if self.smoke { smoke } else { full }
    }

    fn warm_up(&self) -> Duration {
        self.size(Duration::from_secs(2), Duration::from_millis(100))
    }

    fn measured(&self) -> Duration {
        self.size(Duration::from_secs(5), Duration::from_millis(400))
    }

    fn channel(&self, namespace: &str, index: usize) -> String {
        format!("{namespace}:{}-{index}", self.run)
    }

    fn plan(&self, user: usize, channel: Option<u32>) -> Result<ClientPlan> {
        let token = self.target.token(&format!("user-{user}"), &[])?;
        Ok(ClientPlan { transport: Transport::PLAIN, token, channel, feed: Feed::SUBSCRIPTION })
    }

    fn swarm(&self) -> Result<Swarm> {
        Swarm::new(&self.target, self.clock)
    }
}

/// Which direction of a figure is an improvement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    Lower,
    Higher,
    /// Describes the run; not compared.
    Neither,
}

/// One figure of a run.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Metric {
    pub name: &'static str,
    pub unit: &'static str,
    pub better: Better,
    pub value: f64,
}

/// How the names of all figures begin that say what one unit of work costs the server.
pub const SERVER_CPU: &str = "server CPU per ";
/// Name of the figure that is also quoted as a multiple of the kernel yardstick.
pub const CPU_PER_DELIVERY: &str = "server CPU per delivery";
/// Name of the figure that tells whether the generator was the bottleneck.
pub const GENERATOR_SHARE: &str = "generator cores";

/// Name of the figure that tells how busy the host was with other things.
pub const OTHER_SHARE: &str = "other processes' cores";

/// What a run showed.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Report {
    pub metrics: Vec<Metric>,
    pub faults: Faults,
    /// The first few things that went wrong, in words.
    pub problems: Vec<String>,
}

impl Report {
    fn add(&mut self, name: &'static str, unit: &'static str, better: Better, value: f64) {
        self.metrics.push(Metric { name, unit, better, value });
    }

    /// Adds the server's CPU time per `count` things called `name`, that of what stands behind it, and everybody's share
    /// of a core.
    fn usage(&mut self, name: &'static str, usage: Usage, count: u64) {
        if let Some(cpu) = usage.server_cpu {
            self.add(name, "µs", Better::Lower, cpu.as_secs_f64() * 1e6 / count.max(1) as f64);
            self.add("server cores", "", Better::Neither, usage.cores(cpu));
        }
        if let Some(cpu) = usage.engine_cpu {
            let each = cpu.as_secs_f64() * 1e6 / count.max(1) as f64;
            self.add("engine CPU for the same", "µs", Better::Lower, each);
        }
        if let Some(cpu) = usage.backend_cpu {
            self.add("application cores", "", Better::Neither, usage.cores(cpu));
        }
        self.add(GENERATOR_SHARE, "", Better::Neither, usage.generator_share());
        if let Some(share) = usage.other_share() {
            self.add(OTHER_SHARE, "", Better::Neither, share);
        }
    }

    /// Adds the usual percentiles of a histogram of nanoseconds.
    fn latency(&mut self, histogram: &Histogram<u64>) {
        let micros = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e3;
        self.add("latency p50", "µs", Better::Lower, micros(0.5));
        self.add("latency p99", "µs", Better::Lower, micros(0.99));
        self.add("latency p99.9", "µs", Better::Lower, micros(0.999));
        self.add("latency max", "µs", Better::Neither, histogram.max() as f64 / 1e3);
    }

    /// Takes over what a finished swarm saw going wrong.
    fn verdict(&mut self, swarm: &Swarm) {
        self.faults = swarm.ledger().faults().clone();
        self.problems = swarm.problems().to_vec();
    }
}
