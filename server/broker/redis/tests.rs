//! The contract, kept on every kind of Redis.

mod healing;

use super::*;
use crate::broker::contract_tests::{Abilities, Bench, broker_contract};
use crate::seams::SystemClock;
use crate::stores::redis::{Address, Credentials, Dial, ShardSettings, Topology, address_list};
use crate::testing::redis::{Cluster, SentinelSet, Server};
use std::sync::{LazyLock, Mutex, PoisonError, Weak};

fn dial() -> Dial {
    Dial {
        credentials: Credentials::default(),
        tls: None,
        db: 0,
        force_resp2: false,
        connect_timeout: Duration::from_secs(5),
        io_timeout: Duration::from_secs(4),
    }
}

fn shard(topology: Topology) -> ShardSettings {
    ShardSettings { topology, dial: dial(), replicas: false }
}

fn single(server: &Server) -> ShardSettings {
    shard(Topology::Single(vec![Address::tcp(server.address())]))
}

fn settings() -> RedisBrokerSettings {
    RedisBrokerSettings {
        prefix: "contract".to_owned(),
        use_lists: false,
        skip_pub_sub: false,
        partitions: 0,
        node: crate::seams::random_id().to_string(),
    }
}

async fn start(
    receiver: Arc<dyn Receiver>,
    shards: Vec<ShardSettings>,
    settings: &RedisBrokerSettings,
) -> Arc<RedisBroker> {
    let mut connected = Vec::new();
    for shard in shards {
        connected.push(Shard::connect(shard).await.expect("redis is reached"));
    }
    let broker = RedisBroker::detached(connected, settings, Arc::new(SystemClock)).expect("settings fit");
    broker.attach(receiver);
    Arc::new(broker)
}

/// Servers that all tests of a module share, started by the first and ended with the last.
fn together<T>(known: &Mutex<Weak<T>>, start: impl FnOnce() -> T) -> Arc<T> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.upgrade().unwrap_or_else(|| {
        let started = Arc::new(start());
        *known = Arc::downgrade(&started);
        started
    })
}

macro_rules! bench {
    ($name:ident, $servers:ty, |$held:ident| $start:expr, $shards:expr, $settings:expr) => {
        struct $name {
            broker: Arc<RedisBroker>,
            _servers: Arc<$servers>,
        }

        impl Bench for $name {
            const ABILITIES: Abilities = Abilities::ALL;

            async fn start(receiver: Arc<dyn Receiver>) -> Self {
                static KNOWN: LazyLock<Mutex<Weak<$servers>>> = LazyLock::new(Mutex::default);
                let servers =
                    tokio::task::spawn_blocking(|| together(&KNOWN, || $start)).await.expect("servers start");
                let $held = servers.clone();
                Self { broker: start(receiver, $shards, &$settings).await, _servers: servers }
            }

            fn broker(&self) -> Arc<dyn Broker> {
                self.broker.clone()
            }

            async fn pass(&self, time: Duration) {
                // The time that passes is that of another process.
                tokio::time::sleep(time).await;
            }
        }
    };
}

mod streams {
    use super::*;
    bench!(OneServer, Server, |server| Server::start(&[]), vec![single(&server)], settings());
    broker_contract!(OneServer);
}

mod lists {
    use super::*;
    bench!(
        OneServer,
        Server,
        |server| Server::start(&[]),
        vec![single(&server)],
        RedisBrokerSettings { use_lists: true, ..settings() }
    );
    broker_contract!(OneServer);
}

mod old_protocol {
    use super::*;

    fn resp2(server: &Server) -> ShardSettings {
        let mut shard = single(server);
        shard.dial.force_resp2 = true;
        shard.dial.db = 3;
        shard
    }
    bench!(OneServer, Server, |server| Server::start(&[]), vec![resp2(&server)], settings());
    broker_contract!(OneServer);
}

mod two_shards {
    use super::*;
    bench!(
        TwoServers,
        [Server; 2],
        |servers| [Server::start(&[]), Server::start(&[])],
        servers.iter().map(single).collect(),
        settings()
    );
    broker_contract!(TwoServers);
}

mod sentinel {
    use super::*;

    pub(super) fn by_sentinels(set: &SentinelSet) -> ShardSettings {
        let addresses = address_list(&set.addresses(), "sentinel").expect("are addresses");
        shard(Topology::Sentinel { addresses, primary: SentinelSet::NAME.to_owned(), dial: dial() })
    }
    bench!(Sentinels, SentinelSet, |set| SentinelSet::start(), vec![by_sentinels(&set)], settings());
    broker_contract!(Sentinels);
}

mod cluster {
    use super::*;

    pub(super) fn by_nodes(cluster: &Cluster) -> ShardSettings {
        shard(Topology::Cluster(address_list(&cluster.addresses(), "cluster").expect("are addresses")))
    }
    bench!(Nodes, Cluster, |cluster| Cluster::start(), vec![by_nodes(&cluster)], settings());
    broker_contract!(Nodes);

    mod partitions {
        use super::*;
        bench!(
            Nodes,
            Cluster,
            |cluster| Cluster::start(),
            vec![by_nodes(&cluster)],
            RedisBrokerSettings { partitions: 8, ..settings() }
        );
        broker_contract!(Nodes);
    }
}
