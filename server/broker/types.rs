//! What travels through a broker.

use bytes::Bytes;
use gyre_proto::codes::ClientErrorCode;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Names one life of a stream. Two positions compare only within the same epoch.
///
/// The empty epoch means «unknown» in requests and «no history» in answers; it allocates nothing,
/// because every publication of a channel without history carries it.
#[derive(Clone, Debug, Eq)]
pub struct Epoch(Option<Arc<str>>);

impl Epoch {
    /// The empty epoch.
    pub const fn none() -> Self {
        Self(None)
    }

    /// The text as it stands on the wire.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether this is the empty epoch.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

impl From<&str> for Epoch {
    fn from(text: &str) -> Self {
        Self((!text.is_empty()).then(|| Arc::from(text)))
    }
}

impl From<String> for Epoch {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

/// Publications of one stream share one allocation, so most comparisons end at the pointer.
impl std::hash::Hash for Epoch {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for Epoch {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs) || ours == theirs,
            (None, None) => true,
            _ => false,
        }
    }
}

impl Default for Epoch {
    fn default() -> Self {
        Self::none()
    }
}

/// A place in a stream: the offset of the newest publication seen, and the stream's epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamPosition {
    /// Offset of the newest publication; zero before the first.
    pub offset: u64,
    /// Life of the stream the offset belongs to.
    pub epoch: Epoch,
}

/// Key-value pairs attached to a publication.
pub type Tags = BTreeMap<String, String>;

/// Who published, joined or is present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// User the connection authenticated as; empty for anonymous.
    pub user: String,
    /// Identifier of the connection.
    pub client: String,
    /// Information from the connection token; empty when none.
    pub conn_info: Bytes,
    /// Information from the subscription token; empty when none.
    pub chan_info: Bytes,
}

/// One message of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// Place in the stream, from 1; zero without history.
    pub offset: u64,
    /// Payload as the publisher gave it.
    pub data: Bytes,
    /// Client that published; none for the server API.
    pub info: Option<Arc<ClientInfo>>,
    /// Attached tags; none when empty.
    pub tags: Option<Arc<Tags>>,
    /// Milliseconds since 1970 at which the broker took it; never sent to clients.
    pub time: i64,
    /// Version given by the publisher; zero when none.
    pub version: u64,
    /// Where it was published, when that is not the channel it is delivered in: subscriptions with wildcards.
    pub channel: Option<Arc<str>>,
}

/// How to publish.
#[derive(Clone, Debug, Default)]
pub struct PublishOptions {
    /// Publications kept; zero turns history off.
    pub history_size: u64,
    /// How long publications are kept after the newest one; zero turns history off.
    pub history_ttl: Duration,
    /// How long offset and epoch outlive the last touch; zero means forever.
    pub history_meta_ttl: Duration,
    /// Client that publishes.
    pub info: Option<Arc<ClientInfo>>,
    /// Tags to attach.
    pub tags: Option<Arc<Tags>>,
    /// A second publish with the same key in the same channel changes nothing; empty means none.
    pub idempotency_key: String,
    /// How long the key is remembered; zero means 300 seconds.
    pub idempotency_ttl: Duration,
    /// Hand receivers the previous publication, so that they can send a delta.
    pub delta: bool,
    /// Publications with a version not above the stored one are skipped; zero means none. Needs history.
    pub version: u64,
    /// Versions compare only within one epoch; empty compares always.
    pub version_epoch: String,
}

impl PublishOptions {
    /// Whether the publication is saved.
    pub fn keeps_history(&self) -> bool {
        self.history_size > 0 && !self.history_ttl.is_zero()
    }
}

/// What became of a publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishOutcome {
    /// Position after the publish; zero without history.
    pub position: StreamPosition,
    /// The idempotency key was known: nothing was delivered.
    pub from_cache: bool,
    /// The version was not above the stored one: nothing was delivered.
    pub skipped: bool,
}

/// Which part of a stream to read.
#[derive(Clone, Debug, Default)]
pub struct HistoryFilter {
    /// Most publications to return; `None` returns all, zero only the position.
    pub limit: Option<u64>,
    /// Read after (or, in reverse, before) this position. An empty epoch is not compared.
    pub since: Option<StreamPosition>,
    /// Newest first.
    pub reverse: bool,
}

impl HistoryFilter {
    /// What follows an offset, of whatever epoch.
    pub fn after(offset: u64, limit: Option<u64>) -> Self {
        let since = StreamPosition { offset, ..StreamPosition::default() };
        Self { limit, since: Some(since), reverse: false }
    }
}

/// A part of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// Publications in the order asked for.
    pub publications: Vec<Arc<Publication>>,
    /// Top of the stream.
    pub position: StreamPosition,
}

/// Why an engine did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The epoch asked for is not the stream's: a retry cannot help, clients get code 112.
    #[error("epoch {wanted:?} is not the stream's epoch")]
    Unrecoverable {
        /// Epoch the caller named.
        wanted: String,
    },
    /// The engine does not have the feature: a retry cannot help, clients get code 108.
    #[error("broker has no {0}")]
    NotAvailable(&'static str),
    /// The engine cannot carry a channel of this name: a retry cannot help, clients get code 107.
    #[error("broker takes no channel named {0:?}")]
    BadChannel(String),
    /// A reverse read was asked to start before the first publication.
    #[error("reverse history cannot start at offset zero")]
    ReverseFromZero,
    /// The store did not answer: a retry may help, clients get code 100.
    #[error("broker is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl BrokerError {
    /// Whether a retry may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// What a client is told.
    pub fn client_code(&self) -> ClientErrorCode {
        match self {
            Self::Unrecoverable { .. } => ClientErrorCode::UnrecoverablePosition,
            Self::NotAvailable(_) => ClientErrorCode::NotAvailable,
            Self::BadChannel(_) | Self::ReverseFromZero => ClientErrorCode::BadRequest,
            Self::Unavailable(_) => ClientErrorCode::Internal,
        }
    }
}

/// An answer that may be there already.
///
/// The embedded engine answers at once, and then nothing is allocated or scheduled; others box a future.
pub enum MaybeReady<T> {
    /// The answer; `None` after it was taken.
    Ready(Option<T>),
    /// The answer is on its way.
    Later(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<T> MaybeReady<T> {
    /// Wraps an answer that is there.
    pub fn ready(value: T) -> Self {
        Self::Ready(Some(value))
    }

    /// Wraps an answer that is on its way.
    pub fn later(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }
}

impl<T: Send + 'static> MaybeReady<T> {
    /// Applies `change` to the answer, now or when it comes.
    pub fn map<U>(self, change: impl FnOnce(T) -> U + Send + 'static) -> MaybeReady<U> {
        match self {
            Self::Ready(value) => MaybeReady::Ready(value.map(change)),
            Self::Later(future) => MaybeReady::later(async move { change(future.await) }),
        }
    }
}

impl<T: Unpin> Future for MaybeReady<T> {
    type Output = T;

    /// # Panics
    /// When polled again after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match self.get_mut() {
            Self::Ready(value) => Poll::Ready(value.take().expect("polled after completion")),
            Self::Later(future) => future.as_mut().poll(context),
        }
    }
}
