//! PostgreSQL as broker, map broker and controller.

use super::listeners::Tls;
use crate::config::setting::section;
use crate::config::values::{Duration, Secret};

section! {
    /// PostgreSQL as broker or map broker.
    pub struct PostgresStore {
        /// Connection string.
        dsn: Secret,
        /// TLS of the connections.
        tls: Tls,
        /// Largest number of connections.
        pool_size: usize = "16",
        /// Number of shards into which channels are spread; the same on all nodes.
        num_shards: usize = "8",
        /// Time between removals of what has expired.
        cleanup_interval: Duration = "1m",
        /// Time for which results are kept by idempotency key.
        idempotent_result_ttl: Duration = "5m",
        /// Stores data as bytes instead of JSON.
        binary_data: bool,
        /// Time for which publications are kept for other nodes and for recovery.
        stream_retention: Duration = "24h",
        /// Wakes other nodes with NOTIFY instead of leaving them to poll.
        use_notify: bool,
        /// Connection string for LISTEN, when `dsn` leads to a pooler.
        notify_dsn: Secret,
        /// Start of all table names.
        table_prefix: String = "cf",
        /// Leaves creating and changing tables to the operator.
        skip_schema_init: bool,
        /// Reading what was written.
        outbox: PostgresOutbox,
        /// Days for which partitions are made ahead.
        partition_lookahead_days: usize = "2",
        /// Days after which partitions are dropped.
        partition_retention_days: usize = "7",
    }
}

section! {
    /// Reading what was written.
    pub struct PostgresOutbox {
        /// Time between looks at the table.
        poll_interval: Duration = "100ms",
        /// Largest number of rows read at once.
        batch_size: usize = "1000",
    }
}

section! {
    /// PostgreSQL as map broker.
    pub struct MapBrokerPostgres {
        /// The store.
        store: PostgresStore => flat,
        /// Time between looks for expired keys.
        ttl_check_interval: Duration = "1s",
    }
}

section! {
    /// PostgreSQL as controller.
    pub struct ControllerPostgres {
        /// Connection string.
        dsn: Secret,
        /// TLS of the connections.
        tls: Tls,
        /// Largest number of connections.
        pool_size: usize = "8",
        /// Number of shards; the same on all nodes.
        num_shards: usize = "1",
        /// Start of all table names.
        table_prefix: String = "cf",
        /// Time between looks for messages of other nodes.
        poll_interval: Duration = "50ms",
        /// Wakes other nodes with NOTIFY instead of leaving them to poll.
        use_notify: bool,
        /// Connection string for LISTEN, when `dsn` leads to a pooler.
        notify_dsn: Secret,
        /// Days after which partitions are dropped.
        partition_retention_days: usize = "1",
        /// Days for which partitions are made ahead.
        partition_lookahead_days: usize = "2",
        /// Time between looks for partitions to make or drop.
        partition_cleanup_interval: Duration = "1m",
        /// Largest number of rows read at once.
        batch_size: usize = "1000",
        /// Leaves creating and changing tables to the operator.
        skip_schema_init: bool,
    }
}
