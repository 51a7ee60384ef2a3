//! All applications that can be asked, by event and name.

use super::allowance::Allowance;
use super::events::{Ask, Event};
use super::settings::{ProxySettings, ProxySetupError};
use super::target::Target;
use super::{Answer, Caller, Events, ProxyError, SubscribeStream};
use crate::observability::Metrics;
use crate::seams::Clock;
use gyre_proto::proxy as wire;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Name of proxies that have no other.
pub const DEFAULT_NAME: &str = "default";

/// The applications of a configuration. The empty one knows nobody to ask.
#[derive(Default)]
pub struct Proxies(BTreeMap<Event, HashMap<Arc<str>, Arc<Target>>>);

impl Proxies {
    /// Prepares asking; connections are opened by the first question.
    ///
    /// # Errors
    /// The first proxy that cannot be used as configured.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn new(
        wanted: impl IntoIterator<Item = (Event, Arc<str>, ProxySettings)>,
        metrics: &Metrics,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ProxySetupError> {
        let mut proxies = Self::default();
        let allowance = Allowance::new();
        for (event, name, settings) in wanted {
            let target = Target::new(event, name.clone(), &settings, &allowance, metrics, clock.clone())?;
            proxies.0.entry(event).or_default().insert(name, Arc::new(target));
        }
        Ok(proxies)
    }

    fn find(&self, event: Event, name: &str) -> Result<Arc<Target>, ProxyError> {
        let found = self.0.get(&event).and_then(|named| named.get(name));
        found.cloned().ok_or_else(|| ProxyError::Unknown { name: Arc::from(name) })
    }

    fn ask<A: Ask>(&self, event: Event, name: &str, caller: Arc<Caller>, question: A) -> Answer<A::Answer> {
        let target = self.find(event, name);
        Box::pin(async move { target?.ask(&caller, question).await })
    }
}

impl Events for Proxies {
    fn connect(&self, caller: Arc<Caller>, request: wire::ConnectRequest) -> Answer<wire::ConnectResponse> {
        self.ask(Event::Connect, DEFAULT_NAME, caller, request)
    }

    fn refresh(&self, caller: Arc<Caller>, request: wire::RefreshRequest) -> Answer<wire::RefreshResponse> {
        self.ask(Event::Refresh, DEFAULT_NAME, caller, request)
    }

    fn rpc(&self, name: &str, caller: Arc<Caller>, request: wire::RpcRequest) -> Answer<wire::RpcResponse> {
        self.ask(Event::Rpc, name, caller, request)
    }

    fn subscribe(
        &self,
        name: &str,
        caller: Arc<Caller>,
        request: wire::SubscribeRequest,
    ) -> Answer<wire::SubscribeResponse> {
        self.ask(Event::Subscribe, name, caller, request)
    }

    fn publish(
        &self,
        name: &str,
        caller: Arc<Caller>,
        request: wire::PublishRequest,
    ) -> Answer<wire::PublishResponse> {
        self.ask(Event::Publish, name, caller, request)
    }

    fn sub_refresh(
        &self,
        name: &str,
        caller: Arc<Caller>,
        request: wire::SubRefreshRequest,
    ) -> Answer<wire::SubRefreshResponse> {
        self.ask(Event::SubRefresh, name, caller, request)
    }

    fn subscribe_stream(
        &self,
        name: &str,
        caller: Arc<Caller>,
        request: wire::SubscribeRequest,
        bidirectional: bool,
    ) -> Answer<SubscribeStream> {
        let target = self.find(Event::SubscribeStream, name);
        Box::pin(async move { target?.open(&caller, request, bidirectional).await })
    }

    fn notify_cache_empty(
        &self,
        name: &str,
        request: wire::NotifyCacheEmptyRequest,
    ) -> Answer<wire::NotifyCacheEmptyResponse> {
        // The channel asks, not a client.
        self.ask(Event::CacheEmpty, name, Arc::default(), request)
    }
}
