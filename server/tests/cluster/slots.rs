//! A Redis Cluster under a scenario: whose turn it is to die, lag or give slots away.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::broker::Failing;
use crate::redis::cluster::Move;
use crate::redis::{Cluster, wait_for};
use crate::stores::redis::shard_of;

/// Channels of clients, as Redis names them.
const CLIENTS: &str = "*.client.*";

/// The running Cluster.
pub struct Slotted {
    cluster: Cluster,
    /// Partitions of sharded publish/subscribe, zero without.
    partitions: usize,
    /// The primary that was killed or replaced last.
    former: Mutex<Option<u16>>,
    /// Counts turns of channels whose primary or slot is meant.
    turns: AtomicUsize,
    /// The slot on its way, by what is between braces in its names.
    moving: Mutex<Option<(String, Move)>>,
}

impl Slotted {
    pub fn start(partitions: usize) -> Self {
        let (former, turns, moving) = (Mutex::new(None), AtomicUsize::new(0), Mutex::new(None));
        Self { cluster: Cluster::start(), partitions, former, turns, moving }
    }

    pub fn addresses(&self) -> String {
        self.cluster.addresses()
    }

    /// Partitions of sharded publish/subscribe, zero without.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// What decides over the slot of a channel.
    fn tag(&self, channel: &str) -> String {
        match self.partitions {
            0 => format!("{{{channel}}}"),
            partitions => format!("{{{}}}", shard_of(channel, partitions)),
        }
    }

    /// That of another channel each time.
    fn next_tag(&self) -> String {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        self.tag(&format!("flow:{}", turn % 10))
    }

    /// The primary that goes next: each has its turn.
    fn next_primary(&self) -> u16 {
        let tag = self.next_tag();
        wait_for("an owner of a slot", || self.cluster.owner(&tag).is_some());
        self.goes(self.cluster.owner(&tag).expect("there was one a moment ago").port)
    }

    /// A primary at which nodes listen to channels of clients, or do not; any when there is none.
    fn primary(&self, heard: bool) -> u16 {
        let primaries = self.cluster.primaries();
        let fitting = primaries.iter().find(|port| self.cluster.is_heard(**port, CLIENTS) == heard);
        self.goes(*fitting.or(primaries.first()).expect("there are primaries"))
    }

    fn goes(&self, port: u16) -> u16 {
        *self.former.lock().unwrap_or_else(PoisonError::into_inner) = Some(port);
        port
    }

    fn former(&self) -> Option<u16> {
        *self.former.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the replica of a primary off its stream. That primary is killed next.
    pub fn hold_replica_back(&self) {
        self.cluster.hold_back(self.primary(false));
    }

    /// Kills the primary whose replica was held back. Answers which of `channels` were kept there.
    pub fn kill_forgotten(&self, channels: &[Arc<str>]) -> Vec<Arc<str>> {
        let port = self.former();
        let kept =
            |channel: &&Arc<str>| self.cluster.owner(&self.tag(channel)).map(|owner| owner.port) == port;
        let kept = channels.iter().filter(kept).cloned().collect();
        if let Some(port) = port {
            self.cluster.at(port).kill();
        }
        kept
    }

    /// Ends all connections that listen.
    pub fn deafen(&self) {
        for node in &self.cluster.nodes {
            node.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        }
    }

    /// Moves the keys of the slot of another channel to another primary, while all still name the one before.
    pub fn begin_to_move(&self) {
        let tag = self.next_tag();
        let moving = self.cluster.begin_to_move(&tag);
        *self.moving.lock().unwrap_or_else(PoisonError::into_inner) = Some((tag, moving));
    }

    /// Gives that slot to where its keys are.
    pub fn finish_moving(&self) {
        let moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (tag, moving) = moving.expect("a slot is on its way");
        self.cluster.finish_moving(&tag, &moving);
    }
}

impl Failing for Slotted {
    /// One that nodes listen at and one that they do not take turns.
    fn kill_primary(&self) {
        let heard = self.turns.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        self.cluster.at(self.primary(heard)).kill();
    }

    fn order_failover(&self, force: bool) {
        let replica = self.cluster.replica_of(self.next_primary());
        let order: &[&str] = if force { &["CLUSTER", "FAILOVER", "FORCE"] } else { &["CLUSTER", "FAILOVER"] };
        wait_for("a replica that takes over", || replica.ask(order).contains("OK"));
    }

    fn elected(&self) {
        if let Some(port) = self.former() {
            self.cluster.replaced(port);
        }
    }

    fn start_former(&self) {
        let nodes = &self.cluster.nodes;
        for node in nodes {
            if node.ask(&["PING"]).is_empty() {
                node.restart();
            }
            for secret in ["masteruser", "masterauth"] {
                node.ask(&["CONFIG", "SET", secret, ""]);
            }
        }
        wait_for("a cluster with all replicas", || {
            self.cluster.is_whole() && nodes.iter().filter(|node| node.follows()).count() == 3
        });
    }
}
