//! Nobody to ask.

use super::{Answer, Caller, Events, ProxyError, SubscribeStream};
use gyre_proto::proxy as wire;
use std::sync::Arc;

/// Stands where no proxy is configured. Policies and settings ask nothing then.
pub struct Nobody;

fn unknown<T>(name: &str) -> Answer<T> {
    let name = Arc::from(name);
    Box::pin(async { Err(ProxyError::Unknown { name }) })
}

impl Events for Nobody {
    fn connect(&self, _: Arc<Caller>, _: wire::ConnectRequest) -> Answer<wire::ConnectResponse> {
        unknown("connect")
    }
    fn refresh(&self, _: Arc<Caller>, _: wire::RefreshRequest) -> Answer<wire::RefreshResponse> {
        unknown("refresh")
    }
    fn rpc(&self, name: &str, _: Arc<Caller>, _: wire::RpcRequest) -> Answer<wire::RpcResponse> {
        unknown(name)
    }
    fn subscribe(
        &self,
        name: &str,
        _: Arc<Caller>,
        _: wire::SubscribeRequest,
    ) -> Answer<wire::SubscribeResponse> {
        unknown(name)
    }
    fn publish(&self, name: &str, _: Arc<Caller>, _: wire::PublishRequest) -> Answer<wire::PublishResponse> {
        unknown(name)
    }
    fn sub_refresh(
        &self,
        name: &str,
        _: Arc<Caller>,
        _: wire::SubRefreshRequest,
    ) -> Answer<wire::SubRefreshResponse> {
        unknown(name)
    }
    fn subscribe_stream(
        &self,
        name: &str,
        _: Arc<Caller>,
        _: wire::SubscribeRequest,
        _: bool,
    ) -> Answer<SubscribeStream> {
        unknown(name)
    }
    fn notify_cache_empty(
        &self,
        name: &str,
        _: wire::NotifyCacheEmptyRequest,
    ) -> Answer<wire::NotifyCacheEmptyResponse> {
        unknown(name)
    }
}
