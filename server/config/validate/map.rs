//! Options of map channels.

use super::Checked;
use crate::config::{ChannelOptions, Duration, MapOptions};

/// Time for which changes are kept when `stream_ttl` does not say.
const DEFAULT_STREAM_TTL: Duration = Duration::from_secs(60);

pub(super) fn check(options: &ChannelOptions) -> Checked {
    let map = &options.map;
    let is_map = ["map", "map_clients", "map_users"].contains(&options.subscription_type.as_str());
    key(map)?;
    match map.mode.as_str() {
        "" if is_map => return Err("map.mode is required when subscription_type is a map type".into()),
        "" => {}
        "ephemeral" => {
            key_ttl(map)?;
            ephemeral(map)?;
        }
        "recoverable" => {
            key_ttl(map)?;
            stream(map)?;
        }
        "persistent" => {
            persistent(options)?;
            stream(map)?;
        }
        other => {
            return Err(format!(
                "unknown map.mode: \"{other}\" (valid: \"ephemeral\", \"recoverable\", \"persistent\")"
            ));
        }
    }
    if map.remove_client_on_unsubscribe && !is_map {
        return Err("map.remove_client_on_unsubscribe requires subscription_type to be a map type".into());
    }
    pages(map)
}

fn key(map: &MapOptions) -> Checked {
    if !["", "client_id", "user_id"].contains(&map.client_key.as_str()) {
        return Err(format!(
            "unknown map.client_key: \"{}\" (valid: \"client_id\", \"user_id\")",
            map.client_key
        ));
    }
    // Both the option and a proxy would decide the key.
    for (name, enabled) in [
        ("map.publish_proxy_enabled", map.publish_proxy_enabled),
        ("map.remove_proxy_enabled", map.remove_proxy_enabled),
    ] {
        if !map.client_key.is_empty() && enabled {
            return Err(format!(
                "map.client_key is not compatible with {name}: the proxy is responsible for keying when enabled"
            ));
        }
    }
    Ok(())
}

fn key_ttl(map: &MapOptions) -> Checked {
    match () {
        () if map.key_ttl.is_zero() => {
            Err(format!("map.key_ttl is required when map.mode is \"{}\"", map.mode))
        }
        () if map.key_ttl.is_negative() => Err("map.key_ttl must be positive".into()),
        () => Ok(()),
    }
}

fn ephemeral(map: &MapOptions) -> Checked {
    for (name, is_set) in [
        ("map.stream_size", map.stream_size > 0),
        ("map.stream_ttl", !map.stream_ttl.is_zero()),
        ("map.meta_ttl", !map.meta_ttl.is_zero()),
    ] {
        if is_set {
            return Err(format!("{name} must be 0 for map.mode \"ephemeral\""));
        }
    }
    Ok(())
}

fn persistent(options: &ChannelOptions) -> Checked {
    if !options.map.key_ttl.is_zero() {
        return Err(
            "map.key_ttl must not be set when map.mode is \"persistent\" (entries don't expire)".into()
        );
    }
    // Entries of presence are cleaned up by their time to live, which persistent maps do not have.
    if options.subscription_type != "map" && options.subscription_type.starts_with("map_") {
        return Err(format!(
            "map.mode \"persistent\" is not allowed with subscription_type \"{}\" (presence entries require \
             TTL-based cleanup; use \"ephemeral\" or \"recoverable\")",
            options.subscription_type
        ));
    }
    if !options.map.meta_ttl.is_zero() {
        return Err(
            "map.meta_ttl must not be set when map.mode is \"persistent\" (the position never expires)"
                .into(),
        );
    }
    Ok(())
}

fn stream(map: &MapOptions) -> Checked {
    for (name, ttl) in [("map.stream_ttl", map.stream_ttl), ("map.meta_ttl", map.meta_ttl)] {
        if ttl.is_negative() {
            return Err(format!("{name} must be non-negative"));
        }
    }
    if map.meta_ttl.is_zero() {
        return Ok(());
    }
    let stream_ttl = if map.stream_ttl.is_zero() { DEFAULT_STREAM_TTL } else { map.stream_ttl };
    if map.meta_ttl < stream_ttl {
        return Err(format!(
            "map.meta_ttl ({}) must be >= map.stream_ttl ({stream_ttl}) (metadata must outlive stream)",
            map.meta_ttl
        ));
    }
    if map.meta_ttl < map.key_ttl {
        return Err(format!(
            "map.meta_ttl ({}) must be >= map.key_ttl ({}) (metadata must outlive keys)",
            map.meta_ttl, map.key_ttl
        ));
    }
    Ok(())
}

fn pages(map: &MapOptions) -> Checked {
    let (min, default, max) = (map.min_page_size, map.default_page_size, map.max_page_size);
    let exceeds = |value: usize, bound: usize| value > 0 && bound > 0 && value > bound;
    if exceeds(min, max) {
        return Err(format!("map.min_page_size ({min}) must not exceed map.max_page_size ({max})"));
    }
    if exceeds(default, max) {
        return Err(format!("map.default_page_size ({default}) must not exceed map.max_page_size ({max})"));
    }
    if exceeds(min, default) {
        return Err(format!("map.default_page_size ({default}) must not be below map.min_page_size ({min})"));
    }
    Ok(())
}
