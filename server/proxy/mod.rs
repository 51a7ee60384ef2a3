//! Asking the application: who connects, may they subscribe, publish, call, stay?
//!
//! Owns the calls to the application's event handlers over HTTP and gRPC. Knows no session and no channel
//! option: whoever asks has chosen the proxy by its configured name and decides what an answer means.

mod allowance;
mod counted;
mod dial;
mod events;
mod forward;
mod gate;
mod grpc;
mod http;
mod http2;
mod lanes;
mod proxies;
mod redirect;
mod settings;
mod target;

pub use events::{Event, Refusal};
pub use proxies::{DEFAULT_NAME, Proxies};
pub use settings::{
    GrpcSettings, HttpSettings, ProtocolSettings, ProxySettings, ProxySetupError, TlsSettings,
};

use ::http::HeaderMap;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use gyre_proto::proxy as wire;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What a connection brought along that the application may be told.
///
/// Only what some configured proxy forwards is kept, so that idle connections do not hold header maps.
#[derive(Debug, Default)]
pub struct Caller {
    /// Headers of the HTTP request that opened the connection; empty for gRPC clients.
    pub headers: HeaderMap,
    /// Metadata of a gRPC client; none for connections that came by HTTP.
    pub metadata: Option<HeaderMap>,
    /// Headers a client emulates in its connect command. They are claims of the client, trusted less than
    /// `headers`.
    pub emulated: BTreeMap<String, String>,
}

/// Why the application gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// It did not answer in time.
    #[error("proxy {name} did not answer within its timeout")]
    Timeout {
        /// Which proxy: its section of the configuration.
        name: Arc<str>,
    },
    /// It failed too often lately, or too many calls are under way; it was not asked.
    #[error("proxy {name} is not asked for now")]
    Shed {
        /// Which proxy: its section of the configuration.
        name: Arc<str>,
    },
    /// It could not be reached, answered with a failure, or with something that is no answer.
    #[error("proxy {name} failed")]
    Failed {
        /// Which proxy: its section of the configuration.
        name: Arc<str>,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No proxy has this name.
    #[error("there is no proxy named {name}")]
    Unknown {
        /// Name that was asked for.
        name: Arc<str>,
    },
}

/// An answer of the application that is on its way. Dropping it gives the call up.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, ProxyError>> + Send>>;

/// A subscription whose publications come from the application.
pub struct SubscribeStream {
    /// The first answer: a decision about the subscription.
    pub response: wire::SubscribeResponse,
    /// Publications for this subscriber; ends without an error when the application ended the stream well.
    /// Dropping it cancels the stream.
    pub publications: BoxStream<'static, Result<wire::Publication, ProxyError>>,
    /// Takes what the client publishes; none when the stream has one direction. Bounded: a full queue means
    /// the application does not keep up.
    pub to_application: Option<tokio::sync::mpsc::Sender<Bytes>>,
}

/// The application's event handlers.
///
/// Requests carry their payload in `data` and answers theirs in `data` and `info`, whatever the encoding on the
/// way is: base64 twins, the `encoding` field and the removal of meta information that a proxy does not
/// include are this room's business. An answer holds at most one of result, error and disconnect; a
/// disconnect counts before an error, an error before a result.
///
/// Source: `proto/proxy/proxy.proto`.
pub trait Events: Send + Sync + 'static {
    /// Asks who connects.
    fn connect(&self, caller: Arc<Caller>, request: wire::ConnectRequest) -> Answer<wire::ConnectResponse>;
    /// Asks whether a connection that expires may stay.
    fn refresh(&self, caller: Arc<Caller>, request: wire::RefreshRequest) -> Answer<wire::RefreshResponse>;
    /// Calls a method of the application.
    fn rpc(&self, name: &str, caller: Arc<Caller>, request: wire::RpcRequest) -> Answer<wire::RpcResponse>;
    /// Asks whether a client may subscribe.
    fn subscribe(
        &self,
        name: &str,
        caller: Arc<Caller>,
        request: wire::SubscribeRequest,
    ) -> Answer<wire::SubscribeResponse>;
    /// Asks whether a client may publish.
    fn publish(
        &self,
        name: &str,
        caller: Arc<Caller>,
        request: wire::PublishRequest,
    ) -> Answer<wire::PublishResponse>;
    /// Asks whether a subscription that expires may stay.
    fn sub_refresh(
        &self,
        name: &str,
        caller: Arc<Caller>,
        request: wire::SubRefreshRequest,
    ) -> Answer<wire::SubRefreshResponse>;
    /// Opens a stream of publications for one subscriber.
    fn subscribe_stream(
        &self,
        name: &str,
        caller: Arc<Caller>,
        request: wire::SubscribeRequest,
        bidirectional: bool,
    ) -> Answer<SubscribeStream>;
    /// Tells the application that a channel in cache mode has nothing to show; it may publish and say so.
    fn notify_cache_empty(
        &self,
        name: &str,
        request: wire::NotifyCacheEmptyRequest,
    ) -> Answer<wire::NotifyCacheEmptyResponse>;
}
