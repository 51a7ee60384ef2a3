//! The contract, kept by Redis and NATS together.

use super::*;
use crate::broker::contract_tests::{Abilities, Bench, broker_contract};
use crate::broker::redis::tests::settings;
use crate::broker::{NatsBrokerSettings, RedisBrokerSettings};
use crate::seams::SystemClock;
use crate::testing::NatsServer;
use crate::testing::redis::Server;
use crate::testing::shards::{Shared, connect, single};

struct OverBoth {
    broker: RedisNatsBroker,
    _redis: Arc<Server>,
    _nats: NatsServer,
}

impl Bench for OverBoth {
    // Messages over NATS do not hold the publication before them.
    const ABILITIES: Abilities = Abilities { previous: false, ..Abilities::ALL };

    async fn start(receiver: Arc<dyn Receiver>) -> Self {
        let redis = Server::shared().await;
        let keeping = RedisBrokerSettings { skip_pub_sub: true, ..settings() };
        let clock = Arc::new(SystemClock);
        let shards = connect(vec![single(&redis)]).await;
        let keeping = Arc::new(RedisBroker::detached(shards, &keeping, clock.clone()).expect("settings fit"));
        let nats = NatsServer::start().await;
        let delivering =
            NatsBrokerSettings { prefix: "contract".to_owned(), allow_wildcards: false, raw_mode: None };
        let delivering = NatsBroker::detached(&delivering, nats.connect().await, Arc::new(SystemClock));
        let broker =
            RedisNatsBroker::new(keeping, delivering, clock).await.expect("nats takes subscriptions");
        assert!(broker.attach(receiver));
        Self { broker, _redis: redis, _nats: nats }
    }

    fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(self.broker.clone())
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

broker_contract!(OverBoth);
