//! Which engines keep publications and presence, as the configuration says.

#[cfg(test)]
mod tests;

use super::redis::{self, RedisSetupError};
use crate::broker::{
    Broker, MemoryBroker, NatsBroker, NatsBrokerSettings, NatsRawMode, Receiver, RedisBroker,
    RedisBrokerSettings, RedisNatsBroker,
};
use crate::cluster::{Controller, Listener, NatsController, RedisController};
use crate::config::{Config, Nats, PrefixedRedis, RedisHistory, RedisPresence as PresenceSection};
use crate::presence::{MemoryPresence, PresenceStore, RedisPresence, RedisPresenceSettings};
use crate::seams::{Clock, random_id};
use crate::stores::nats::{NatsConnection, NatsError, NatsSettings};
use crate::stores::redis::{RedisError, Shard};
use std::sync::Arc;

/// Why engines cannot be used. All of them end the start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] RedisSetupError),
    /// NATS cannot be used.
    #[error("set up nats")]
    Nats(#[from] NatsError),
}

impl From<RedisError> for EngineError {
    fn from(error: RedisError) -> Self {
        Self::Redis(error.into())
    }
}

/// The engines of a node.
pub struct Engines {
    /// Publications and history.
    pub broker: BrokerEngine,
    /// Presence.
    pub presence: Arc<dyn PresenceStore>,
    /// What carries control messages.
    pub control: ControlPath,
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
    /// NATS.
    Nats(Arc<NatsBroker>),
    /// History in Redis, delivery over NATS.
    RedisNats(RedisNatsBroker),
}

/// What carries control messages: the same that carries publications, unless `controller` says otherwise.
pub enum ControlPath {
    /// The node is alone.
    None,
    /// Redis, with the prefix of all names.
    Redis(Vec<Shard>, String),
    /// NATS, with the prefix of all subjects.
    Nats(Arc<NatsConnection>, String),
}

impl ControlPath {
    /// Begins to listen for the node `uid`; none when the node is alone.
    ///
    /// # Errors
    /// When the subscriptions are not confirmed.
    pub async fn start(
        self,
        uid: &str,
        listener: Arc<dyn Listener>,
    ) -> Result<Option<Arc<dyn Controller>>, EngineError> {
        Ok(match self {
            Self::None => None,
            Self::Redis(shards, prefix) => {
                Some(Arc::new(RedisController::start(&prefix, shards, uid, listener).await?))
            }
            Self::Nats(connection, prefix) => {
                Some(Arc::new(NatsController::start(prefix, connection, uid, listener).await?))
            }
        })
    }
}

impl BrokerEngine {
    /// The broker.
    pub fn shared(&self) -> Arc<dyn Broker> {
        match self {
            Self::Memory(broker) => broker.clone(),
            Self::Redis(broker) => broker.clone(),
            Self::Nats(broker) => Arc::new(broker.clone()),
            Self::RedisNats(broker) => Arc::new(broker.clone()),
        }
    }

    /// Names the receiver, once.
    pub fn attach(&self, receiver: Arc<dyn Receiver>) {
        let accepted = match self {
            Self::Memory(broker) => broker.attach(receiver),
            Self::Redis(broker) => broker.attach(receiver),
            Self::Nats(broker) => broker.attach(receiver),
            Self::RedisNats(broker) => broker.attach(receiver),
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
    /// When Redis or NATS cannot be reached or their settings cannot be used.
    pub async fn start(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self, EngineError> {
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
        let (broker, control) = match (own_broker, &shards) {
            (Some("redis"), _) => {
                let shards = redis::connect("broker.redis", &broker_redis.connection.redis).await?;
                redis_broker(shards, &broker_redis.connection, &broker_redis.broker, clock)?
            }
            (Some("nats"), _) => nats_broker(&config.broker.nats, clock).await?,
            (Some("redisnats"), _) => redis_nats_broker(config, clock).await?,
            (None, Some(shards)) => {
                redis_broker(shards.clone(), &engine_redis.connection, &engine_redis.broker, clock)?
            }
            _ => (BrokerEngine::Memory(Arc::new(MemoryBroker::detached(clock.clone()))), ControlPath::None),
        };
        let presence_redis = &config.presence_manager.redis;
        let (presence, presence_name): (Arc<dyn PresenceStore>, _) = match (own_presence, shards) {
            (Some("redis"), _) => {
                let section = &presence_redis.connection;
                let shards = redis::connect("presence_manager.redis", &section.redis).await?;
                (redis_presence(shards, section, &presence_redis.presence, clock).await?, "redis")
            }
            (None, Some(shards)) => (
                redis_presence(shards, &engine_redis.connection, &engine_redis.presence, clock).await?,
                "redis",
            ),
            _ => (Arc::new(MemoryPresence::new()), "memory"),
        };
        let broker_name = match broker {
            BrokerEngine::Memory(_) => "memory",
            BrokerEngine::Redis(_) => "redis",
            BrokerEngine::Nats(_) => "nats",
            BrokerEngine::RedisNats(_) => "redisnats",
        };
        let control = own_control(config).await?.unwrap_or(control);
        Ok(Self { broker, presence, control, broker_name, presence_name })
    }
}

fn redis_broker(
    shards: Vec<Shard>,
    section: &PrefixedRedis,
    history: &RedisHistory,
    clock: &Arc<dyn Clock>,
) -> Result<(BrokerEngine, ControlPath), EngineError> {
    let control = ControlPath::Redis(shards.clone(), section.prefix.clone());
    let broker = RedisBroker::detached(shards, &redis_settings(section, history), clock.clone())?;
    Ok((BrokerEngine::Redis(Arc::new(broker)), control))
}

fn redis_settings(section: &PrefixedRedis, history: &RedisHistory) -> RedisBrokerSettings {
    RedisBrokerSettings {
        prefix: section.prefix.clone(),
        use_lists: history.history_use_lists,
        skip_pub_sub: false,
        partitions: history.sharded_pub_sub_partitions,
        node: random_id().to_string(),
    }
}

async fn nats_broker(
    section: &Nats,
    clock: &Arc<dyn Clock>,
) -> Result<(BrokerEngine, ControlPath), EngineError> {
    let (broker, control) = nats_engine(section, clock).await?;
    Ok((BrokerEngine::Nats(broker), control))
}

/// As upstream has it, both halves are described by their own sections, `broker.redis` and `broker.nats`.
async fn redis_nats_broker(
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> Result<(BrokerEngine, ControlPath), EngineError> {
    tracing::warn!("broker redisnats is unreleased: it may change or go in any version");
    let (section, history) = (&config.broker.redis.connection, &config.broker.redis.broker);
    let shards = redis::connect("broker.redis", &section.redis).await?;
    let settings = RedisBrokerSettings { skip_pub_sub: true, ..redis_settings(section, history) };
    let keeping = RedisBroker::detached(shards, &settings, clock.clone())?;
    let (delivering, control) = nats_engine(&config.broker.nats, clock).await?;
    let broker = RedisNatsBroker::new(Arc::new(keeping), delivering, clock.clone()).await?;
    Ok((BrokerEngine::RedisNats(broker), control))
}

async fn nats_connection(path: &str, section: &Nats) -> Result<Arc<NatsConnection>, EngineError> {
    let tls = redis::tls(&format!("{path}.tls"), &section.tls)?.map(|tls| (*tls.config).clone());
    let settings =
        NatsSettings { url: section.url.to_string(), dial_timeout: section.dial_timeout.to_std(), tls };
    Ok(NatsConnection::connect(settings).await?)
}

async fn nats_engine(
    section: &Nats,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<NatsBroker>, ControlPath), EngineError> {
    let connection = nats_connection("broker.nats", section).await?;
    let raw = &section.raw_mode;
    let settings = NatsBrokerSettings {
        prefix: section.prefix.clone(),
        allow_wildcards: section.allow_wildcards,
        raw_mode: raw.enabled.then(|| NatsRawMode {
            prefix: raw.prefix.clone(),
            channel_replacements: raw
                .channel_replacements
                .iter()
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
                .collect(),
        }),
    };
    let control = ControlPath::Nats(connection.clone(), section.prefix.clone());
    Ok((NatsBroker::detached(&settings, connection, clock.clone()), control))
}

/// What `controller` puts in the place of the broker's way for control messages.
async fn own_control(config: &Config) -> Result<Option<ControlPath>, EngineError> {
    let section = &config.controller;
    Ok(match section.kind.as_str() {
        _ if !section.enabled => None,
        "redis" => {
            let shards = redis::connect("controller.redis", &section.redis.redis).await?;
            Some(ControlPath::Redis(shards, section.redis.prefix.clone()))
        }
        "nats" => {
            let connection = nats_connection("controller.nats", &section.nats).await?;
            Some(ControlPath::Nats(connection, section.nats.prefix.clone()))
        }
        _ => None,
    })
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
