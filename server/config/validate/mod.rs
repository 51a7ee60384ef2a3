//! Which values go together: what [`Config::load`](super::Config::load) took is checked here before anything starts.

mod channel;
mod client;
mod consumers;
mod listeners;
pub(crate) use listeners::split_address;
mod map;
mod proxy;
mod unidirectional;

use regex::Regex;

use super::{Config, ConfigError};

/// What a name may consist of, for namespaces and proxies.
const NAME: &str = "^[-a-zA-Z0-9_.]{2,}$";

/// The name that stands for the proxy of the section itself.
const DEFAULT_PROXY: &str = "default";

/// A rule that was broken, in words for the operator.
type Checked = Result<(), String>;

impl Config {
    /// Checks rules that span keys, and that each word is one of those allowed.
    ///
    /// Order and blocking: reads certificates and keys from files; meant for start and reload.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] for the first rule broken, [`ConfigError::Unsupported`] for the first feature
    /// switched on that this build does not have.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check_rules().map_err(ConfigError::Invalid)?;
        super::unsupported::check(self)
    }

    /// Rules alone, whatever this build can do.
    pub(super) fn check_rules(&self) -> Checked {
        listeners::check(&self.http_server, self)?;
        engines(self)?;
        client::check(self)?;
        let proxies = proxy::names(&self.proxies)?;
        channel::check(self, &proxies)?;
        rpc(self, &proxies)?;
        consumers::check(&self.consumers)?;
        unidirectional::check(self)
    }
}

/// Refuses `value` unless it is one of `allowed`.
fn one_of(what: &str, value: &str, allowed: &[&str]) -> Checked {
    if allowed.contains(&value) {
        return Ok(());
    }
    let allowed: Vec<_> = allowed.iter().filter(|word| !word.is_empty()).copied().collect();
    Err(format!("unknown {what}: \"{value}\", expected one of {}", allowed.join(", ")))
}

/// Whether `name` consists of at least two of the characters of names.
fn is_name(name: &str) -> bool {
    name.len() >= 2 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is_regex(key: &str, pattern: &str) -> Checked {
    Regex::new(pattern).map(drop).map_err(|error| format!("in {key}: invalid regular expression: {error}"))
}

fn in_section<'a>(section: &'a str) -> impl Fn(String) -> String + 'a {
    move |reason| format!("in {section}: {reason}")
}

fn engines(config: &Config) -> Checked {
    one_of("engine.type", &config.engine.kind, &["memory", "redis"])?;
    let brokers = ["memory", "redis", "nats", "postgres", "redisnats"];
    if !brokers.contains(&config.broker.kind.as_str()) {
        return Err(format!("unknown broker: {}", config.broker.kind));
    }
    if config.broker.enabled && config.broker.kind == "redisnats" && !config.enable_unreleased_features {
        return Err("broker.type redisnats requires enable_unreleased_features".into());
    }
    one_of("presence_manager.type", &config.presence_manager.kind, &["memory", "redis"])?;
    if !["memory", "redis", "postgres"].contains(&config.map_broker.kind.as_str()) {
        return Err(format!("unknown map broker type: {}", config.map_broker.kind));
    }
    if config.controller.enabled {
        one_of("controller.type", &config.controller.kind, &["redis", "nats", "postgres"])?;
    }
    Ok(())
}

fn rpc(config: &Config, proxies: &[&str]) -> Checked {
    let exists = |name: &str| match name.is_empty() || proxies.contains(&name) {
        true => Ok(()),
        false => Err(format!("proxy {name} not found for rpc")),
    };
    exists(&config.rpc.without_namespace.proxy_name).map_err(in_section("rpc.without_namespace"))?;
    let mut seen = Vec::new();
    for namespace in &config.rpc.namespaces {
        let name = namespace.name.as_str();
        if seen.contains(&name) {
            return Err(format!("rpc namespace name must be unique: {name}"));
        }
        if !is_name(name) {
            return Err(format!("invalid rpc namespace name: {name} (must match {NAME} regular expression)"));
        }
        exists(&namespace.options.proxy_name).map_err(|reason| format!("rpc namespace {name}: {reason}"))?;
        seen.push(name);
    }
    Ok(())
}
