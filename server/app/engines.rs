//! Which engines keep publications and presence, as the configuration says.

use super::redis::{self, RedisSetupError};
use crate::broker::{Broker, MemoryBroker, Receiver, RedisBroker, RedisBrokerSettings};
use crate::config::{Config, PrefixedRedis, RedisHistory, RedisPresence as PresenceSection};
use crate::presence::{MemoryPresence, PresenceStore, RedisPresence, RedisPresenceSettings};
use crate::seams::{Clock, random_id};
use crate::stores::redis::Shard;
use std::sync::Arc;

/// The engines of a node.
pub struct Engines {
    /// Publications and history.
    pub broker: BrokerEngine,
    /// Presence.
    pub presence: Arc<dyn PresenceStore>,
    /// Name of the broker, for the start-up log.
    pub broker_name: &'static str,
    /// Name of the presence store, for the start-up log.
    pub presence_name: &'static str,
}

/// A broker that is still without receiver.
#[derive(Clone)]
pub enum BrokerEngine {
    /// The embedded one, which wants to be swept.
    Memory(Arc<MemoryBroker>),
    /// Redis.
    Redis(Arc<RedisBroker>),
}

impl BrokerEngine {
    /// The broker.
    pub fn shared(&self) -> Arc<dyn Broker> {
        match self {
            Self::Memory(broker) => broker.clone(),
            Self::Redis(broker) => broker.clone(),
        }
    }

    /// Names the receiver, once.
    pub fn attach(&self, receiver: Arc<dyn Receiver>) {
        let accepted = match self {
            Self::Memory(broker) => broker.attach(receiver),
            Self::Redis(broker) => broker.attach(receiver),
        };
        debug_assert!(accepted, "a broker has one receiver");
    }

    /// Frees what the embedded engine keeps beyond its time.
    pub fn sweep(&self, now: crate::seams::Now) {
        if let Self::Memory(broker) = self {
            broker.sweep(now);
        }
    }
}

impl Engines {
    /// Makes the engines; `broker` and `presence_manager` replace halves of `engine`.
    ///
    /// # Errors
    /// When Redis cannot be reached or its settings cannot be used.
    pub async fn start(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self, RedisSetupError> {
        let engine = config.engine.kind.as_str();
        let engine_redis = &config.engine.redis;
        let own_broker = config.broker.enabled.then_some(config.broker.kind.as_str());
        let own_presence = config.presence_manager.enabled.then_some(config.presence_manager.kind.as_str());
        // Broker and presence of one engine share connections.
        let used = engine == "redis" && (own_broker.is_none() || own_presence.is_none());
        let shards = match used {
            true => Some(redis::connect("engine.redis", &engine_redis.connection.redis).await?),
            false => None,
        };
        let broker_redis = &config.broker.redis;
        let broker = match (own_broker, &shards) {
            (Some("redis"), _) => {
                let shards = redis::connect("broker.redis", &broker_redis.connection.redis).await?;
                redis_broker(shards, &broker_redis.connection, &broker_redis.broker, clock)?
            }
            (None, Some(shards)) => {
                redis_broker(shards.clone(), &engine_redis.connection, &engine_redis.broker, clock)?
            }
            _ => BrokerEngine::Memory(Arc::new(MemoryBroker::detached(clock.clone()))),
        };
        let presence_redis = &config.presence_manager.redis;
        let (presence, presence_name): (Arc<dyn PresenceStore>, _) = match (own_presence, shards) {
            (Some("redis"), _) => {
                let section = &presence_redis.connection;
                let shards = redis::connect("presence_manager.redis", &section.redis).await?;
                (redis_presence(shards, section, &presence_redis.presence, clock).await?, "redis")
            }
            (None, Some(shards)) => {
                (redis_presence(shards, &engine_redis.connection, &engine_redis.presence, clock).await?, "redis")
            }
            _ => (Arc::new(MemoryPresence::new()), "memory"),
        };
        let broker_name = match broker {
            BrokerEngine::Memory(_) => "memory",
            BrokerEngine::Redis(_) => "redis",
        };
        Ok(Self { broker, presence, broker_name, presence_name })
    }
}

fn redis_broker(
    shards: Vec<Shard>,
    section: &PrefixedRedis,
    history: &RedisHistory,
    clock: &Arc<dyn Clock>,
) -> Result<BrokerEngine, RedisSetupError> {
    let settings = RedisBrokerSettings {
        prefix: section.prefix.clone(),
        use_lists: history.history_use_lists,
        skip_pub_sub: false,
        partitions: history.sharded_pub_sub_partitions,
        node: random_id().to_string(),
    };
    Ok(BrokerEngine::Redis(Arc::new(RedisBroker::detached(shards, &settings, clock.clone())?)))
}

async fn redis_presence(
    shards: Vec<Shard>,
    section: &PrefixedRedis,
    presence: &PresenceSection,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn PresenceStore>, RedisSetupError> {
    let settings = RedisPresenceSettings {
        prefix: section.prefix.clone(),
        ttl: presence.presence_ttl.to_std(),
        field_ttl: presence.presence_hash_field_ttl,
        user_mapping: presence.presence_user_mapping,
    };
    Ok(Arc::new(RedisPresence::new(shards, settings, clock.clone()).await?))
}
