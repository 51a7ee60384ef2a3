//! The contract, kept by Redis and NATS together.

use super::*;
use crate::broker::contract_tests::{Abilities, Bench, broker_contract};
use crate::broker::redis::tests::{settings, start};
use crate::broker::{NatsBrokerSettings, RedisBrokerSettings};
use crate::seams::SystemClock;
use crate::testing::NatsServer;
use crate::testing::redis::Server;
use crate::testing::shards::{Shared, single};

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
        let keeping = start(Arc::new(Silence), vec![single(&redis)], &keeping).await;
        let nats = NatsServer::start().await;
        let delivering =
            NatsBrokerSettings { prefix: "contract".to_owned(), allow_wildcards: false, raw_mode: None };
        let delivering = NatsBroker::detached(&delivering, nats.connect().await, Arc::new(SystemClock));
        let broker = RedisNatsBroker::new(keeping, delivering, Arc::new(SystemClock));
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

/// Hears nothing: Redis is to deliver nothing here.
struct Silence;

impl Receiver for Silence {
    fn publication(
        &self,
        channel: &Arc<str>,
        _: Arc<crate::broker::Publication>,
        _: crate::broker::StreamPosition,
        _: bool,
        _: Option<Arc<crate::broker::Publication>>,
    ) {
        panic!("redis delivered a publication of {channel}");
    }
    fn join(&self, channel: &Arc<str>, _: Arc<ClientInfo>) {
        panic!("redis delivered a join of {channel}");
    }
    fn leave(&self, channel: &Arc<str>, _: Arc<ClientInfo>) {
        panic!("redis delivered a leave of {channel}");
    }
}

broker_contract!(OverBoth);
