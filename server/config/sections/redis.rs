//! Connections to Redis, shared by engine, broker, presence, map broker and stream consumers.

use super::listeners::Tls;
use crate::config::setting::section;
use crate::config::values::{Duration, Secret};

section! {
    /// How to reach Redis: single servers, Cluster or Sentinel.
    pub struct Redis {
        /// Addresses, as `redis://host:port` or `host:port`; several are shards between which keys are spread.
        address: Vec<String> = "redis://127.0.0.1:6379",
        /// Time allowed to establish a connection.
        connect_timeout: Duration = "1s",
        /// Time allowed for a request and its reply.
        io_timeout: Duration = "4s",
        /// Number of the database. Publish/subscribe of Redis spans databases, so keep prefixes apart.
        db: usize,
        /// User for authentication.
        user: String,
        /// Password for authentication.
        password: Secret,
        /// Name under which connections show up in Redis.
        client_name: String,
        /// Speaks RESP2 even if the server knows RESP3.
        force_resp2: bool,
        /// Seed addresses of a Redis Cluster; comma-separated within an item, several items are shards.
        cluster_address: Vec<String>,
        /// TLS of connections to Redis.
        tls: Tls,
        /// Addresses of Sentinels; comma-separated within an item, several items are shards.
        sentinel_address: Vec<String>,
        /// User for authentication at Sentinel.
        sentinel_user: String,
        /// Password for authentication at Sentinel.
        sentinel_password: Secret,
        /// Name of the primary as Sentinel knows it.
        sentinel_master_name: String,
        /// Name under which connections show up in Sentinel.
        sentinel_client_name: String,
        /// TLS of connections to Sentinel.
        sentinel_tls: Tls,
        /// Reading from replicas.
        replica_client: RedisReplicaClient,
    }
}

section! {
    /// Reading from replicas.
    pub struct RedisReplicaClient {
        /// Sends subscriptions and reads that may lag to replicas.
        enabled: bool,
    }
}

section! {
    /// Redis with a prefix for all keys and channels.
    pub struct PrefixedRedis {
        /// Start of every key and channel; nodes of one cluster share it.
        prefix: String = "centrifugo",
        /// The connection.
        redis: Redis => flat,
    }
}

section! {
    /// Redis as engine: broker and presence in one.
    pub struct EngineRedis {
        /// The connection.
        connection: PrefixedRedis => flat,
        /// How channels are kept.
        broker: RedisHistory => flat,
        /// How presence is kept.
        presence: RedisPresence => flat,
    }
}

section! {
    /// Redis as broker.
    pub struct BrokerRedis {
        /// The connection.
        connection: PrefixedRedis => flat,
        /// How channels are kept.
        broker: RedisHistory => flat,
    }
}

section! {
    /// Redis as presence manager.
    pub struct PresenceRedis {
        /// The connection.
        connection: PrefixedRedis => flat,
        /// How presence is kept.
        presence: RedisPresence => flat,
    }
}

section! {
    /// How channels are kept in Redis.
    pub struct RedisHistory {
        /// Keeps history in lists instead of streams, for servers that have no streams.
        history_use_lists: bool,
    }
}

section! {
    /// How presence is kept in Redis.
    pub struct RedisPresence {
        /// Time after which an entry that was not renewed is gone.
        presence_ttl: Duration = "60s",
        /// Lets Redis expire single fields of a hash, which needs Redis 7.4.
        presence_hash_field_ttl: bool,
        /// Keeps a second hash by user, which makes presence statistics cheap.
        presence_user_mapping: bool,
    }
}

section! {
    /// Redis as map broker.
    pub struct MapBrokerRedis {
        /// The connection.
        connection: PrefixedRedis => flat,
        /// Time between removals of expired keys.
        cleanup_interval: Duration = "1s",
        /// Largest number of keys removed at once.
        cleanup_batch_size: usize = "100",
        /// Time for which results are kept by idempotency key.
        idempotent_result_ttl: Duration = "5m",
        /// Stores without publishing to other nodes.
        skip_pub_sub: bool,
    }
}
