//! Keys that an identity provider publishes (RFC 7517): which endpoint, which key, when to ask again.
//!
//! `template` makes the address, `cache` decides without any I/O, `fetch` asks, `key_set` reads the answer.
//! This file joins them and sees to it that one endpoint is asked by one fetch at a time.

mod cache;
mod fetch;
mod key_set;
mod template;

#[cfg(test)]
mod tests;

pub(super) use template::UrlTemplate;

use super::algorithm::Algorithm;
use super::error::RejectReason;
use super::keys::PublicKey;
use crate::seams::UnixMillis;
use cache::{Found, KeyCache};
use fetch::HttpFetcher;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Most endpoints that are remembered. Safe templates lead to a handful; the bound holds memory when the
/// safety check is switched off and tokens choose endpoints.
const MAX_ENDPOINTS: usize = 1024;

/// The published keys of one token section.
pub(in crate::auth) struct Jwks {
    template: UrlTemplate,
    fetcher: Arc<HttpFetcher>,
    runtime: Handle,
    /// By address, so a key of one issuer never verifies a token of another. A plain lock: held for
    /// look-ups only, once per connect, never across an await.
    endpoints: Mutex<HashMap<Box<str>, Arc<Endpoint>>>,
}

/// One address and what is known about it.
struct Endpoint {
    url: Box<str>,
    /// Same rules as the lock above, taken after it is released.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cache: KeyCache,
    /// The fetch under way; its end is seen as the end of the channel.
    fetch: Option<watch::Receiver<()>>,
    last_used: u64,
}

impl Jwks {
    /// Starts with an empty cache; nothing is fetched before a token asks.
    pub fn new(template: UrlTemplate, runtime: Handle) -> Self {
        let fetcher = Arc::new(HttpFetcher::new(template.is_https()));
        Self { template, fetcher, runtime, endpoints: Mutex::default() }
    }

    /// Finds the key `key_id` for `algorithm` at the address that `value` fills in.
    ///
    /// Order and blocking: ready at once for cached keys. Concurrent calls share one fetch, which goes on
    /// when a caller is dropped.
    ///
    /// # Errors
    /// `NoKeyId`, `KeyEndpoint`, `UnknownKey`, `NoKey` if the key is for another algorithm, and
    /// `KeysUnavailable`, where a later token may succeed.
    pub async fn key<'v>(
        &self,
        key_id: &str,
        algorithm: Algorithm,
        value: impl Fn(&str) -> Option<&'v str>,
        now: UnixMillis,
    ) -> Result<Arc<PublicKey>, RejectReason> {
        if key_id.is_empty() {
            return Err(RejectReason::NoKeyId);
        }
        let url = self.template.fill(value).ok_or(RejectReason::KeyEndpoint)?;
        let endpoint = self.endpoint(&url, now);
        let mut fetch = match self.look_up(&endpoint, key_id, algorithm, now) {
            Ok(found) => return found,
            Err(fetch) => fetch,
        };
        // An error is the end of the fetch, which is what is waited for.
        while fetch.changed().await.is_ok() {}
        let mut state = endpoint.state.lock();
        match state.cache.find(key_id, algorithm, now.0) {
            Found::Key { key, .. } => Ok(key),
            Found::WrongAlgorithm => Err(RejectReason::NoKey(algorithm)),
            Found::Nothing if state.cache.is_failing() => Err(RejectReason::KeysUnavailable),
            Found::Nothing => Err(RejectReason::UnknownKey),
        }
    }

    /// Answers from the cache, or with the fetch to wait for.
    fn look_up(
        &self,
        endpoint: &Arc<Endpoint>,
        key_id: &str,
        algorithm: Algorithm,
        now: UnixMillis,
    ) -> Result<Result<Arc<PublicKey>, RejectReason>, watch::Receiver<()>> {
        let mut state = endpoint.state.lock();
        match state.cache.find(key_id, algorithm, now.0) {
            Found::Key { key, confirm } => {
                if confirm && state.cache.may_fetch(now.0) {
                    self.start_fetch(endpoint, &mut state, now);
                }
                Ok(Ok(key))
            }
            Found::WrongAlgorithm => Ok(Err(RejectReason::NoKey(algorithm))),
            Found::Nothing => match &state.fetch {
                Some(fetch) => Err(fetch.clone()),
                None if state.cache.may_fetch(now.0) => Err(self.start_fetch(endpoint, &mut state, now)),
                None if state.cache.is_failing() => Ok(Err(RejectReason::KeysUnavailable)),
                None => Ok(Err(RejectReason::UnknownKey)),
            },
        }
    }

    fn start_fetch(
        &self,
        endpoint: &Arc<Endpoint>,
        state: &mut State,
        now: UnixMillis,
    ) -> watch::Receiver<()> {
        if let Some(fetch) = &state.fetch {
            return fetch.clone();
        }
        let (end, fetch) = watch::channel(());
        state.fetch = Some(fetch.clone());
        state.cache.fetch_started(now.0);
        let fetcher = self.fetcher.clone();
        let endpoint = endpoint.clone();
        self.runtime.spawn(async move {
            let answer = fetcher.fetch(&endpoint.url).await.and_then(|body| key_set::parse(&body));
            let mut state = endpoint.state.lock();
            match answer {
                Ok(keys) => state.cache.store(keys, now.0),
                Err(error) => {
                    state.cache.fetch_failed(now.0);
                    tracing::warn!(endpoint = redacted(&endpoint.url), %error, "published keys could not be read");
                }
            }
            state.fetch = None;
            drop(state);
            drop(end);
        });
        fetch
    }

    fn endpoint(&self, url: &str, now: UnixMillis) -> Arc<Endpoint> {
        let mut endpoints = self.endpoints.lock();
        if let Some(endpoint) = endpoints.get(url) {
            endpoint.state.lock().last_used = now.0;
            return endpoint.clone();
        }
        if endpoints.len() >= MAX_ENDPOINTS {
            let oldest = endpoints.iter().min_by_key(|(_, endpoint)| endpoint.state.lock().last_used);
            if let Some(url) = oldest.map(|(url, _)| url.clone()) {
                endpoints.remove(&url);
            }
        }
        let state = State { last_used: now.0, ..State::default() };
        let endpoint = Arc::new(Endpoint { url: url.into(), state: Mutex::new(state) });
        endpoints.insert(url.into(), endpoint.clone());
        endpoint
    }
}

/// The address without user, password and query, which may be secrets.
fn redacted(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let url = &url[..end];
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}
