//! Verbs that only look: presence, history, channels, nodes.

use super::{Aggregated, ChannelsPage, Counts, Node, NodeError, NodeInfo, cluster};
use crate::broker::{ClientInfo, HistoryFilter, HistoryPage, MaybeReady};
use crate::observability::{Action, Gauges};
use crate::presence::PresenceStats;
use gyre_proto::api;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Node {
    /// Returns everyone in a channel, by client identifier.
    ///
    /// # Errors
    /// `BadRequest` when the channel is empty; `UnknownChannel`; `NotAvailable` when the namespace
    /// keeps no presence; `Presence`.
    pub fn presence(
        &self,
        channel: &str,
    ) -> MaybeReady<Result<BTreeMap<String, Arc<ClientInfo>>, NodeError>> {
        if let Err(error) = self.check_presence(channel) {
            return MaybeReady::ready(Err(error));
        }
        self.count(Action::Presence);
        convert(self.parts.presence.get(&Arc::from(channel)))
    }

    /// Counts everyone in a channel.
    ///
    /// # Errors
    /// As [`Node::presence`].
    pub fn presence_stats(&self, channel: &str) -> MaybeReady<Result<PresenceStats, NodeError>> {
        if let Err(error) = self.check_presence(channel) {
            return MaybeReady::ready(Err(error));
        }
        self.count(Action::PresenceStats);
        convert(self.parts.presence.stats(&Arc::from(channel)))
    }

    /// Reads the stream of a channel.
    ///
    /// # Errors
    /// `BadRequest` when the channel is empty; `UnknownChannel`; `NotAvailable` when the namespace
    /// keeps no history; `Broker`.
    pub fn history(
        &self,
        channel: &str,
        filter: HistoryFilter,
    ) -> MaybeReady<Result<HistoryPage, NodeError>> {
        match self.check_history(channel) {
            Ok(meta_ttl) => {
                self.count(Action::History);
                convert(self.parts.broker.history(&Arc::from(channel), filter, meta_ttl))
            }
            Err(error) => MaybeReady::ready(Err(error)),
        }
    }

    /// Removes the retained publications of a channel.
    ///
    /// # Errors
    /// As [`Node::history`].
    pub fn remove_history(&self, channel: &str) -> MaybeReady<Result<(), NodeError>> {
        if let Err(error) = self.check_history(channel) {
            return MaybeReady::ready(Err(error));
        }
        self.count(Action::HistoryRemove);
        convert(self.parts.broker.remove_history(&Arc::from(channel)))
    }

    /// Lists channels of all nodes with subscribers whose names match `pattern`; the empty pattern matches all.
    ///
    /// # Errors
    /// `BadPattern`; `Survey` when a node does not answer, `NoAnswer` when it cannot: a retry may help.
    pub fn channels(&self, pattern: &str) -> MaybeReady<Result<ChannelsPage, NodeError>> {
        self.count(Action::Survey);
        let glob = match cluster::glob(pattern) {
            Ok(glob) => glob,
            Err(error) => return MaybeReady::ready(Err(error)),
        };
        let cluster = &self.parts.cluster;
        if cluster.size() == 1 {
            let own = self.own_channels(glob.as_ref());
            let channels = own.map(|(name, clients)| (name.to_string(), clients)).collect();
            return MaybeReady::ready(Ok(ChannelsPage { channels }));
        }
        let request = api::ChannelsRequest { pattern: pattern.to_owned() };
        cluster.survey(cluster::CHANNELS, request.encode_to_vec().into(), None).map(|answers| {
            let channels = cluster::sum_channels(answers?)?;
            Ok(ChannelsPage { channels })
        })
    }

    /// Describes every node of the cluster, this one first.
    pub fn info(&self) -> Vec<NodeInfo> {
        let others = self.parts.cluster.others().into_iter().map(NodeInfo::from);
        std::iter::once(self.own_info()).chain(others).collect()
    }

    /// Describes this node.
    pub(super) fn own_info(&self) -> NodeInfo {
        let Counts { clients, users, channels, subscriptions } = self.counts();
        let uptime = self.parts.clock.now().instant.saturating_duration_since(self.started);
        let aggregated = self.aggregated.load();
        NodeInfo {
            uid: self.uid().to_owned(),
            name: self.parts.name.clone(),
            version: self.parts.version.clone(),
            clients,
            users,
            channels,
            subscriptions,
            uptime: uptime.as_secs().min(u32::MAX.into()) as u32,
            metrics: aggregated.items.clone(),
            metrics_interval: aggregated.interval.as_secs_f64(),
        }
    }

    /// Takes the metrics of the last `interval` for [`Node::info`]. Called once per interval, which is
    /// `node.info_metrics_aggregate_interval`.
    pub fn aggregate_metrics(&self, interval: Duration) {
        let now = self.parts.clock.now().instant;
        let items = self.parts.metrics.aggregate(self.gauges(), now);
        self.aggregated.store(Arc::new(Aggregated { items, interval }));
    }

    /// What this node holds, for [`crate::observability::Metrics::render`].
    pub fn gauges(&self) -> Gauges {
        let Counts { clients, users, channels, subscriptions } = self.counts();
        let nodes = self.parts.cluster.size() as u32;
        Gauges {
            clients,
            users,
            subscriptions,
            channels,
            nodes,
            blind: self.parts.broker.trouble().is_some(),
        }
    }

    /// Why clients should be served by other nodes now; none when there is no reason.
    pub fn trouble(&self) -> Option<String> {
        if self.is_leaving() {
            Some("the node is shutting down".to_owned())
        } else {
            self.parts.broker.trouble()
        }
    }

    /// Says that the process begins to end: clients and calls belong to other nodes from now on.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether the process begins to end.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    fn counts(&self) -> Counts {
        self.connections.get().map(|connections| connections.counts()).unwrap_or_default()
    }

    fn check_presence(&self, channel: &str) -> Result<(), NodeError> {
        if self.named_options(channel)?.presence {
            return Ok(());
        }
        Err(NodeError::NotAvailable("presence"))
    }

    fn check_history(&self, channel: &str) -> Result<Duration, NodeError> {
        let options = self.named_options(channel)?;
        if options.has_history() {
            return Ok(options.history_meta_ttl);
        }
        Err(NodeError::NotAvailable("history"))
    }
}

/// Gives an engine's answer the error type of this room; no future is made for one that is there.
fn convert<T: Send + 'static, E: Into<NodeError> + Send + 'static>(
    answer: MaybeReady<Result<T, E>>,
) -> MaybeReady<Result<T, NodeError>> {
    match answer {
        MaybeReady::Ready(answer) => MaybeReady::Ready(answer.map(|answer| answer.map_err(Into::into))),
        MaybeReady::Later(answer) => MaybeReady::later(async move { answer.await.map_err(Into::into) }),
    }
}
