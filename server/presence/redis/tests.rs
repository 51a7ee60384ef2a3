//! The contract, with each way of keeping presence.

use super::*;
use crate::presence::contract_tests::{Bench, presence_contract};
use crate::seams::{SystemClock, VirtualClock};
use crate::stores::redis::ShardSettings;
use crate::testing::redis::{Cluster, SentinelSet, Server};
use crate::testing::shards::{Shared, by_nodes, by_sentinels, connect, single};

fn settings() -> RedisPresenceSettings {
    RedisPresenceSettings {
        prefix: "contract".to_owned(),
        ttl: Duration::from_secs(60),
        field_ttl: false,
        user_mapping: false,
    }
}

async fn start(
    shards: Vec<ShardSettings>,
    settings: RedisPresenceSettings,
    clock: Arc<dyn Clock>,
) -> Arc<RedisPresence> {
    Arc::new(RedisPresence::new(connect(shards).await, settings, clock).await.expect("settings fit"))
}

macro_rules! bench {
    ($name:ident, $servers:ty, |$held:ident| $shards:expr, $settings:expr) => {
        mod $name {
            use super::*;

            struct Kept(
                Arc<RedisPresence>,
                #[expect(dead_code, reason = "runs while it is held")] Arc<$servers>,
            );

            impl Bench for Kept {
                async fn start() -> Self {
                    let servers = <$servers>::shared().await;
                    let $held = servers.clone();
                    Self(start($shards, $settings, Arc::new(SystemClock)).await, servers)
                }

                fn store(&self) -> Arc<dyn PresenceStore> {
                    self.0.clone()
                }
            }

            presence_contract!(Kept);
        }
    };
}

/// Redis 7.4 and Valkey 9 do.
fn knows_field_ttl(server: &Server) -> bool {
    server.ask(&["COMMAND", "INFO", "HEXPIRE"]).contains("hexpire")
}

fn with_users() -> RedisPresenceSettings {
    RedisPresenceSettings { user_mapping: true, ..settings() }
}

bench!(plain, Server, |server| vec![single(&server)], settings());
bench!(users, Server, |server| vec![single(&server)], with_users());
bench!(
    field_ttl,
    Server,
    |server| vec![single(&server)],
    RedisPresenceSettings { field_ttl: knows_field_ttl(&server), ..settings() }
);
bench!(two_shards, [Server; 2], |servers| servers.iter().map(single).collect(), settings());
bench!(sentinel, SentinelSet, |set| vec![by_sentinels(&set)], settings());
bench!(cluster, Cluster, |cluster| vec![by_nodes(&cluster)], settings());
bench!(cluster_users, Cluster, |cluster| vec![by_nodes(&cluster)], with_users());

#[tokio::test]
async fn who_is_not_renewed_is_forgotten() {
    for user_mapping in [false, true] {
        let clock = Arc::new(VirtualClock::new(1_700_000_000_000));
        let server = Server::shared().await;
        let settings = RedisPresenceSettings { user_mapping, ..settings() };
        let store = start(vec![single(&server)], settings, clock.clone()).await;
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
    let server = Server::shared().await;
    let known = knows_field_ttl(&server);
    let settings = RedisPresenceSettings { field_ttl: true, ..settings() };
    let shards = connect(vec![single(&server)]).await;
    let store = RedisPresence::new(shards, settings, Arc::new(SystemClock)).await;
    assert_eq!(store.is_ok(), known);
}
