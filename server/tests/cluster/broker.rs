//! What the nodes of a scenario share: real servers that are killed, stopped and started again.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::nats::NatsServer;
use std::sync::{Mutex, PoisonError};

use crate::queue::NatsPart;
use crate::redis::{SentinelSet, Server, cli, wait_for};
use crate::slots::Slotted;

/// What a scenario asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokerKind {
    /// One Redis that forgets everything when it ends.
    Redis,
    /// One Redis with an append-only file that is written before it answers.
    DurableRedis,
    /// One Redis with an append-only file that is synced every second. While that lasts it answers before it writes.
    LaggingRedis,
    /// Two Redis between which channels are spread.
    RedisShards,
    /// One Redis that keeps history in lists.
    RedisLists,
    /// A Redis with a replica, watched by three Sentinels.
    Sentinels,
    /// The same, and nodes listen at the replica.
    SentinelsReadReplica,
    /// A Redis Cluster of three primaries with a replica each.
    RedisCluster,
    /// The same, whose slots carry the messages of four partitions of channels.
    RedisClusterPartitions,
    /// A NATS server, and a Redis for presence.
    Nats,
    /// A NATS server that delivers, and a Redis that keeps history and forgets it when it ends.
    RedisNats,
    /// The same, and Redis forgets nothing.
    DurableRedisNats,
}

/// The running servers.
pub enum Broker {
    Redis(Server),
    RedisLists(Server),
    RedisShards([Server; 2]),
    Sentinels(Watched),
    RedisCluster(Slotted),
    Nats(NatsServer, Server),
    RedisNats(NatsPart, Server),
}

/// A broker whose primaries can be replaced.
pub trait Failing {
    /// Kills a primary.
    fn kill_primary(&self);
    /// Makes a replica a primary in good order, or without asking its primary.
    fn order_failover(&self, force: bool);
    /// Waits until the primary that went has a successor.
    fn elected(&self);
    /// Starts what was killed; it becomes a replica. Waits until it has everything.
    fn start_former(&self);
}

/// Redis servers under Sentinels.
pub struct Watched {
    set: SentinelSet,
    reads_replica: bool,
    /// The primary that was killed or replaced last.
    former: Mutex<Option<u16>>,
}

impl Watched {
    fn start(reads_replica: bool) -> Self {
        Self { set: SentinelSet::start(), reads_replica, former: Mutex::new(None) }
    }

    fn primary_goes(&self) -> u16 {
        let primary = self.set.primary();
        *self.former.lock().unwrap_or_else(PoisonError::into_inner) = Some(primary);
        primary
    }

    fn former(&self) -> Option<u16> {
        *self.former.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends one Sentinel of three.
    pub fn kill_sentinel(&self) {
        self.set.sentinels[0].kill();
    }

    /// Takes the replica away from its primary; it goes on as a server of its own that no Sentinel knows.
    pub fn detach_replica(&self) {
        let primary = self.set.primary();
        let replica = self.set.data.iter().find(|server| server.port != primary);
        let said = replica.map(|replica| replica.ask(&["REPLICAOF", "NO", "ONE"]));
        assert!(said.is_some_and(|said| said.contains("OK")), "the replica follows nobody");
        let forgotten = |port| {
            // Reset again each time: a Sentinel that still knows the replica would make it follow again.
            cli(port, &["SENTINEL", "RESET", SentinelSet::NAME]);
            let state = cli(port, &["SENTINEL", "MASTER", SentinelSet::NAME]);
            let mut fields = state.lines().skip_while(|field| *field != "num-slaves");
            fields.nth(1) == Some("0")
        };
        wait_for("sentinels to forget the replica", || {
            // All of them, so that none tells another.
            let all: Vec<bool> = self.set.sentinels.iter().map(|sentinel| forgotten(sentinel.port)).collect();
            all.into_iter().all(|one| one)
        });
    }

    fn server(&self, port: u16) -> &Server {
        self.set.data.iter().find(|server| server.port == port).expect("sentinels name one of ours")
    }
}

impl Failing for Watched {
    fn kill_primary(&self) {
        self.server(self.primary_goes()).kill();
    }

    /// The primary lives on, and is told later than the others that it is one no more. Sentinels know no other way.
    fn order_failover(&self, _: bool) {
        self.primary_goes();
        wait_for("sentinels that fail over", || self.set.order_failover());
    }

    fn elected(&self) {
        wait_for("another primary", || Some(self.set.primary()) != self.former());
    }

    fn start_former(&self) {
        let Some(former) = self.former() else { return };
        let server = self.server(former);
        server.restart();
        wait_for("a new replica", || server.follows());
    }
}

impl Broker {
    pub async fn start(kind: BrokerKind) -> Self {
        match kind {
            BrokerKind::Redis => Self::Redis(Server::start(&[])),
            BrokerKind::DurableRedis => {
                Self::Redis(Server::start(&["--appendonly", "yes", "--appendfsync", "always"]))
            }
            BrokerKind::LaggingRedis => {
                Self::Redis(Server::start(&["--appendonly", "yes", "--appendfsync", "everysec"]))
            }
            BrokerKind::RedisLists => Self::RedisLists(Server::start(&[])),
            BrokerKind::RedisShards => Self::RedisShards([Server::start(&[]), Server::start(&[])]),
            BrokerKind::Sentinels => Self::Sentinels(Watched::start(false)),
            BrokerKind::SentinelsReadReplica => Self::Sentinels(Watched::start(true)),
            BrokerKind::RedisCluster => Self::RedisCluster(Slotted::start(0)),
            BrokerKind::RedisClusterPartitions => Self::RedisCluster(Slotted::start(4)),
            BrokerKind::Nats => Self::Nats(NatsServer::start().await, Server::start(&[])),
            BrokerKind::RedisNats => Self::RedisNats(NatsPart::start().await, Server::start(&[])),
            BrokerKind::DurableRedisNats => Self::RedisNats(
                NatsPart::start().await,
                Server::start(&["--appendonly", "yes", "--appendfsync", "always"]),
            ),
        }
    }

    /// `host:port` to put a link before; several, separated by commas, where there can be none.
    pub fn address(&self) -> String {
        match self {
            Self::Redis(server) | Self::RedisLists(server) => server.address(),
            Self::RedisShards(servers) => servers.each_ref().map(Server::address).join(","),
            Self::Sentinels(watched) => watched.set.addresses(),
            Self::RedisCluster(cluster) => cluster.addresses(),
            Self::Nats(server, _) => format!("127.0.0.1:{}", server.port()),
            Self::RedisNats(nats, _) => format!("127.0.0.1:{}", nats.port()),
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
            Self::Sentinels(watched) => json!({"engine": {"type": "redis", "redis": {
                "sentinel_address": [address],
                "sentinel_master_name": SentinelSet::NAME,
                "replica_client": {"enabled": watched.reads_replica},
            }}}),
            Self::RedisCluster(slotted) => json!({"engine": {"type": "redis", "redis": {
                "cluster_address": [address],
                "sharded_pub_sub_partitions": slotted.partitions(),
            }}}),
            Self::Nats(_, redis) => json!({
                "broker": {"enabled": true, "type": "nats", "nats": {"url": format!("nats://{address}")}},
                "presence_manager": {"enabled": true, "type": "redis", "redis": {"address": redis.address()}},
            }),
            Self::RedisNats(_, redis) => json!({
                "enable_unreleased_features": true,
                "broker": {
                    "enabled": true,
                    "type": "redisnats",
                    "nats": {"url": format!("nats://{address}")},
                    "redis": {"address": redis.address()},
                },
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

    /// How often publications that are kept were read so far.
    pub fn history_reads(&self) -> u64 {
        let said = self.single().ask(&["INFO", "commandstats"]);
        let calls = |line: &str| {
            let fields =
                line.strip_prefix("cmdstat_xrange:calls=").or(line.strip_prefix("cmdstat_lrange:calls="));
            fields?.split(',').next()?.parse::<u64>().ok()
        };
        said.lines().filter_map(calls).sum()
    }

    /// The servers that Sentinels watch.
    pub fn watched(&self) -> Result<&Watched, String> {
        match self {
            Self::Sentinels(watched) => Ok(watched),
            _ => Err("there are no Sentinels".to_owned()),
        }
    }

    /// The same, or the Cluster.
    pub fn failing(&self) -> Result<&dyn Failing, String> {
        match self {
            Self::Sentinels(watched) => Ok(watched),
            Self::RedisCluster(slotted) => Ok(slotted),
            _ => Err("there are no replicas".to_owned()),
        }
    }

    /// The Cluster.
    pub fn slotted(&self) -> Result<&Slotted, String> {
        match self {
            Self::RedisCluster(slotted) => Ok(slotted),
            _ => Err("there is no Cluster".to_owned()),
        }
    }

    /// The NATS server of redisnats.
    pub fn nats(&self) -> Result<&NatsPart, String> {
        match self {
            Self::RedisNats(nats, _) => Ok(nats),
            _ => Err("there is no NATS that can be killed".to_owned()),
        }
    }

    /// Whether a link can stand before it: others name addresses themselves.
    pub fn takes_links(&self) -> bool {
        matches!(self, Self::Redis(_) | Self::RedisLists(_) | Self::Nats(..) | Self::RedisNats(..))
    }

    /// Keeps a copy of what it knows now, which is what it knows when it is started again.
    pub fn save(&self) {
        let said = self.single().ask(&["SAVE"]);
        assert!(said.contains("OK"), "redis does not save: {said}");
    }

    /// The Redis that steps without a name mean.
    fn single(&self) -> &Server {
        match self {
            Self::Redis(server) | Self::RedisLists(server) | Self::RedisNats(_, server) => server,
            _ => panic!("a scenario with a broker of several parts must name the part"),
        }
    }
}
