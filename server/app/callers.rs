//! What connections keep of the requests they came with, because some proxy passes it on to the application.

use crate::config::{Config, Proxy};
use crate::proxy::Caller;
use http::HeaderMap;
use http::header::{HOST, HeaderName};
use std::sync::Arc;

/// Names that any configured proxy passes on.
#[derive(Debug, Default)]
pub struct Callers {
    headers: Vec<HeaderName>,
    metadata: Vec<HeaderName>,
}

impl Callers {
    /// Collects the names of all proxies.
    pub fn new(config: &Config) -> Self {
        Self {
            headers: names(config, |proxy| &proxy.http_headers),
            metadata: names(config, |proxy| &proxy.grpc_metadata),
        }
    }

    /// What is kept of an HTTP request; none when nothing of it is passed on.
    pub fn of_request(&self, headers: &HeaderMap) -> Option<Arc<Caller>> {
        let headers = kept(headers, &self.headers)?;
        Some(Arc::new(Caller { headers, ..Caller::default() }))
    }

    /// What is kept of a gRPC call. Its metadata is no HTTP header, whatever the way it came.
    pub fn of_call(&self, metadata: &HeaderMap) -> Option<Arc<Caller>> {
        let metadata = kept(metadata, &self.metadata)?;
        Some(Arc::new(Caller { metadata: Some(metadata), ..Caller::default() }))
    }
}

/// Names of headers clients may emulate, in lower case.
pub fn emulated_headers(config: &Config) -> Vec<String> {
    names(config, |proxy| &proxy.emulated_headers).iter().map(|name| name.as_str().to_owned()).collect()
}

fn names(config: &Config, list: impl Fn(&Proxy) -> &Vec<String>) -> Vec<HeaderName> {
    let mut names: Vec<HeaderName> = proxies(config)
        .flat_map(list)
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        // Speaks of this server, not of the client.
        .filter(|name| name != HOST)
        .collect();
    names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    names.dedup();
    names
}

fn proxies(config: &Config) -> impl Iterator<Item = &Proxy> {
    let (client, channel) = (&config.client.proxy, &config.channel.proxy);
    let switched = [&client.connect, &client.refresh];
    let switched = switched.into_iter().filter(|proxy| proxy.enabled).map(|proxy| &proxy.proxy);
    let defaults = [
        &config.rpc.proxy,
        &channel.subscribe,
        &channel.publish,
        &channel.sub_refresh,
        &channel.subscribe_stream,
        &channel.cache_empty,
    ];
    switched.chain(defaults).chain(config.proxies.iter().map(|named| &named.proxy))
}

fn kept(from: &HeaderMap, names: &[HeaderName]) -> Option<HeaderMap> {
    let mut kept = HeaderMap::new();
    for name in names {
        for value in from.get_all(name) {
            kept.append(name, value.clone());
        }
    }
    (!kept.is_empty()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn callers(headers: &[&str], metadata: &[&str]) -> Callers {
        let mut config = Config::default();
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        config.rpc.proxy.http_headers = owned(headers);
        config.rpc.proxy.grpc_metadata = owned(metadata);
        Callers::new(&config)
    }

    #[test]
    fn only_what_a_proxy_passes_on_is_kept_and_all_values_of_it() {
        let mut request = HeaderMap::new();
        for (name, value) in [("cookie", "a"), ("cookie", "b"), ("authorization", "c"), ("host", "d")] {
            request.append(name, HeaderValue::from_static(value));
        }
        let caller = callers(&["Cookie", "Host"], &[]).of_request(&request).unwrap();
        assert_eq!(caller.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((caller.headers.len(), caller.metadata.is_none()), (2, true));
        assert!(callers(&[], &[]).of_request(&request).is_none());
    }

    #[test]
    fn metadata_of_calls_is_no_header() {
        let mut metadata = HeaderMap::new();
        metadata.insert("cookie", HeaderValue::from_static("a"));
        metadata.insert("x-tenant", HeaderValue::from_static("b"));
        let caller = callers(&["Cookie"], &["x-tenant"]).of_call(&metadata).unwrap();
        assert!(caller.headers.is_empty());
        assert_eq!(caller.metadata.as_ref().unwrap().keys().collect::<Vec<_>>(), ["x-tenant"]);
    }
}
