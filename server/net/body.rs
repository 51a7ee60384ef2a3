//! Bodies of requests and responses.

use super::http3::QuicBody;
use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

/// Body of a response: whole, or whatever a service streams.
#[derive(Debug)]
pub enum Body {
    /// All of it; `None` once sent.
    Whole(Option<Bytes>),
    /// Frame by frame.
    Streamed(tonic::body::Body),
}

impl Body {
    /// Nothing.
    pub const fn empty() -> Self {
        Self::Whole(None)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streamed(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Streamed(body) => body.size_hint(),
        }
    }
}

/// Body of a request, whatever brings it.
#[derive(Debug)]
pub enum RequestBody {
    /// Nothing.
    Empty,
    /// Over HTTP/1.1 or HTTP/2.
    Tcp(Incoming),
    /// Over HTTP/3.
    Quic(Box<QuicBody>),
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Tcp(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Quic(body) => Pin::new(&mut **body).poll_frame(context).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Tcp(body) => body.is_end_stream(),
            Self::Quic(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Tcp(body) => body.size_hint(),
            Self::Quic(body) => body.size_hint(),
        }
    }
}

/// Why a request body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is larger than the limit.
    #[error("body exceeds {limit} bytes")]
    TooLarge {
        /// Most bytes accepted.
        limit: usize,
    },
    /// It did not arrive in time.
    #[error("body did not arrive within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The connection failed or broke the protocol.
    #[error("read body")]
    Connection(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Reads a whole body of at most `limit` bytes within `timeout`.
///
/// A body that arrives in one piece, as small ones do, is neither copied nor timed.
///
/// # Errors
/// See [`BodyError`].
pub async fn read_body(mut body: RequestBody, limit: usize, timeout: Duration) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    let mut rest = pin!(collect(&mut body, limit));
    // The timer costs more than a body that is there already.
    let first = std::future::poll_fn(|context| Poll::Ready(rest.as_mut().poll(context))).await;
    match first {
        Poll::Ready(result) => result,
        Poll::Pending => {
            tokio::time::timeout(timeout, rest).await.map_err(|_| BodyError::TimedOut(timeout))?
        }
    }
}

async fn collect(body: &mut RequestBody, limit: usize) -> Result<Bytes, BodyError> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyError::Connection)?.into_data() else { continue };
        if first.len() + whole.len() + data.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        if first.is_empty() && whole.is_empty() {
            first = data;
            if body.is_end_stream() {
                break;
            }
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&data);
        }
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}
