//! Commands of the server API that arrive from queues and tables.

use super::listeners::Tls;
use super::redis::Redis;
use crate::config::setting::section;
use crate::config::values::{Duration, Secret};

section! {
    /// A consumer.
    pub struct Consumer (named item) {
        /// Name, at least two of `a-zA-Z0-9_`, shown in logs and metrics.
        name: String,
        /// Switches the consumer on.
        enabled: bool,
        /// One of postgresql, kafka, nats_jetstream, redis_stream, google_pub_sub, aws_sqs, azure_service_bus.
        kind as "type": String,
        /// Settings of type postgresql.
        postgresql: PostgresqlConsumer,
        /// Settings of type kafka.
        kafka: KafkaConsumer,
        /// Settings of type nats_jetstream.
        nats_jetstream: NatsJetstreamConsumer,
        /// Settings of type redis_stream.
        redis_stream: RedisStreamConsumer,
        /// Settings of type google_pub_sub.
        google_pub_sub: GooglePubSubConsumer,
        /// Settings of type aws_sqs.
        aws_sqs: AwsSqsConsumer,
        /// Settings of type azure_service_bus.
        azure_service_bus: AzureServiceBusConsumer,
    }
}

section! {
    /// An outbox table in PostgreSQL.
    pub struct PostgresqlConsumer {
        /// Connection string.
        dsn: Secret,
        /// Name of the table.
        outbox_table_name: String,
        /// Number of partitions, each read by a worker of its own.
        num_partitions: usize = "1",
        /// Largest number of rows read at once.
        partition_select_limit: usize = "100",
        /// Time between looks at a partition.
        partition_poll_interval: Duration = "300ms",
        /// Channel of NOTIFY that tells of new rows.
        partition_notification_channel: String,
        /// Connection string for LISTEN, when `dsn` leads to a pooler.
        partition_notification_dsn: Secret,
        /// TLS of the connections.
        tls: Tls,
        /// Skips a partition another node holds instead of waiting for it.
        use_try_lock: bool,
    }
}

section! {
    /// Topics of Kafka.
    pub struct KafkaConsumer {
        /// Addresses of brokers.
        brokers: Vec<String>,
        /// Topics to read.
        topics: Vec<String>,
        /// Name of the consumer group.
        consumer_group: String,
        /// Largest number of records per poll.
        max_poll_records: usize = "100",
        /// Largest number of bytes per fetch; zero leaves the choice to the client.
        fetch_max_bytes: usize,
        /// Time a broker may wait for more records.
        fetch_max_wait: Duration = "500ms",
        /// Reads records of transactions that are not committed.
        fetch_read_uncommitted: bool,
        /// Records waiting per partition before it is paused; -1 pauses on each poll.
        partition_queue_max_size: i64 = "1000",
        /// Time allowed to establish a connection.
        dial_timeout: Duration = "3s",
        /// TLS of the connections.
        tls: Tls,
        /// One of plain, scram-sha-256, scram-sha-512 and aws-msk-iam.
        sasl_mechanism: String,
        /// User for authentication.
        sasl_user: String,
        /// Password for authentication.
        sasl_password: Secret,
        /// Role to assume; aws-msk-iam only.
        assume_role_arn: String,
        /// Fixed identity in the group, which spares rebalancing on restarts.
        instance_id: String,
        /// Header that holds the method.
        method_header: String = "centrifugo-method",
        /// Bodies as data of publications.
        publication_data_mode: HeaderDataMode,
    }
}

section! {
    /// Streams of NATS JetStream.
    pub struct NatsJetstreamConsumer {
        /// Address of the server.
        url: String = "nats://127.0.0.1:4222",
        /// File with credentials.
        credentials_file: String,
        /// User for authentication.
        username: String,
        /// Password for authentication.
        password: Secret,
        /// Token for authentication.
        token: Secret,
        /// Name of the stream.
        stream_name: String,
        /// Uses the durable consumer as it is instead of creating it.
        use_existing_consumer: bool,
        /// Subjects to read.
        subjects: Vec<String>,
        /// Name of the durable consumer.
        durable_consumer_name: String,
        /// Where a new consumer starts: new or all.
        deliver_policy: String = "new",
        /// Largest number of messages under way without acknowledgement.
        max_ack_pending: usize = "100",
        /// Header that holds the method.
        method_header: String = "centrifugo-method",
        /// Bodies as data of publications.
        publication_data_mode: HeaderDataMode,
        /// TLS of the connection.
        tls: Tls,
    }
}

section! {
    /// Streams of Redis.
    pub struct RedisStreamConsumer {
        /// The connection.
        redis: Redis => flat,
        /// Streams to read.
        streams: Vec<String>,
        /// Name of the consumer group.
        consumer_group: String,
        /// Time after which an entry that was not acknowledged is taken over.
        visibility_timeout: Duration = "30s",
        /// Number of workers per stream.
        num_workers: usize = "1",
        /// Field that holds the payload.
        payload_value: String = "payload",
        /// Field that holds the method.
        method_value: String = "method",
        /// Payloads as data of publications.
        publication_data_mode: ValueDataMode,
    }
}

section! {
    /// Subscriptions of Google Pub/Sub.
    pub struct GooglePubSubConsumer {
        /// Project of the subscriptions.
        project_id: String,
        /// Subscriptions to read.
        subscriptions: Vec<String>,
        /// Largest number of messages under way.
        max_outstanding_messages: usize = "100",
        /// Largest number of bytes under way.
        max_outstanding_bytes: usize = "1000000",
        /// One of default and service_account; empty means default.
        auth_mechanism: String,
        /// File with credentials of the service account.
        credentials_file: String,
        /// Attribute that holds the method.
        method_attribute: String = "centrifugo-method",
        /// Bodies as data of publications.
        publication_data_mode: AttributeDataMode,
    }
}

section! {
    /// Queues of Amazon SQS.
    pub struct AwsSqsConsumer {
        /// Addresses of queues.
        queues: Vec<String>,
        /// Takes the message out of an envelope of Amazon SNS.
        sns_envelope: bool,
        /// Region of the queues.
        region: String,
        /// Largest number of messages per poll, at most 10.
        max_number_of_messages: usize = "10",
        /// Time a poll may wait for messages.
        wait_time_time: Duration = "20s",
        /// Time after which a message that was not deleted is delivered again.
        visibility_timeout: Duration = "30s",
        /// Number of polls at once.
        max_concurrency: usize = "1",
        /// Profile of the credentials.
        credentials_profile: String,
        /// Role to assume.
        assume_role_arn: String,
        /// Attribute that holds the method.
        method_attribute: String = "centrifugo-method",
        /// Address of LocalStack, for development.
        localstack_endpoint: String,
        /// Bodies as data of publications.
        publication_data_mode: AttributeDataMode,
    }
}

section! {
    /// Queues of Azure Service Bus.
    pub struct AzureServiceBusConsumer {
        /// Connection string.
        connection_string: Secret,
        /// Uses an identity instead of a connection string.
        use_azure_identity: bool,
        /// Host of the namespace, with an identity.
        fully_qualified_namespace: String,
        /// Tenant of the identity.
        tenant_id: String,
        /// Client of the identity.
        client_id: String,
        /// Secret of the identity.
        client_secret: Secret,
        /// Queues to read.
        queues: Vec<String>,
        /// Reads by session, in order.
        use_sessions: bool,
        /// Number of messages or sessions processed at once.
        max_concurrent_calls: usize = "1",
        /// Largest number of messages per receive.
        max_receive_messages: usize = "1",
        /// Property that holds the method.
        method_property: String = "centrifugo-method",
        /// Bodies as data of publications.
        publication_data_mode: PropertyDataMode,
    }
}

/// Declares a section that names the headers, attributes, … of messages whose body is data of a publication.
macro_rules! data_mode {
    ($name:ident, $channels:ident, $key:ident, $delta:ident, $version:ident, $epoch:ident, $tags:ident) => {
        section! {
            /// Bodies as data of publications.
            pub struct $name {
                /// Takes bodies as data instead of commands.
                enabled: bool,
                /// Where the channels stand, separated by commas.
                $channels: String = "centrifugo-channels",
                /// Where the idempotency key stands.
                $key: String = "centrifugo-idempotency-key",
                /// Where the wish for delta compression stands.
                $delta: String = "centrifugo-delta",
                /// Where the version stands.
                $version: String = "centrifugo-version",
                /// Where the epoch of the version stands.
                $epoch: String = "centrifugo-version-epoch",
                /// Start of the names of tags.
                $tags: String = "centrifugo-tag-",
            }
        }
    };
}

data_mode!(
    HeaderDataMode,
    channels_header,
    idempotency_key_header,
    delta_header,
    version_header,
    version_epoch_header,
    tags_header_prefix
);
data_mode!(
    ValueDataMode,
    channels_value,
    idempotency_key_value,
    delta_value,
    version_value,
    version_epoch_value,
    tags_value_prefix
);
data_mode!(
    AttributeDataMode,
    channels_attribute,
    idempotency_key_attribute,
    delta_attribute,
    version_attribute,
    version_epoch_attribute,
    tags_attribute_prefix
);
data_mode!(
    PropertyDataMode,
    channels_property,
    idempotency_key_property,
    delta_property,
    version_property,
    version_epoch_property,
    tags_property_prefix
);
