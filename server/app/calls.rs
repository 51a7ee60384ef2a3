//! Which proxy answers a call of a client.

use crate::config::Config;
use crate::config::sections::rpc::RpcOptions;
use gyre_proto::codes::ClientErrorCode;
use std::collections::HashMap;
use std::sync::Arc;

/// The proxies of methods, by namespace.
pub struct Calls {
    boundary: String,
    without_namespace: Option<Arc<str>>,
    namespaces: HashMap<String, Option<Arc<str>>>,
    /// There is no proxy at all: every method gets this.
    nothing: Option<ClientErrorCode>,
}

impl Calls {
    /// Resolves the section `rpc`.
    pub fn new(config: &Config) -> Self {
        let rpc = &config.rpc;
        let without_namespace = proxy(&rpc.without_namespace);
        let named =
            rpc.namespaces.iter().map(|namespace| (namespace.name.clone(), proxy(&namespace.options)));
        let namespaces: HashMap<_, _> = named.collect();
        let any = without_namespace.is_some() || namespaces.values().any(Option::is_some);
        // As upstream has it, with the built-in method calls exist, just not this one.
        let code =
            if rpc.ping.enabled { ClientErrorCode::MethodNotFound } else { ClientErrorCode::NotAvailable };
        let nothing = (!any).then_some(code);
        Self { boundary: rpc.namespace_boundary.clone(), without_namespace, namespaces, nothing }
    }

    /// The proxy that answers calls of `method`.
    ///
    /// # Errors
    /// 104 for a namespace that is not configured, 108 for methods no proxy answers.
    ///
    /// Source: row CMD-18 of the protocol.
    pub fn proxy(&self, method: &str) -> Result<Arc<str>, ClientErrorCode> {
        if let Some(code) = self.nothing {
            return Err(code);
        }
        let namespace = match self.boundary.as_str() {
            "" => None,
            boundary => method.split_once(boundary).map(|(namespace, _)| namespace),
        };
        let proxy = match namespace {
            None | Some("") => &self.without_namespace,
            Some(namespace) => self.namespaces.get(namespace).ok_or(ClientErrorCode::MethodNotFound)?,
        };
        proxy.clone().ok_or(ClientErrorCode::NotAvailable)
    }
}

fn proxy(options: &RpcOptions) -> Option<Arc<str>> {
    options.proxy_enabled.then(|| proxy_name(&options.proxy_name))
}

/// The name of a proxy as an option gives it; the default one may be left out.
pub fn proxy_name(option: &str) -> Arc<str> {
    Arc::from(if option.is_empty() { "default" } else { option })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sections::rpc::RpcNamespace;

    fn asked(config: &Config, method: &str) -> Result<String, u32> {
        Calls::new(config).proxy(method).map(|name| name.to_string()).map_err(|code| code as u32)
    }

    #[test]
    fn methods_find_the_proxy_of_their_namespace() {
        let mut config = Config::default();
        assert_eq!(asked(&config, "x"), Err(108));
        config.rpc.ping.enabled = true;
        assert_eq!(asked(&config, "x"), Err(104));
        let namespace = |name: &str, enabled, proxy: &str| RpcNamespace {
            name: name.into(),
            options: RpcOptions { proxy_enabled: enabled, proxy_name: proxy.into() },
        };
        config.rpc.namespaces = vec![namespace("on", true, "mine"), namespace("off", false, "mine")];
        assert_eq!(asked(&config, "on:x:y").as_deref(), Ok("mine"));
        assert_eq!(asked(&config, "off:x"), Err(108));
        assert_eq!(asked(&config, "none:x"), Err(104));
        assert_eq!(asked(&config, "x"), Err(108));
        config.rpc.without_namespace.proxy_enabled = true;
        assert_eq!(asked(&config, "x").as_deref(), Ok("default"));
        assert_eq!(asked(&config, ":x").as_deref(), Ok("default"));
        config.rpc.namespace_boundary = String::new();
        assert_eq!(asked(&config, "none:x").as_deref(), Ok("default"));
    }
}
