//! Features of the configuration this build does not have. Switching one on is refused, so that nobody believes it
//! works; a row is removed when its feature arrives.

use super::{ChannelOptions, Config, ConfigError};

/// A feature, the key that switches it on, and whether it is on.
type Row = (&'static str, &'static str, fn(&Config) -> bool);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("engine.type", "an engine other than memory and redis", |c| !is_known(&c.engine.kind)),
    ("broker.type", "a broker other than memory, redis, nats and redisnats",
        |c| c.broker.enabled && c.broker.kind == "postgres"),
    ("presence_manager.type", "a presence manager other than memory and redis",
        |c| c.presence_manager.enabled && !is_known(&c.presence_manager.kind)),
    ("map_broker.type", "a map broker other than memory", |c| c.map_broker.kind != "memory"),
    ("controller.type", "a controller other than redis and nats",
        |c| c.controller.enabled && c.controller.kind == "postgres"),
    ("admin.enabled", "admin interface", |c| c.admin.enabled),
    ("debug.enabled", "profiling endpoints", |c| c.debug.enabled),
    ("opentelemetry.enabled", "tracing over opentelemetry", |c| c.opentelemetry.enabled),
    ("graphite.enabled", "metrics to graphite", |c| c.graphite.enabled),
];

fn is_known(engine: &str) -> bool {
    matches!(engine, "memory" | "redis")
}

/// As [`Row`], for the options of one namespace.
type OptionRow = (&'static str, &'static str, fn(&ChannelOptions) -> bool);

#[rustfmt::skip]
const OPTION_ROWS: &[OptionRow] = &[
    ("map.publish_proxy_enabled", "map publish proxy", |o| o.map.publish_proxy_enabled),
    ("map.remove_proxy_enabled", "map remove proxy", |o| o.map.remove_proxy_enabled),
    ("subscription_type", "a subscription type other than stream",
        |o| !["", "stream"].contains(&o.subscription_type.as_str())),
    ("map_clients_presence_channel_prefix", "presence in map channels",
        |o| !o.map_clients_presence_channel_prefix.is_empty()),
    ("map_users_presence_channel_prefix", "presence in map channels",
        |o| !o.map_users_presence_channel_prefix.is_empty()),
];

/// Refuses the first feature that is switched on and not there.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let refuse =
        |key: String, feature: &str| Err(ConfigError::Unsupported { key, feature: feature.to_owned() });
    if let Some((key, feature, _)) = ROWS.iter().find(|(_, _, is_on)| is_on(config)) {
        return refuse((*key).to_owned(), feature);
    }
    let named =
        config.channel.namespaces.iter().map(|ns| (format!("channel.namespaces[{}]", ns.name), &ns.options));
    let all = named.chain([("channel.without_namespace".to_owned(), &config.channel.without_namespace)]);
    for (section, options) in all {
        if let Some((key, feature, _)) = OPTION_ROWS.iter().find(|(_, _, is_on)| is_on(options)) {
            return refuse(format!("{section}.{key}"), feature);
        }
    }
    match config.consumers.iter().find(|consumer| consumer.enabled) {
        Some(consumer) => refuse(format!("consumers[{}].enabled", consumer.name), "consumer"),
        None => Ok(()),
    }
}
