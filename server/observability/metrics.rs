//! What the server counts. Threads that own connections count in their own [`ShardMetrics`];
//! everything is summed when somebody asks.

use super::family::Family;
use super::instruments::{Bounds, Counter, Histogram, LocalCounter, LocalGauge, Timing};
use super::labels::{Action, ApiProtocol, BrokerMessage, Frame, Suppressed, Transport};
use super::proxy_calls::ProxyCalls;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const fn micros<const N: usize>(values: [u64; N]) -> [u64; N] {
    let mut nanos = values;
    let mut at = 0;
    while at < N {
        nanos[at] *= 1_000;
        at += 1;
    }
    nanos
}

/// Bounds of command and ping durations: 100 µs to 10 s.
pub const COMMAND_BOUNDS: Bounds = &micros([
    100, 250, 500, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
]);
/// Bounds of broadcast durations: 1 µs to 10 s.
pub const BROADCAST_BOUNDS: Bounds = &micros([
    1, 5, 10, 50, 100, 250, 500, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
]);
/// Bounds of publish and subscribe lag: 1 ms to 10 s.
pub const LAG_BOUNDS: Bounds = &micros([
    1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
    10_000_000,
]);
/// Bounds a Prometheus client uses by default: 5 ms to 10 s.
pub const DEFAULT_BOUNDS: Bounds = &micros([
    5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
]);
/// Bounds of how many publications one recovery brought.
pub const RECOVERED_BOUNDS: Bounds = &[0, 1, 2, 3, 5, 10, 20, 50, 100, 250, 500, 1_000, 2_000, 5_000, 10_000];

/// What the exposition shows besides counts.
#[derive(Clone, Debug, Default)]
pub struct MetricsSettings {
    /// Value of the label of `node_build`.
    pub version: String,
    /// Hide summaries and the buckets of histograms (`prometheus.native_histograms`).
    pub native_histograms: bool,
    /// Show how many publications recoveries bring (`prometheus.recovered_publications_histogram`).
    pub recovered_publications: bool,
}

/// All metrics of a node.
#[derive(Debug)]
pub struct Metrics {
    pub(super) settings: MetricsSettings,
    pub(super) start: Instant,
    /// Appended to once per thread at start, read when exposed.
    pub(super) shards: RwLock<Vec<Arc<ShardMetrics>>>,
    /// Counters at the last aggregation. The lock is held for one aggregation, about once a minute.
    pub(super) aggregated: Mutex<BTreeMap<String, f64>>,
    pub(super) actions: [Counter; Action::COUNT],
    pub(super) sent: [Counter; BrokerMessage::COUNT],
    pub(super) received: [Counter; BrokerMessage::COUNT],
    pub(super) suppressed: [Counter; Suppressed::COUNT],
    pub(super) lag: Histogram,
    pub(super) connection_limit: Counter,
    pub(super) http_requests: Family<Counter, 3>,
    pub(super) reply_errors: Family<Counter, 3>,
    pub(super) unsubscribes: Family<Counter, 2>,
    pub(super) disconnects: Family<Counter, 1>,
    pub(super) closes: Family<Counter, 2>,
    pub(super) api_errors: Family<Counter, 3>,
    pub(super) api_durations: Family<Timing, 2>,
    pub(super) api_rpc_durations: Family<Timing, 2>,
    pub(super) proxy_calls: Family<ProxyCalls, 3>,
}

impl Metrics {
    /// Starts counting; `start` is the moment the process began.
    pub fn new(settings: MetricsSettings, start: Instant) -> Self {
        Self {
            settings,
            start,
            shards: RwLock::default(),
            aggregated: Mutex::default(),
            actions: Default::default(),
            sent: Default::default(),
            received: Default::default(),
            suppressed: Default::default(),
            lag: Histogram::new(LAG_BOUNDS),
            connection_limit: Counter::default(),
            http_requests: Family::new(["path", "method", "status"]),
            reply_errors: Family::new(["method", "code", "channel_namespace"]),
            unsubscribes: Family::new(["code", "channel_namespace"]),
            disconnects: Family::new(["code"]),
            closes: Family::new(["transport", "code"]),
            api_errors: Family::new(["protocol", "method", "error"]),
            api_durations: Family::new(["protocol", "method"]),
            api_rpc_durations: Family::new(["protocol", "method"]),
            proxy_calls: Family::new(["protocol", "type", "name"]),
        }
    }

    /// Adds counters for one more thread that owns connections.
    pub fn add_shard(&self) -> Arc<ShardMetrics> {
        let shard = Arc::new(ShardMetrics::new(self.start));
        self.shards.write().push(Arc::clone(&shard));
        shard
    }

    /// Counts an action of the node. Threads with a shard use [`ShardMetrics::action`].
    pub fn action(&self, action: Action) {
        self.actions[action as usize].increment();
    }

    /// Counts messages given to the broker or to other nodes.
    pub fn sent(&self, message: BrokerMessage, n: u64) {
        self.sent[message as usize].add(n);
    }

    /// Counts messages that came from the broker or from other nodes.
    pub fn received(&self, message: BrokerMessage, n: u64) {
        self.received[message as usize].add(n);
    }

    /// Counts a publish that changed nothing.
    pub fn suppressed(&self, reason: Suppressed) {
        self.suppressed[reason as usize].increment();
    }

    /// Takes the time from publishing to arrival.
    pub fn lag(&self, lag: Duration) {
        self.lag.observe(nanos(lag));
    }

    /// Counts a request refused because the node has as many connections as it may.
    pub fn connection_limit(&self) {
        self.connection_limit.increment();
    }

    /// Counts an HTTP request; `path` is a configured route, never what the peer wrote.
    pub fn http_request(&self, path: &str, method: &http::Method, status: http::StatusCode) {
        // Methods are the peer's choice; unknown ones share a series so that it cannot make new ones.
        let method = match method.as_str() {
            known @ ("GET" | "POST" | "PUT" | "DELETE" | "HEAD" | "OPTIONS" | "PATCH" | "CONNECT"
            | "TRACE") => known.to_owned(),
            _ => "other".to_owned(),
        };
        let labels = [path.to_owned().into(), method.into(), status.as_str().to_owned().into()];
        self.http_requests.get(labels, Counter::default).increment();
    }

    /// Counts an error in a reply to a client.
    pub fn reply_error(&self, command: Frame, code: u32) {
        let labels = [command.as_str().into(), code.to_string().into(), "".into()];
        self.reply_errors.get(labels, Counter::default).increment();
    }

    /// Counts a subscription the server ended.
    pub fn server_unsubscribe(&self, code: u32) {
        self.unsubscribes.get([code.to_string().into(), "".into()], Counter::default).increment();
    }

    /// Counts a connection the server ended.
    pub fn server_disconnect(&self, code: u32) {
        self.disconnects.get([code.to_string().into()], Counter::default).increment();
    }

    /// Counts a close frame sent.
    pub fn outgoing_close(&self, transport: Transport, code: u32) {
        let labels = [transport.as_str().into(), code.to_string().into()];
        self.closes.get(labels, Counter::default).increment();
    }

    /// Counts an error a server API command ended with; `error` is a code or a word.
    pub fn api_error(&self, protocol: ApiProtocol, method: &'static str, error: String) {
        let labels = [protocol.as_str().into(), method.into(), error.into()];
        self.api_errors.get(labels, Counter::default).increment();
    }

    /// Finds where the durations of a server API method go; keep it.
    pub fn api_duration(&self, protocol: ApiProtocol, method: &'static str) -> Arc<Timing> {
        self.api_durations
            .get([protocol.as_str().into(), method.into()], || Timing::new(DEFAULT_BOUNDS, self.start))
    }

    /// Finds where the durations of an API remote procedure go; `method` is one that exists.
    pub fn api_rpc_duration(&self, protocol: ApiProtocol, method: &str) -> Arc<Timing> {
        self.api_rpc_durations.get([protocol.as_str().into(), method.to_owned().into()], || {
            Timing::new(DEFAULT_BOUNDS, self.start)
        })
    }

    /// Finds where calls of `event` to the proxy `name` are counted; keep it.
    pub fn proxy_calls(&self, protocol: &'static str, event: &'static str, name: &str) -> Arc<ProxyCalls> {
        self.proxy_calls.get([protocol.into(), event.into(), name.to_owned().into()], || {
            ProxyCalls::new(Timing::new(DEFAULT_BOUNDS, self.start))
        })
    }
}

/// What one thread counts about the connections it owns. Only that thread writes.
#[derive(Debug)]
pub struct ShardMetrics {
    start: Instant,
    pub(super) actions: [LocalCounter; Action::COUNT],
    pub(super) transports: [TransportMetrics; Transport::COUNT],
    pub(super) subscriptions_accepted: LocalCounter,
    pub(super) subscriptions_inflight: LocalGauge,
    pub(super) commands: [OnceLock<Box<Timing>>; Frame::COUNT],
    pub(super) broadcasts: [Histogram; BROADCASTS.len()],
    /// Failed and successful recoveries, each without and with publications.
    pub(super) recoveries: [[LocalCounter; 2]; 2],
    pub(super) recovered_publications: Histogram,
    pub(super) filtered: LocalCounter,
}

/// What is broadcast; control messages are not.
pub(super) const BROADCASTS: [BrokerMessage; 3] =
    [BrokerMessage::Publication, BrokerMessage::Join, BrokerMessage::Leave];

/// What one thread counts about one transport.
#[derive(Debug, Default)]
pub(super) struct TransportMetrics {
    pub(super) accepted: LocalCounter,
    pub(super) inflight: LocalGauge,
    pub(super) sent: [Traffic; Frame::COUNT],
    pub(super) received: [Traffic; Frame::COUNT],
    pub(super) ping: OnceLock<Box<Histogram>>,
}

/// Messages and their size.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) messages: LocalCounter,
    pub(super) bytes: LocalCounter,
}

impl ShardMetrics {
    fn new(start: Instant) -> Self {
        Self {
            start,
            actions: Default::default(),
            transports: Default::default(),
            subscriptions_accepted: LocalCounter::default(),
            subscriptions_inflight: LocalGauge::default(),
            commands: Default::default(),
            broadcasts: BROADCASTS.map(|_| Histogram::new(BROADCAST_BOUNDS)),
            recoveries: Default::default(),
            recovered_publications: Histogram::new(RECOVERED_BOUNDS),
            filtered: LocalCounter::default(),
        }
    }

    /// Counts an action.
    pub fn action(&self, action: Action) {
        self.actions[action as usize].increment();
    }

    /// Counts a connection that was accepted.
    pub fn connection_accepted(&self, transport: Transport) {
        let transport = &self.transports[transport as usize];
        transport.accepted.increment();
        transport.inflight.add(1);
    }

    /// Counts a connection that ended.
    pub fn connection_ended(&self, transport: Transport) {
        self.transports[transport as usize].inflight.add(-1);
    }

    /// Counts a subscription that was accepted.
    pub fn subscription_accepted(&self) {
        self.subscriptions_accepted.increment();
        self.subscriptions_inflight.add(1);
    }

    /// Counts a subscription that ended.
    pub fn subscription_ended(&self) {
        self.subscriptions_inflight.add(-1);
    }

    /// Counts `n` messages of `bytes` bytes together, sent to clients. Bytes are those of the
    /// encoded messages, without framing and before compression.
    pub fn sent(&self, transport: Transport, frame: Frame, n: u64, bytes: u64) {
        self.transports[transport as usize].sent[frame as usize].add(n, bytes);
    }

    /// Counts a message of `bytes` bytes that came from a client.
    pub fn received(&self, transport: Transport, frame: Frame, bytes: u64) {
        self.transports[transport as usize].received[frame as usize].add(1, bytes);
    }

    /// Takes how long a command took; it ended at `now`.
    pub fn command(&self, command: Frame, took: Duration, now: Instant) {
        self.commands[command as usize]
            .get_or_init(|| Box::new(Timing::new(COMMAND_BOUNDS, self.start)))
            .observe(took, now);
    }

    /// Takes how long it took to hand a message to this thread's subscribers.
    pub fn broadcast(&self, message: BrokerMessage, took: Duration) {
        if let Some(at) = BROADCASTS.iter().position(|known| *known == message) {
            self.broadcasts[at].observe(nanos(took));
        }
    }

    /// Counts an attempt to recover and what it brought.
    pub fn recovery(&self, recovered: bool, publications: usize) {
        self.recoveries[usize::from(recovered)][usize::from(publications > 0)].increment();
        self.recovered_publications.observe(publications as u64);
    }

    /// Takes the time from a ping to its pong.
    pub fn ping(&self, transport: Transport, took: Duration) {
        self.transports[transport as usize]
            .ping
            .get_or_init(|| Box::new(Histogram::new(COMMAND_BOUNDS)))
            .observe(nanos(took));
    }

    /// Counts deliveries a subscriber's tags filter refused.
    pub fn filtered(&self, n: u64) {
        self.filtered.add(n);
    }
}

impl Traffic {
    fn add(&self, messages: u64, bytes: u64) {
        self.messages.add(messages);
        self.bytes.add(bytes);
    }
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().min(u64::MAX.into()) as u64
}
