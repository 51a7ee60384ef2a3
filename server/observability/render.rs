//! Exposes [`Metrics`] under the names and labels dashboards of this protocol query.

use super::exposition::{Collector, Exposition, Label};
use super::flat::Flat;
use super::instruments::{Bounds, HistogramTotal, SummaryTotal, Timing};
use super::labels::{Action, BrokerMessage, Frame, Suppressed, Transport};
use super::metrics::{
    BROADCAST_BOUNDS, BROADCASTS, COMMAND_BOUNDS, DEFAULT_BOUNDS, LAG_BOUNDS, Metrics, RECOVERED_BOUNDS,
    ShardMetrics,
};
use super::process;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

const NANOS: f64 = 1e9;
const NAMESPACE: Label<'static> = ("channel_namespace", "");
const CLIENT_NAME: Label<'static> = ("client_name", "unnamed");

/// What a node holds at the moment of exposition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Authenticated connections.
    pub clients: u32,
    /// Distinct users.
    pub users: u32,
    /// Subscriptions.
    pub subscriptions: u32,
    /// Channels with subscribers.
    pub channels: u32,
    /// Nodes of the cluster, this one included.
    pub nodes: u32,
    /// Publications do not reach this node, as far as the broker knows.
    pub blind: bool,
}

impl Metrics {
    /// Writes everything as Prometheus text.
    pub fn render(&self, gauges: Gauges, now: Instant) -> String {
        let mut out = Exposition::default();
        self.collect(&mut out, gauges, now);
        out.finish()
    }

    /// Values by flat name, for the `info` method: counters are what they grew by since the last call.
    pub fn aggregate(&self, gauges: Gauges, now: Instant) -> BTreeMap<String, f64> {
        let mut before = self.aggregated.lock();
        let mut out = Flat::since(&before);
        self.collect(&mut out, gauges, now);
        let (values, totals) = out.finish();
        *before = totals;
        values
    }

    fn collect(&self, out: &mut dyn Collector, gauges: Gauges, now: Instant) {
        let shards = self.shards.read().clone();
        self.node(out, gauges, &shards);
        self.clients(out, &shards, now);
        transports(out, &shards);
        self.connections(out);
        self.api(out, now);
        self.proxies(out, now);
        process::expose(out);
    }

    fn node(&self, out: &mut dyn Collector, gauges: Gauges, shards: &[Arc<ShardMetrics>]) {
        out.gauge(
            "centrifugo_node_num_clients",
            "Connections authenticated at this node.",
            &[],
            gauges.clients.into(),
        );
        out.gauge(
            "centrifugo_node_num_users",
            "Distinct users connected to this node.",
            &[],
            gauges.users.into(),
        );
        out.gauge(
            "centrifugo_node_num_subscriptions",
            "Subscriptions at this node.",
            &[],
            gauges.subscriptions.into(),
        );
        out.gauge(
            "centrifugo_node_num_channels",
            "Channels with a subscriber at this node.",
            &[],
            gauges.channels.into(),
        );
        out.gauge("centrifugo_node_num_nodes", "Nodes in the cluster.", &[], gauges.nodes.into());
        let delivers = u32::from(!gauges.blind);
        out.gauge(
            "centrifugo_broker_delivers",
            "Whether publications reach this node.",
            &[],
            delivers.into(),
        );
        out.gauge(
            "centrifugo_node_build",
            "Version of this node.",
            &[("version", &self.settings.version)],
            1.0,
        );

        for action in Action::ALL {
            let at = *action as usize;
            let count = self.actions[at].get() + sum(shards, |shard| shard.actions[at].get());
            if count > 0 {
                let labels = [("action", action.as_str()), NAMESPACE];
                out.counter("centrifugo_node_action_count", "Actions by kind.", &labels, count as f64);
            }
        }
        for message in BrokerMessage::ALL {
            let labels = [("type", message.as_str()), NAMESPACE];
            let (sent, received) =
                (self.sent[*message as usize].get(), self.received[*message as usize].get());
            out.counter(
                "centrifugo_node_messages_sent_count",
                "Messages given to the broker.",
                &labels,
                sent as f64,
            );
            out.counter(
                "centrifugo_node_messages_received_count",
                "Messages that came from the broker.",
                &labels,
                received as f64,
            );
        }
        for reason in Suppressed::ALL {
            let count = self.suppressed[*reason as usize].get();
            if count > 0 {
                let labels = [("reason", reason.as_str()), NAMESPACE];
                out.counter(
                    "centrifugo_broker_publish_suppressed_count",
                    "Publishes that changed nothing.",
                    &labels,
                    count as f64,
                );
            }
        }
        let filtered = sum(shards, |shard| shard.filtered.get());
        if filtered > 0 {
            out.counter(
                "centrifugo_node_tags_filter_dropped_publications",
                "Deliveries refused by tags filters.",
                &[NAMESPACE],
                filtered as f64,
            );
        }
        let mut lag = HistogramTotal::new(LAG_BOUNDS);
        self.lag.add_to(&mut lag);
        let help = "Time from publishing to arrival.";
        self.histogram(out, "centrifugo_node_pub_sub_lag_seconds", help, &[NAMESPACE], &lag, NANOS);
        for (at, message) in BROADCASTS.iter().enumerate() {
            let mut total = HistogramTotal::new(BROADCAST_BOUNDS);
            for shard in shards {
                shard.broadcasts[at].add_to(&mut total);
            }
            let (name, help) =
                ("centrifugo_node_broadcast_duration_seconds", "Time to hand a message to subscribers.");
            self.histogram(out, name, help, &[("type", message.as_str()), NAMESPACE], &total, NANOS);
        }
        out.counter(
            "centrifugo_node_client_connection_limit",
            "Requests refused because of the connection limit.",
            &[],
            self.connection_limit.get() as f64,
        );
        self.http_requests.each(|labels, count| {
            let help = "HTTP requests answered.";
            out.counter("centrifugo_node_incoming_http_requests_total", help, labels, count.get() as f64);
        });
    }

    fn clients(&self, out: &mut dyn Collector, shards: &[Arc<ShardMetrics>], now: Instant) {
        for command in Frame::ALL.iter().filter(|frame| frame.is_command()) {
            let timings: Vec<&Timing> = shards
                .iter()
                .filter_map(|shard| shard.commands[*command as usize].get().map(|timing| &**timing))
                .collect();
            let name = "centrifugo_client_command_duration_seconds";
            let labels = [("method", command.as_str()), NAMESPACE];
            self.timing(out, name, "Time to serve a client command.", &labels, &timings, COMMAND_BOUNDS, now);
        }
        for (recovered, outcomes) in ["no", "yes"].into_iter().enumerate() {
            for (brought, has_publications) in ["no", "yes"].into_iter().enumerate() {
                let count = sum(shards, |shard| shard.recoveries[recovered][brought].get());
                if count > 0 {
                    let labels = [
                        ("recovered", outcomes),
                        NAMESPACE,
                        ("has_recovered_publications", has_publications),
                    ];
                    out.counter("centrifugo_client_recover", "Attempts to recover.", &labels, count as f64);
                }
            }
        }
        if self.settings.recovered_publications {
            let mut total = HistogramTotal::new(RECOVERED_BOUNDS);
            for shard in shards {
                shard.recovered_publications.add_to(&mut total);
            }
            let (name, help) =
                ("centrifugo_client_recovered_publications", "Publications a recovery brought.");
            self.histogram(out, name, help, &[NAMESPACE], &total, 1.0);
        }
        let accepted = sum(shards, |shard| shard.subscriptions_accepted.get());
        if accepted > 0 {
            let inflight: i64 = shards.iter().map(|shard| shard.subscriptions_inflight.get()).sum();
            let labels = [CLIENT_NAME, NAMESPACE];
            out.counter(
                "centrifugo_client_subscriptions_accepted",
                "Subscriptions accepted.",
                &labels,
                accepted as f64,
            );
            out.gauge(
                "centrifugo_client_subscriptions_inflight",
                "Subscriptions that exist.",
                &labels,
                inflight as f64,
            );
        }
    }

    fn connections(&self, out: &mut dyn Collector) {
        self.reply_errors.each(|labels, count| {
            let help = "Errors in replies to clients.";
            out.counter("centrifugo_client_num_reply_errors", help, labels, count.get() as f64);
        });
        self.unsubscribes.each(|labels, count| {
            let help = "Subscriptions the server ended.";
            out.counter("centrifugo_client_num_server_unsubscribes", help, labels, count.get() as f64);
        });
        self.disconnects.each(|labels, count| {
            let help = "Connections the server ended.";
            out.counter("centrifugo_client_num_server_disconnects", help, labels, count.get() as f64);
        });
        self.closes.each(|labels, count| {
            let help = "Close frames sent to clients.";
            out.counter("centrifugo_transport_outgoing_close_count", help, labels, count.get() as f64);
        });
    }

    fn api(&self, out: &mut dyn Collector, now: Instant) {
        self.api_errors.each(|labels, count| {
            let help = "Server API commands that ended with an error.";
            out.counter("centrifugo_api_command_errors_total", help, labels, count.get() as f64);
        });
        for (name, family) in [
            ("centrifugo_api_command_duration_seconds", &self.api_durations),
            ("centrifugo_api_rpc_duration_seconds", &self.api_rpc_durations),
        ] {
            family.each(|labels, timing| {
                let help = "Time to serve a server API command.";
                self.timing(out, name, help, labels, &[timing], DEFAULT_BOUNDS, now);
            });
        }
    }

    fn proxies(&self, out: &mut dyn Collector, now: Instant) {
        self.proxy_calls.each(|labels, calls| {
            let (errors, inflight) = (calls.errors.get() as f64, calls.inflight.get() as f64);
            out.counter(
                "centrifugo_proxy_errors",
                "Calls of the application without an answer.",
                labels,
                errors,
            );
            let help = "Calls of the application under way.";
            out.gauge("centrifugo_proxy_inflight_requests", help, labels, inflight);
            let (name, help) = ("centrifugo_proxy_duration_seconds", "Time until the application answered.");
            self.timing(out, name, help, labels, &[&calls.durations], DEFAULT_BOUNDS, now);
        });
    }

    /// Shows a summary under `name` and a histogram under `name` with a suffix.
    #[allow(clippy::too_many_arguments)]
    fn timing(
        &self,
        out: &mut dyn Collector,
        name: &str,
        help: &'static str,
        labels: &[Label<'_>],
        timings: &[&Timing],
        bounds: Bounds,
        now: Instant,
    ) {
        let mut histogram = HistogramTotal::new(bounds);
        let mut summary = SummaryTotal::default();
        for timing in timings {
            timing.histogram.add_to(&mut histogram);
            timing.summary.add_to(&mut summary, now);
        }
        if !self.settings.native_histograms {
            out.summary(name, help, labels, &summary);
        }
        self.histogram(out, &format!("{name}_histogram"), help, labels, &histogram, NANOS);
    }

    fn histogram(
        &self,
        out: &mut dyn Collector,
        name: &str,
        help: &'static str,
        labels: &[Label<'_>],
        total: &HistogramTotal,
        unit: f64,
    ) {
        if self.settings.native_histograms {
            let flat = HistogramTotal { bounds: &[], buckets: vec![total.count()], sum: total.sum };
            return out.histogram(name, help, labels, &flat, unit);
        }
        out.histogram(name, help, labels, total, unit);
    }
}

fn transports(out: &mut dyn Collector, shards: &[Arc<ShardMetrics>]) {
    for transport in Transport::ALL {
        let at = *transport as usize;
        let label = ("transport", transport.as_str());
        let accepted = sum(shards, |shard| shard.transports[at].accepted.get());
        if accepted == 0 {
            continue;
        }
        let labels = [label, ("accept_protocol", ""), CLIENT_NAME, ("client_version", "unversioned")];
        let inflight: i64 = shards.iter().map(|shard| shard.transports[at].inflight.get()).sum();
        out.counter(
            "centrifugo_client_connections_accepted",
            "Connections accepted.",
            &labels,
            accepted as f64,
        );
        out.gauge(
            "centrifugo_client_connections_inflight",
            "Connections that exist.",
            &labels,
            inflight as f64,
        );

        let mut ping = HistogramTotal::new(COMMAND_BOUNDS);
        for histogram in shards.iter().filter_map(|shard| shard.transports[at].ping.get()) {
            histogram.add_to(&mut ping);
        }
        if ping.count() > 0 {
            let help = "Time from a ping to its pong.";
            out.histogram("centrifugo_client_ping_pong_duration_seconds", help, &[label], &ping, NANOS);
        }
        for frame in Frame::ALL {
            traffic(out, shards, at, *frame);
        }
    }
}

fn traffic(out: &mut dyn Collector, shards: &[Arc<ShardMetrics>], transport: usize, frame: Frame) {
    let labels =
        [("transport", Transport::ALL[transport].as_str()), ("frame_type", frame.as_str()), NAMESPACE];
    let at = frame as usize;
    let sent = sum(shards, |shard| shard.transports[transport].sent[at].messages.get());
    if sent > 0 {
        let bytes = sum(shards, |shard| shard.transports[transport].sent[at].bytes.get());
        out.counter("centrifugo_transport_messages_sent", "Messages sent to clients.", &labels, sent as f64);
        out.counter(
            "centrifugo_transport_messages_sent_size",
            "Bytes of messages sent to clients, before compression and framing.",
            &labels,
            bytes as f64,
        );
    }
    let received = sum(shards, |shard| shard.transports[transport].received[at].messages.get());
    if received > 0 {
        let bytes = sum(shards, |shard| shard.transports[transport].received[at].bytes.get());
        out.counter(
            "centrifugo_transport_messages_received",
            "Messages that came from clients.",
            &labels,
            received as f64,
        );
        out.counter(
            "centrifugo_transport_messages_received_size",
            "Bytes of messages that came from clients, without compression and framing.",
            &labels,
            bytes as f64,
        );
    }
}

fn sum(shards: &[Arc<ShardMetrics>], read: impl Fn(&ShardMetrics) -> u64) -> u64 {
    shards.iter().map(|shard| read(shard)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::labels::ApiProtocol;
    use super::super::metrics::MetricsSettings;
    use super::*;
    use std::time::Duration;

    fn rendered(settings: MetricsSettings) -> String {
        let start = Instant::now();
        let metrics = Metrics::new(settings, start);
        for shard in [metrics.add_shard(), metrics.add_shard()] {
            shard.connection_accepted(Transport::WebSocket);
            shard.sent(Transport::WebSocket, Frame::PushPublication, 10, 1_000);
            shard.command(Frame::Connect, Duration::from_micros(200), start);
            shard.recovery(true, 3);
            shard.action(Action::AddClient);
        }
        metrics.action(Action::History);
        metrics.sent(BrokerMessage::Publication, 5);
        metrics.server_disconnect(3005);
        metrics.api_error(ApiProtocol::Http, "publish", "102".to_owned());
        metrics.api_duration(ApiProtocol::Grpc, "info").observe(Duration::from_millis(7), start);
        metrics.render(Gauges { clients: 2, nodes: 1, ..Gauges::default() }, start)
    }

    #[test]
    fn names_and_labels_are_those_of_the_protocol() {
        let text = rendered(MetricsSettings {
            version: "6.9.1 OSS".to_owned(),
            recovered_publications: true,
            ..MetricsSettings::default()
        });
        for line in [
            "centrifugo_node_num_clients 2",
            "centrifugo_node_num_nodes 1",
            r#"centrifugo_node_build{version="6.9.1 OSS"} 1"#,
            r#"centrifugo_node_action_count{action="add_client",channel_namespace=""} 2"#,
            r#"centrifugo_node_action_count{action="history",channel_namespace=""} 1"#,
            r#"centrifugo_node_messages_sent_count{type="publication",channel_namespace=""} 5"#,
            r#"centrifugo_client_connections_inflight{transport="websocket",accept_protocol="",client_name="unnamed",client_version="unversioned"} 2"#,
            r#"centrifugo_transport_messages_sent{transport="websocket",frame_type="push_publication",channel_namespace=""} 20"#,
            r#"centrifugo_transport_messages_sent_size{transport="websocket",frame_type="push_publication",channel_namespace=""} 2000"#,
            r#"centrifugo_client_command_duration_seconds_count{method="connect",channel_namespace=""} 2"#,
            r#"centrifugo_client_command_duration_seconds_histogram_bucket{method="connect",channel_namespace="",le="0.0001"} 0"#,
            r#"centrifugo_client_command_duration_seconds_histogram_bucket{method="connect",channel_namespace="",le="0.00025"} 2"#,
            r#"centrifugo_client_num_server_disconnects{code="3005"} 1"#,
            r#"centrifugo_client_recover{recovered="yes",channel_namespace="",has_recovered_publications="yes"} 2"#,
            r#"centrifugo_client_recovered_publications_bucket{channel_namespace="",le="3"} 2"#,
            r#"centrifugo_api_command_errors_total{protocol="http",method="publish",error="102"} 1"#,
            r#"centrifugo_api_command_duration_seconds_histogram_bucket{protocol="grpc",method="info",le="0.01"} 1"#,
            r#"centrifugo_api_command_duration_seconds_count{protocol="grpc",method="info"} 1"#,
            r#"centrifugo_node_broadcast_duration_seconds_bucket{type="publication",channel_namespace="",le="1e-06"} 0"#,
        ] {
            assert!(text.lines().any(|candidate| candidate == line), "missing {line}\n{text}");
        }
        assert!(text.contains("process_resident_memory_bytes "));
    }

    #[test]
    fn native_histograms_hide_summaries_and_buckets() {
        let text = rendered(MetricsSettings { native_histograms: true, ..MetricsSettings::default() });
        assert!(!text.contains("quantile="), "{text}");
        assert!(!text.contains("recovered_publications_bucket"));
        for line in text.lines().filter(|line| line.contains("le=")) {
            assert!(line.contains("le=\"+Inf\""), "{line}");
        }
    }
}
