//! The verbs of a node, shared by sessions, the server API and whatever else causes things to happen.
//!
//! Knows no transport and no encoding. Options of a channel come from its namespace; who is
//! allowed to use a verb was decided before it is called.

mod cluster;
mod connections;
mod control;
mod data_format;
mod emulation;
mod glob;
mod namespaces;
mod publish;
mod read;
mod types;

pub use connections::{Connections, Counts, Everywhere};
pub use data_format::DataFormat;
pub use emulation::EmulationError;
pub use glob::{Glob, GlobError};
pub use namespaces::{ChannelKind, ChannelOptions, Namespaces};
pub use types::{
    ChannelsPage, DisconnectUser, NodeError, NodeInfo, PublishRequest, RefreshUser, SubscribeUser, Target,
    UnsubscribeUser,
};

use crate::broker::Broker;
use crate::cluster::Cluster;
use crate::observability::Metrics;
use crate::presence::PresenceStore;
use crate::seams::Clock;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// What a node is made of.
pub struct NodeParts {
    /// Configured name; empty is allowed.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Engine for publications.
    pub broker: Arc<dyn Broker>,
    /// Engine for presence.
    pub presence: Arc<dyn PresenceStore>,
    /// This node among the others.
    pub cluster: Arc<Cluster>,
    /// Options of channels.
    pub namespaces: Arc<dyn Namespaces>,
    /// Where actions are counted.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// One node of the cluster: everything that can be asked of it.
///
/// Verbs whose engine answers at once answer at once and allocate no future; see
/// [`crate::broker::MaybeReady`].
pub struct Node {
    started: Instant,
    parts: NodeParts,
    /// Set once, because connections need the node and the node needs them.
    connections: OnceLock<Arc<dyn Connections>>,
    /// Set when the process begins to end.
    leaving: AtomicBool,
    /// Metrics as [`Node::info`] shows them, replaced whole at each aggregation.
    aggregated: ArcSwap<Aggregated>,
}

/// Values of metrics over an interval.
#[derive(Default)]
struct Aggregated {
    items: BTreeMap<String, f64>,
    interval: Duration,
}

impl Node {
    /// Makes a node with no connections.
    pub fn new(parts: NodeParts) -> Self {
        let started = parts.clock.now().instant;
        let (connections, aggregated) = (OnceLock::new(), ArcSwap::default());
        Self { started, parts, connections, leaving: AtomicBool::new(false), aggregated }
    }

    /// Gives the node its connections. Only the first call counts.
    pub fn set_connections(&self, connections: Arc<dyn Connections>) {
        let _ = self.connections.set(connections);
    }

    /// The identifier, new at each start.
    pub fn uid(&self) -> &str {
        self.parts.cluster.uid()
    }

    /// The configured name.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// The version of the program.
    pub fn version(&self) -> &str {
        &self.parts.version
    }

    /// The engine for publications.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.parts.broker
    }

    /// The engine for presence.
    pub fn presence_store(&self) -> &Arc<dyn PresenceStore> {
        &self.parts.presence
    }

    /// Where this node counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.parts.metrics
    }

    /// This node's time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.parts.clock
    }

    /// What subscriptions to a channel are.
    ///
    /// # Errors
    /// `BadRequest` when the channel is empty; `UnknownChannel`.
    pub fn kind(&self, channel: &str) -> Result<ChannelKind, NodeError> {
        Ok(self.named_options(channel)?.kind)
    }

    /// Options of a channel that must exist.
    fn options(&self, channel: &str) -> Result<Arc<ChannelOptions>, NodeError> {
        self.parts.namespaces.options(channel).ok_or_else(|| NodeError::UnknownChannel(channel.to_owned()))
    }

    /// Options of a channel that must be named and exist.
    fn named_options(&self, channel: &str) -> Result<Arc<ChannelOptions>, NodeError> {
        if channel.is_empty() {
            return Err(NodeError::BadRequest("channel is empty"));
        }
        self.options(channel)
    }
}

#[cfg(test)]
mod tests;
