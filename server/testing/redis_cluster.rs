//! A Redis Cluster for tests: nodes that die, take over, lag, and pass slots on.

use super::{Server, cli, free_port, wait_for};
use crate::stores::redis::slot_of;
use std::ops::RangeInclusive;

/// A Redis Cluster of three primaries with a replica each.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Server>,
}

impl Cluster {
    /// Starts all of it and waits until every node knows all slots.
    pub(crate) fn start() -> Self {
        let arguments = [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "1500",
            "--cluster-config-file",
            "nodes.conf",
        ];
        let nodes: Vec<Server> = (0..6)
            .map(|_| {
                let (port, bus) = (free_port(), free_port().to_string());
                let bus = ["--cluster-port", &bus];
                // Redis before 7 and its kin take the port 10,000 above, and refuse to start with this.
                let bus: &[&str] = if std::env::var_os("GYRE_REDIS_SERVER").is_some() { &[] } else { &bus };
                Server::start_on(port, &[&arguments[..], bus].concat())
            })
            .collect();
        let cluster = Self { nodes };
        let addresses: Vec<String> = cluster.nodes.iter().map(Server::address).collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(addresses.iter().map(String::as_str));
        create.extend(["--cluster-replicas", "1", "--cluster-yes"]);
        let said = cli(cluster.nodes[0].port, &create);
        assert!(said.contains("All 16384 slots covered"), "cluster was not made: {said}");
        let replicas = || cluster.nodes.iter().filter(|node| node.follows()).count();
        wait_for("the cluster", || cluster.is_whole() && replicas() == 3);
        cluster
    }

    /// Addresses of all nodes, separated by commas.
    pub(crate) fn addresses(&self) -> String {
        self.nodes.iter().map(Server::address).collect::<Vec<_>>().join(",")
    }

    /// Whether every node that runs sees all slots served.
    pub(crate) fn is_whole(&self) -> bool {
        self.nodes.iter().all(|node| {
            let said = node.ask(&["CLUSTER", "INFO"]);
            said.is_empty() || said.contains("cluster_state:ok")
        })
    }

    /// The node that has the slot of `key`; none while it is being replaced.
    pub(crate) fn owner(&self, key: &str) -> Option<&Server> {
        let slot = usize::from(slot_of(key.as_bytes()));
        let owner = self.any().seen().into_iter().find(|node| node.slots.iter().any(|s| s.contains(&slot)));
        owner.map(|owner| self.node(&owner.address))
    }

    /// Moves all keys of the slot of `key` to another primary, which does not have the slot yet.
    pub(crate) fn begin_to_move(&self, key: &str) -> Move {
        let slot = slot_of(key.as_bytes()).to_string();
        let from = self.owner(key).expect("somebody has the slot");
        let nodes = self.any().seen();
        let named = |address: String| nodes.iter().find(|node| node.address == address);
        let from_id = named(from.address()).expect("knows the owner").id.clone();
        let to = nodes.iter().find(|node| node.id != from_id && !node.slots.is_empty());
        let to = to.expect("there is another primary");
        let to_node = self.node(&to.address);
        to_node.tell(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
        from.tell(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to.id]);
        // Under load more come until the last has moved.
        loop {
            let keys = from.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
            let keys: Vec<&str> = keys.lines().filter(|key| !key.is_empty()).collect();
            if keys.is_empty() {
                break;
            }
            let port = to_node.port.to_string();
            let order = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            from.tell(&[&order[..], &keys].concat());
        }
        Move { slot, to: to.id.clone() }
    }

    /// Gives a slot to the primary that has its keys.
    pub(crate) fn finish_moving(&self, key: &str, Move { slot, to }: &Move) {
        let before = self.owner(key).map(|owner| owner.port);
        let nodes = self.any().seen();
        let new = self.node(&nodes.iter().find(|node| node.id == *to).expect("it is known").address);
        new.tell(&["CLUSTER", "SETSLOT", slot, "NODE", to]);
        for node in nodes.iter().filter(|node| !node.slots.is_empty() && node.id != *to) {
            self.node(&node.address).tell(&["CLUSTER", "SETSLOT", slot, "NODE", to]);
        }
        wait_for("the slot at its new node", || self.owner(key).map(|owner| owner.port) != before);
    }

    /// The node at `port`.
    pub(crate) fn at(&self, port: u16) -> &Server {
        self.nodes.iter().find(|node| node.port == port).expect("it is one of ours")
    }

    /// Ports of the nodes that have slots and live.
    pub(crate) fn primaries(&self) -> Vec<u16> {
        let seen = self.any().seen().into_iter().filter(|node| !node.slots.is_empty());
        seen.map(|node| self.node(&node.address).port).collect()
    }

    /// The replica of the primary at `port`.
    pub(crate) fn replica_of(&self, port: u16) -> &Server {
        let port = format!("master_port:{port}\r\n");
        let follows = |node: &&Server| node.ask(&["INFO", "replication"]).contains(&port);
        self.nodes.iter().find(follows).expect("the primary has a replica")
    }

    /// Takes the replica of the primary at `port` off its stream: what the primary takes from now on it does not get.
    pub(crate) fn hold_back(&self, port: u16) {
        let replica = self.replica_of(port);
        // It cannot come back with these.
        replica.tell(&["CONFIG", "SET", "masteruser", "nobody"]);
        replica.tell(&["CONFIG", "SET", "masterauth", "nothing"]);
        self.at(port).ask(&["CLIENT", "KILL", "TYPE", "replica"]);
        wait_for("a replica without its primary", || !replica.follows());
    }

    /// Waits until the slots of the node at `port` have another owner, and all are served.
    pub(crate) fn replaced(&self, port: u16) {
        wait_for("a cluster without a node", || !self.primaries().contains(&port) && self.is_whole());
    }

    /// Whether clients listen at the node at `port` to channels of that pattern.
    pub(crate) fn is_heard(&self, port: u16, pattern: &str) -> bool {
        !self.at(port).ask(&["PUBSUB", "CHANNELS", pattern]).trim().is_empty()
    }

    fn node(&self, address: &str) -> &Server {
        self.nodes.iter().find(|node| node.address() == address).expect("it is one of ours")
    }

    /// A node that answers.
    fn any(&self) -> &Server {
        let answers = |node: &&Server| node.ask(&["PING"]).contains("PONG");
        self.nodes.iter().find(answers).expect("some node answers")
    }
}

/// A slot between two nodes.
pub(crate) struct Move {
    slot: String,
    to: String,
}

/// What one node knows of another that is not failing.
struct Seen {
    id: String,
    address: String,
    slots: Vec<RangeInclusive<usize>>,
}

impl Server {
    /// The nodes of its cluster.
    fn seen(&self) -> Vec<Seen> {
        let said = self.ask(&["CLUSTER", "NODES"]);
        let mut nodes = Vec::new();
        for line in said.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let (Some(id), Some(address), Some(flags)) = (fields.first(), fields.get(1), fields.get(2))
            else {
                continue;
            };
            if flags.contains("fail") {
                continue;
            }
            let slots = fields.iter().skip(8).filter_map(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                Some(first.parse().ok()?..=last.parse().ok()?)
            });
            let address = address.split('@').next().unwrap_or_default().to_owned();
            nodes.push(Seen { id: (*id).to_owned(), address, slots: slots.collect() });
        }
        nodes
    }

    /// Asks for something that has no answer but that it was done.
    fn tell(&self, arguments: &[&str]) {
        let said = self.ask(arguments);
        assert!(said.contains("OK") || said.contains("NOKEY"), "{arguments:?}: {said}");
    }
}
