//! Channels and namespaces.

use super::proxy::check_proxy;
use super::{Checked, DEFAULT_PROXY, NAME, in_section, is_name, map};
use crate::config::{ChannelOptions, Config, Duration, Proxy};

const DATA_FORMATS: [&str; 4] = ["", "json", "json_object", "binary"];

pub(super) fn check(config: &Config, proxies: &[&str]) -> Checked {
    let channel = &config.channel;
    whole_seconds(channel.history_meta_ttl).map_err(in_section("channel.history_meta_ttl"))?;
    if !DATA_FORMATS.contains(&channel.publication_data_format.as_str()) {
        return Err(format!(
            "unknown channel.publication_data_format: \"{}\"",
            channel.publication_data_format
        ));
    }
    let rules = Rules { config, proxies };
    rules.options(&channel.without_namespace).map_err(in_section("channel.without_namespace"))?;
    let mut seen: Vec<&str> = Vec::new();
    for namespace in &channel.namespaces {
        let name = namespace.name.as_str();
        if seen.contains(&name) {
            return Err(format!("namespace name must be unique: {name}"));
        }
        if !is_name(name) {
            return Err(format!(
                "namespace {name}: invalid namespace name: {name} (must match {NAME} regular expression)"
            ));
        }
        rules.options(&namespace.options).map_err(|reason| format!("namespace {name}: {reason}"))?;
        seen.push(name);
    }
    personal_channel(config)
}

fn personal_channel(config: &Config) -> Checked {
    let personal = &config.client.subscribe_to_user_personal_channel;
    let name = personal.personal_channel_namespace.as_str();
    if !personal.enabled || name.is_empty() {
        return match personal.single_connection && !config.channel.without_namespace.presence {
            true => Err("presence must be enabled on top level to maintain single connection".into()),
            false => Ok(()),
        };
    }
    match config.channel.namespaces.iter().find(|namespace| namespace.name == name) {
        None => Err(format!("namespace for user personal channel not found: {name}")),
        Some(namespace) if personal.single_connection && !namespace.options.presence => {
            Err(format!("presence must be enabled for namespace {name} to maintain single connection"))
        }
        Some(_) => Ok(()),
    }
}

fn whole_seconds(duration: Duration) -> Checked {
    if duration.is_negative() || duration.is_whole_seconds() {
        return Ok(());
    }
    Err(format!("malformed duration {duration}, sub-second precision is not supported for this key"))
}

/// What the rules of options look at besides the options.
pub(super) struct Rules<'a> {
    pub(super) config: &'a Config,
    proxies: &'a [&'a str],
}

impl Rules<'_> {
    fn options(&self, options: &ChannelOptions) -> Checked {
        history(options, self.config.channel.history_meta_ttl)?;
        if !options.channel_regex.is_empty() {
            regex::Regex::new(&options.channel_regex)
                .map_err(|error| format!("invalid channel regex {}: {error}", options.channel_regex))?;
        }
        words(options)?;
        self.proxies(options)?;
        map::check(options)?;
        self.shared_poll(options)?;
        self.presence_prefix(
            "map_clients_presence_channel_prefix",
            &options.map_clients_presence_channel_prefix,
            "map_clients",
        )?;
        self.presence_prefix(
            "map_users_presence_channel_prefix",
            &options.map_users_presence_channel_prefix,
            "map_users",
        )
    }

    fn proxies(&self, options: &ChannelOptions) -> Checked {
        if options.subscribe_stream_proxy_enabled
            && (options.subscribe_proxy_enabled
                || options.publish_proxy_enabled
                || options.sub_refresh_proxy_enabled)
        {
            return Err(
                "can't use subscribe stream proxy together with subscribe, publish or sub refresh proxies"
                    .into(),
            );
        }
        let own = &self.config.channel.proxy;
        let map = &options.map;
        type Row<'r> = (&'static str, bool, &'r str, &'static str, &'r Proxy);
        let rows: [Row<'_>; 7] = [
            (
                "subscribe",
                options.subscribe_proxy_enabled,
                &options.subscribe_proxy_name,
                "subscribe",
                &own.subscribe,
            ),
            ("publish", options.publish_proxy_enabled, &options.publish_proxy_name, "publish", &own.publish),
            (
                "sub refresh",
                options.sub_refresh_proxy_enabled,
                &options.sub_refresh_proxy_name,
                "sub_refresh",
                &own.sub_refresh,
            ),
            (
                "subscribe stream",
                options.subscribe_stream_proxy_enabled,
                &options.subscribe_stream_proxy_name,
                "subscribe_stream",
                &own.subscribe_stream,
            ),
            (
                "cache empty",
                options.cache_empty_proxy_enabled,
                &options.cache_empty_proxy_name,
                "cache_empty",
                &own.cache_empty,
            ),
            (
                "map publish",
                map.publish_proxy_enabled,
                &map.publish_proxy_name,
                "map_publish",
                &own.map_publish,
            ),
            ("map remove", map.remove_proxy_enabled, &map.remove_proxy_name, "map_remove", &own.map_remove),
        ];
        for (what, enabled, name, key, proxy) in rows {
            if !name.is_empty() && !self.proxies.contains(&name) {
                return Err(format!("{what} proxy with name \"{name}\" not found"));
            }
            if enabled && name == DEFAULT_PROXY {
                check_proxy(proxy).map_err(|reason| format!("in channel.proxy.{key}: {reason}"))?;
            }
        }
        Ok(())
    }

    fn shared_poll(&self, options: &ChannelOptions) -> Checked {
        if options.subscription_type != "shared_poll" {
            return Ok(());
        }
        let poll = &options.shared_poll;
        if self.config.shared_poll.hmac_secret_key.is_empty() {
            return Err(
                "shared_poll.hmac_secret_key is required when subscription_type is \"shared_poll\"".into()
            );
        }
        let name = poll.proxy_name.as_str();
        if !name.is_empty() && !self.proxies.contains(&name) {
            return Err(format!("shared poll proxy with name \"{name}\" not found"));
        }
        if name.is_empty() || name == DEFAULT_PROXY {
            check_proxy(&self.config.channel.proxy.shared_poll_refresh)
                .map_err(in_section("channel.proxy.shared_poll_refresh"))?;
        }
        match poll.mode.as_str() {
            "versioned" => Ok(()),
            "" | "versionless" if poll.publish_enabled => {
                Err("shared_poll publish_enabled is incompatible with versionless mode (requires explicit versions)"
                    .into())
            }
            "" | "versionless" => Ok(()),
            other => Err(format!("invalid shared_poll mode: \"{other}\"")),
        }
    }

    /// Channels named with `prefix` must fall into a namespace made for them.
    fn presence_prefix(&self, key: &str, prefix: &str, expected: &str) -> Checked {
        if prefix.is_empty() {
            return Ok(());
        }
        let channel = &self.config.channel;
        let options = match prefix.split_once(channel.namespace_boundary.as_str()) {
            Some((name, _)) => channel
                .namespaces
                .iter()
                .find(|namespace| namespace.name == name)
                .map(|namespace| &namespace.options)
                .ok_or_else(|| format!("{key} \"{prefix}\": namespace \"{name}\" does not exist"))?,
            None => &channel.without_namespace,
        };
        if options.subscription_type == expected {
            return Ok(());
        }
        Err(format!(
            "{key} \"{prefix}\": target namespace must have subscription_type=\"{expected}\" (got \"{}\")",
            options.subscription_type
        ))
    }
}

fn history(options: &ChannelOptions, global_meta_ttl: Duration) -> Checked {
    whole_seconds(options.history_ttl).map_err(in_section("history_ttl"))?;
    whole_seconds(options.history_meta_ttl).map_err(in_section("history_meta_ttl"))?;
    let has_history = options.history_size > 0;
    if has_history == options.history_ttl.is_zero() {
        return Err("both history size and history ttl required for history".into());
    }
    let meta_ttl = match options.history_meta_ttl.is_zero() {
        true => global_meta_ttl,
        false => options.history_meta_ttl,
    };
    if meta_ttl < options.history_ttl {
        return Err(format!(
            "history ttl ({}) can not be greater than history meta ttl ({meta_ttl})",
            options.history_ttl
        ));
    }
    if options.force_recovery && !has_history {
        return Err("both history size and history ttl required for recovery".into());
    }
    if options.auto_cache_recover && (!options.force_recovery || options.force_recovery_mode != "cache") {
        return Err("auto_cache_recover requires force_recovery and force_recovery_mode set to cache".into());
    }
    Ok(())
}

/// Words of a closed list.
fn words(options: &ChannelOptions) -> Checked {
    if let Some(kind) = options.allowed_delta_types.iter().find(|kind| *kind != "fossil") {
        return Err(format!("unknown allowed delta type: \"{kind}\""));
    }
    if !["", "stream", "cache"].contains(&options.force_recovery_mode.as_str()) {
        return Err(format!("unknown recovery mode: \"{}\"", options.force_recovery_mode));
    }
    if !DATA_FORMATS.contains(&options.publication_data_format.as_str()) {
        return Err(format!("unknown publication_data_format: \"{}\"", options.publication_data_format));
    }
    if !["", "stream", "map", "map_clients", "map_users", "shared_poll"]
        .contains(&options.subscription_type.as_str())
    {
        return Err(format!("unknown subscription_type: \"{}\"", options.subscription_type));
    }
    Ok(())
}
