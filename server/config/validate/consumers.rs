//! Consumers: names, types, and what each type cannot do without.

use super::Checked;
use crate::config::Consumer;

const TYPES: [&str; 7] = [
    "postgresql",
    "kafka",
    "nats_jetstream",
    "redis_stream",
    "google_pub_sub",
    "aws_sqs",
    "azure_service_bus",
];

pub(super) fn check(consumers: &[Consumer]) -> Checked {
    let mut seen = Vec::new();
    for consumer in consumers {
        let name = consumer.name.as_str();
        if name.len() < 2 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(format!(
                "invalid consumer name: {name}, must match ^[a-zA-Z0-9_]{{2,}}$ regular expression"
            ));
        }
        if seen.contains(&name) {
            return Err(format!("invalid consumer name: {name}, must be unique"));
        }
        if !TYPES.contains(&consumer.kind.as_str()) {
            return Err(format!("unknown consumer type: {}", consumer.kind));
        }
        if consumer.enabled
            && let Some(reason) = missing(consumer)
        {
            return Err(format!("in consumer {name} ({}): {reason}", consumer.kind));
        }
        seen.push(name);
    }
    Ok(())
}

/// The first thing the consumer cannot do without, or that contradicts another.
fn missing(consumer: &Consumer) -> Option<&'static str> {
    let problems: Vec<(bool, &'static str)> = match consumer.kind.as_str() {
        "postgresql" => {
            let own = &consumer.postgresql;
            vec![
                (own.dsn.is_empty(), "no Postgres DSN provided"),
                (own.outbox_table_name.is_empty(), "no Postgres outbox table name provided"),
            ]
        }
        "kafka" => {
            let own = &consumer.kafka;
            let mode = &own.publication_data_mode;
            vec![
                (own.brokers.is_empty(), "no Kafka brokers provided"),
                (own.topics.is_empty(), "no Kafka topics provided"),
                (own.consumer_group.is_empty(), "no Kafka consumer group provided"),
                (
                    mode.enabled && mode.channels_header.is_empty(),
                    "no Kafka channels_header_name provided for publication data mode",
                ),
                (
                    !own.assume_role_arn.is_empty() && own.sasl_mechanism != "aws-msk-iam",
                    "assume_role_arn requires sasl_mechanism aws-msk-iam",
                ),
            ]
        }
        "nats_jetstream" => {
            let own = &consumer.nats_jetstream;
            let mode = &own.publication_data_mode;
            let policy = ["new", "all"].contains(&own.deliver_policy.as_str());
            vec![
                (own.url.is_empty(), "url is required"),
                (own.stream_name.is_empty(), "stream_name is required"),
                (own.durable_consumer_name.is_empty(), "durable_consumer_name is required for consumer"),
                (!own.use_existing_consumer && !policy, "deliver_policy must be either 'new' or 'all'"),
                (
                    mode.enabled && mode.channels_header.is_empty(),
                    "channels_header is required for publication data mode",
                ),
            ]
        }
        "redis_stream" => {
            let own = &consumer.redis_stream;
            let mode = &own.publication_data_mode;
            vec![
                (own.redis.address.is_empty(), "redis address is required"),
                (own.streams.is_empty(), "streams can't be empty"),
                (own.consumer_group.is_empty(), "consumer_group is required"),
                (
                    mode.enabled && mode.channels_value.is_empty(),
                    "channels_value is required when publication data mode is enabled",
                ),
            ]
        }
        "google_pub_sub" => {
            let own = &consumer.google_pub_sub;
            let mode = &own.publication_data_mode;
            vec![
                (own.project_id.is_empty(), "project_id is required"),
                (own.subscriptions.is_empty(), "at least one subscription ID is required"),
                (
                    mode.enabled && mode.channels_attribute.is_empty(),
                    "channels_attribute is required for publication data mode",
                ),
            ]
        }
        "aws_sqs" => {
            let own = &consumer.aws_sqs;
            let mode = &own.publication_data_mode;
            vec![
                (own.queues.is_empty(), "at least one queue url is required"),
                (
                    mode.enabled && mode.channels_attribute.is_empty(),
                    "channels_attribute is required for publication data mode",
                ),
            ]
        }
        _ => {
            let own = &consumer.azure_service_bus;
            let mode = &own.publication_data_mode;
            let identity =
                [&*own.fully_qualified_namespace, &*own.tenant_id, &*own.client_id, &*own.client_secret];
            vec![
                (
                    own.use_azure_identity && identity.iter().any(|part| part.is_empty()),
                    "when using Azure Identity, fully_qualified_namespace, tenant_id, client_id and client_secret are required",
                ),
                (
                    !own.use_azure_identity && own.connection_string.is_empty(),
                    "connection_string is required when not using Azure Identity",
                ),
                (own.queues.is_empty(), "at least one queue path is required"),
                (
                    mode.enabled && mode.channels_property.is_empty(),
                    "channels_property is required for publication data mode",
                ),
            ]
        }
    };
    problems.into_iter().find(|(broken, _)| *broken).map(|(_, reason)| reason)
}
