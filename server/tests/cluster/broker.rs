//! What the nodes of a scenario share: real servers that are killed, stopped and started again.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::nats::NatsServer;
use crate::redis::{Cluster, Server};

/// What a scenario asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokerKind {
    /// One Redis that forgets everything when it ends.
    Redis,
    /// One Redis with an append-only file, synced every second.
    DurableRedis,
    /// Two Redis between which channels are spread.
    RedisShards,
    /// One Redis that keeps history in lists.
    RedisLists,
    /// A Redis Cluster of three primaries with a replica each.
    RedisCluster,
    /// A NATS server, and a Redis for presence.
    Nats,
}

/// The running servers.
pub enum Broker {
    Redis(Server),
    RedisLists(Server),
    RedisShards([Server; 2]),
    RedisCluster(Cluster),
    Nats(NatsServer, Server),
}

impl Broker {
    pub async fn start(kind: BrokerKind) -> Self {
        match kind {
            BrokerKind::Redis => Self::Redis(Server::start(&[])),
            BrokerKind::DurableRedis => {
                Self::Redis(Server::start(&["--appendonly", "yes", "--appendfsync", "everysec"]))
            }
            BrokerKind::RedisLists => Self::RedisLists(Server::start(&[])),
            BrokerKind::RedisShards => Self::RedisShards([Server::start(&[]), Server::start(&[])]),
            BrokerKind::RedisCluster => Self::RedisCluster(Cluster::start()),
            BrokerKind::Nats => Self::Nats(NatsServer::start().await, Server::start(&[])),
        }
    }

    /// `host:port` to put a link before; several, separated by commas, where there can be none.
    pub fn address(&self) -> String {
        match self {
            Self::Redis(server) | Self::RedisLists(server) => server.address(),
            Self::RedisShards(servers) => servers.each_ref().map(Server::address).join(","),
            Self::RedisCluster(cluster) => cluster.addresses(),
            Self::Nats(server, _) => format!("127.0.0.1:{}", server.port()),
        }
    }

    /// Configuration of a node that reaches it at `address`.
    pub fn config(&self, address: &str) -> Value {
        match self {
            Self::Redis(_) => json!({"engine": {"type": "redis", "redis": {"address": address}}}),
            Self::RedisLists(_) => {
                json!({"engine": {"type": "redis", "redis": {"address": address, "history_use_lists": true}}})
            }
            Self::RedisShards(_) => {
                let addresses: Vec<&str> = address.split(',').collect();
                json!({"engine": {"type": "redis", "redis": {"address": addresses}}})
            }
            Self::RedisCluster(_) => {
                json!({"engine": {"type": "redis", "redis": {"cluster_address": [address]}}})
            }
            Self::Nats(_, redis) => json!({
                "broker": {"enabled": true, "type": "nats", "nats": {"url": format!("nats://{address}")}},
                "presence_manager": {"enabled": true, "type": "redis", "redis": {"address": redis.address()}},
            }),
        }
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&self) {
        self.single().kill();
    }

    /// Starts it again at the same place.
    pub fn restart(&self) {
        self.single().restart();
    }

    /// Stops it where it stands: connections stay, nothing is answered.
    pub fn pause(&self) {
        self.single().pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.single().resume();
    }

    /// The server that steps without a name mean.
    fn single(&self) -> &Server {
        match self {
            Self::Redis(server) => server,
            _ => panic!("a scenario with a broker of several parts must name the part"),
        }
    }
}
