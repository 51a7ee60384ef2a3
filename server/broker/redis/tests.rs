//! The contract, kept on every kind of Redis.

mod failover;
mod healing;
mod racing;

use super::*;
use crate::broker::contract_tests::{Abilities, Bench, broker_contract};
use crate::seams::SystemClock;
use crate::stores::redis::ShardSettings;
use crate::testing::redis::{Cluster, SentinelSet, Server};
use crate::testing::shards::{Shared, by_nodes, by_sentinels, connect, single};

pub(in crate::broker) fn settings() -> RedisBrokerSettings {
    RedisBrokerSettings {
        prefix: "contract".to_owned(),
        use_lists: false,
        skip_pub_sub: false,
        partitions: 0,
        node: crate::seams::random_id().to_string(),
    }
}

pub(in crate::broker) async fn start(
    receiver: Arc<dyn Receiver>,
    shards: Vec<ShardSettings>,
    settings: &RedisBrokerSettings,
) -> Arc<RedisBroker> {
    let broker =
        RedisBroker::detached(connect(shards).await, settings, Arc::new(SystemClock)).expect("settings fit");
    broker.attach(receiver);
    Arc::new(broker)
}

macro_rules! bench {
    ($name:ident, $servers:ty, |$held:ident| $shards:expr, $settings:expr) => {
        struct $name {
            broker: Arc<RedisBroker>,
            _servers: Arc<$servers>,
        }

        impl Bench for $name {
            const ABILITIES: Abilities = Abilities::ALL;

            async fn start(receiver: Arc<dyn Receiver>) -> Self {
                let servers = <$servers>::shared().await;
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
    bench!(OneServer, Server, |server| vec![single(&server)], settings());
    broker_contract!(OneServer);
}

mod lists {
    use super::*;
    bench!(
        OneServer,
        Server,
        |server| vec![single(&server)],
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
    bench!(OneServer, Server, |server| vec![resp2(&server)], settings());
    broker_contract!(OneServer);
}

mod two_shards {
    use super::*;
    bench!(TwoServers, [Server; 2], |servers| servers.iter().map(single).collect(), settings());
    broker_contract!(TwoServers);
}

mod sentinel {
    use super::*;

    bench!(Sentinels, SentinelSet, |set| vec![by_sentinels(&set)], settings());
    broker_contract!(Sentinels);
}

mod cluster {
    use super::*;

    bench!(Nodes, Cluster, |cluster| vec![by_nodes(&cluster)], settings());
    broker_contract!(Nodes);

    mod partitions {
        use super::*;
        bench!(
            Nodes,
            Cluster,
            |cluster| vec![by_nodes(&cluster)],
            RedisBrokerSettings { partitions: 8, ..settings() }
        );
        broker_contract!(Nodes);
    }
}
