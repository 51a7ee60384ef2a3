//! The contract, with each way of keeping presence.

use super::*;
use crate::presence::contract_tests::{Bench, presence_contract};
use crate::seams::{SystemClock, VirtualClock};
use crate::stores::redis::{Address, Credentials, Dial, ShardSettings, Topology};
use crate::testing::redis::{Server, shared};

async fn shard(server: &Server) -> Shard {
    let dial = Dial {
        credentials: Credentials::default(),
        tls: None,
        db: 0,
        force_resp2: false,
        connect_timeout: Duration::from_secs(5),
        io_timeout: Duration::from_secs(4),
    };
    let topology = Topology::Single(vec![Address::tcp(server.address())]);
    Shard::connect(ShardSettings { topology, dial, replicas: false }).await.expect("redis is reached")
}

fn settings() -> RedisPresenceSettings {
    RedisPresenceSettings {
        prefix: "contract".to_owned(),
        ttl: Duration::from_secs(60),
        field_ttl: false,
        user_mapping: false,
    }
}

async fn start(settings: RedisPresenceSettings, clock: Arc<dyn Clock>) -> (Arc<RedisPresence>, Arc<Server>) {
    let server = tokio::task::spawn_blocking(shared).await.expect("a server starts");
    let shard = shard(&server).await;
    (Arc::new(RedisPresence::new(vec![shard], settings, clock).await.expect("settings fit")), server)
}

macro_rules! bench {
    ($name:ident, $settings:expr) => {
        struct $name(Arc<RedisPresence>, #[expect(dead_code, reason = "runs while it is held")] Arc<Server>);

        impl Bench for $name {
            async fn start() -> Self {
                let (store, server) = start($settings, Arc::new(SystemClock)).await;
                Self(store, server)
            }

            fn store(&self) -> Arc<dyn PresenceStore> {
                self.0.clone()
            }
        }
    };
}

mod plain {
    use super::*;
    bench!(Plain, settings());
    presence_contract!(Plain);
}

mod with_users {
    use super::*;
    bench!(WithUsers, RedisPresenceSettings { user_mapping: true, ..settings() });
    presence_contract!(WithUsers);
}

#[tokio::test]
async fn who_is_not_renewed_is_forgotten() {
    for user_mapping in [false, true] {
        let clock = Arc::new(VirtualClock::new(1_700_000_000_000));
        let (store, _server) =
            start(RedisPresenceSettings { user_mapping, ..settings() }, clock.clone()).await;
        let channel: Arc<str> = crate::seams::random_id().to_string().into();
        let info = |client: &str| {
            Arc::new(ClientInfo { client: client.into(), user: client.into(), ..Default::default() })
        };
        store.add(&channel, info("stays")).await.expect("adding succeeds");
        store.add(&channel, info("goes")).await.expect("adding succeeds");
        clock.advance(Duration::from_secs(40));
        store.add(&channel, info("stays")).await.expect("renewing succeeds");
        clock.advance(Duration::from_secs(30));
        let stats = store.stats(&channel).await.expect("counting succeeds");
        assert_eq!((stats.clients, stats.users), (1, 1), "user mapping {user_mapping}");
        let everyone = store.get(&channel).await.expect("reading succeeds");
        assert_eq!(everyone.into_keys().collect::<Vec<_>>(), ["stays"]);
    }
}

#[tokio::test]
async fn a_server_without_field_ttl_is_refused_at_the_start() {
    let server = tokio::task::spawn_blocking(shared).await.expect("a server starts");
    let known = server.ask(&["COMMAND", "INFO", "HEXPIRE"]).contains("hexpire");
    let settings = RedisPresenceSettings { field_ttl: true, ..settings() };
    let store = RedisPresence::new(vec![shard(&server).await], settings, Arc::new(SystemClock)).await;
    assert_eq!(store.is_ok(), known);
}
