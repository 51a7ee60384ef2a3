//! What carries publications and presence between nodes, and keeps them.

use super::listeners::Tls;
use super::postgres::{ControllerPostgres, MapBrokerPostgres, PostgresStore};
use super::redis::{BrokerRedis, EngineRedis, MapBrokerRedis, PrefixedRedis, PresenceRedis};
use crate::config::setting::section;
use crate::config::values::{Duration, Secret, StringMap};

section! {
    /// Broker and presence manager in one; `broker` and `presence_manager` replace its halves.
    pub struct Engine {
        /// One of memory and redis.
        kind as "type": String = "memory",
        /// Settings of type redis.
        redis: EngineRedis,
    }
}

section! {
    /// What carries publications and keeps history.
    pub struct Broker {
        /// Uses this broker instead of that of the engine.
        enabled: bool,
        /// One of memory, redis, nats, postgres and redisnats.
        kind as "type": String = "memory",
        /// Settings of type redis.
        redis: BrokerRedis,
        /// Settings of type nats.
        nats: Nats,
        /// Settings of type postgres.
        postgres: PostgresStore,
        /// Settings of type redisnats, an unreleased combination: history in Redis, delivery over NATS.
        redisnats: RedisNats,
    }
}

section! {
    /// History in Redis, delivery over NATS.
    pub struct RedisNats {
        /// Where history is kept.
        redis: BrokerRedis,
        /// What delivers.
        nats: Nats,
    }
}

section! {
    /// NATS as broker: delivery at most once, no history.
    pub struct Nats {
        /// Start of all subjects; nodes of one cluster share it.
        prefix: String = "centrifugo",
        /// Address of the server, several separated by commas.
        url: String = "nats://localhost:4222",
        /// Time allowed to establish a connection.
        dial_timeout: Duration = "1s",
        /// Time allowed to write to a connection.
        write_timeout: Duration = "1s",
        /// TLS of the connection.
        tls: Tls,
        /// Allows wildcards of NATS in channel names of subscriptions.
        allow_wildcards: bool,
        /// Channels as bare subjects, for messages from other programs.
        raw_mode: NatsRawMode,
    }
}

section! {
    /// Channels as bare subjects.
    pub struct NatsRawMode {
        /// Switches raw mode on.
        enabled: bool,
        /// Texts to replace in a channel name to make a subject.
        channel_replacements: StringMap,
        /// Start of all subjects in raw mode.
        prefix: String,
    }
}

section! {
    /// What keeps presence.
    pub struct PresenceManager {
        /// Uses this presence manager instead of that of the engine.
        enabled: bool,
        /// One of memory and redis.
        kind as "type": String = "memory",
        /// Settings of type redis.
        redis: PresenceRedis,
    }
}

section! {
    /// What keeps the keys and streams of map channels.
    pub struct MapBroker {
        /// One of memory, redis and postgres.
        kind as "type": String = "memory",
        /// Settings of type redis.
        redis: MapBrokerRedis,
        /// Settings of type postgres.
        postgres: MapBrokerPostgres,
    }
}

section! {
    /// What carries messages between nodes when it is not the broker.
    pub struct Controller {
        /// Uses this controller instead of that of the broker.
        enabled: bool,
        /// One of redis, nats and postgres.
        kind as "type": String,
        /// Settings of type redis.
        redis: PrefixedRedis,
        /// Settings of type nats.
        nats: Nats,
        /// Settings of type postgres.
        postgres: ControllerPostgres,
    }
}

section! {
    /// Shared poll subscriptions: one poll of the application feeds many subscribers.
    pub struct SharedPoll {
        /// Secret that signs the keys a client may track.
        hmac_secret_key: Secret,
        /// Secret still accepted while it is being replaced.
        hmac_previous_secret_key: Secret,
        /// Unix time in seconds until which the previous secret is accepted; zero means without end.
        hmac_previous_secret_key_valid_until: i64,
        /// Largest number of polls under way at once; zero means 64.
        concurrency_limit: usize,
    }
}
