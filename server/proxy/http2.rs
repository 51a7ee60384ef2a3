//! One connection of HTTP/2 to an application, which all its calls over gRPC share.
//!
//! It is opened by the first call, and again when it is gone. A call goes straight into the connection's buffers, with
//! no task of its own and none between: for small calls those would cost more than the call.

use super::allowance::Allowance;
use super::counted::Counted;
use super::dial;
use super::http::user_agent;
use super::settings::TlsSettings;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::header::USER_AGENT;
use http::uri::Scheme;
use http::{Request, Response, Uri};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tonic::body::Body;
use tower_service::Service;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// How long opening a connection may take.
const OPENING: Duration = Duration::from_secs(20);

/// Bytes of one answer that may be on their way before they are read.
const ANSWER_WINDOW: u32 = 64 << 10;

/// The same for all together: a thousand answers that wait for room must not hold up the others.
const CONNECTION_WINDOW: u32 = 64 << 20;

/// Largest header or trailer of an answer.
const MAX_HEADER_BYTES: u32 = 16 << 10;

/// Calls that may begin before the application said how many it takes.
const CALLS_AT_FIRST: usize = 100;

/// Why a connection could not be opened.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot connect")]
pub(super) struct Unreachable(#[source] Arc<AnyError>);

/// A connection that is being opened, or that is there.
type Opening = Shared<BoxFuture<'static, Result<SendRequest<Bytes>, Unreachable>>>;

/// The connection to one address. Clones share it.
#[derive(Clone)]
pub(super) struct Http2(Arc<Connection>);

struct Connection {
    connector: Connector,
    origin: Uri,
    /// What answers take room from, and how long they wait for it.
    allowed: (Allowance, Duration),
    /// The newest; calls that find it gone open another.
    newest: Mutex<Option<Opening>>,
}

#[derive(Clone)]
enum Connector {
    Plain(HttpConnector),
    Encrypted(HttpsConnector<HttpConnector>),
}

impl Http2 {
    /// Prepares a connection to the host and port of `origin`, encrypted when its scheme is `https`. Answers wait for
    /// their room as long as `allowed` says.
    pub fn new(origin: Uri, tls: Option<TlsSettings>, allowed: (Allowance, Duration)) -> Self {
        let connector = match tls {
            Some(tls) if origin.scheme() == Some(&Scheme::HTTPS) => {
                Connector::Encrypted(dial::https(tls, &[b"h2"]))
            }
            _ => Connector::Plain(dial::tcp()),
        };
        Self(Arc::new(Connection { connector, origin, allowed, newest: Mutex::default() }))
    }

    /// Waits until a request can be sent. Calls that come while a connection is opened share its fate.
    async fn sender(&self) -> Result<SendRequest<Bytes>, Unreachable> {
        let opening = {
            let mut newest = self.0.newest.lock();
            match newest.as_ref().map(|opening| (opening, opening.peek())) {
                Some((_, Some(Ok(sender)))) if is_open(sender) => return Ok(sender.clone()),
                Some((opening, None)) => opening.clone(),
                _ => newest.insert(open(self.0.connector.clone(), self.0.origin.clone())).clone(),
            }
        };
        opening.await
    }

    async fn send(self, request: Request<Body>) -> Result<Response<Counted<Answer>>, AnyError> {
        let mut sender = self.sender().await?;
        let (mut head, body) = request.into_parts();
        head.headers.insert(USER_AGENT, user_agent());
        let (response, stream) = sender.send_request(Request::from_parts(head, ()), false)?;
        let sending = write(body, stream)?;
        let (head, stream) = response.await?.into_parts();
        let (allowance, patience) = &self.0.allowed;
        let answer = Answer { stream, has_data: true, _sending: sending };
        Ok(Response::from_parts(head, Counted::new(answer, Some(allowance.room(*patience)))))
    }
}

impl Service<Request<Body>> for Http2 {
    type Response = Response<Counted<Answer>>;
    type Error = AnyError;
    type Future = BoxFuture<'static, Result<Self::Response, AnyError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AnyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

/// Whether a connection takes requests, as far as is known.
fn is_open(sender: &SendRequest<Bytes>) -> bool {
    matches!(sender.clone().ready().now_or_never(), Some(Ok(_)))
}

/// Opens a connection in a task of its own, so that whoever asked first may give up.
fn open(connector: Connector, origin: Uri) -> Opening {
    let failed = |error: AnyError| Unreachable(Arc::new(error));
    let opening = tokio::spawn(tokio::time::timeout(OPENING, async move {
        match connector {
            Connector::Plain(mut tcp) => greet(tcp.call(origin).await?.into_inner()).await,
            Connector::Encrypted(mut https) => greet(TokioIo::new(https.call(origin).await?)).await,
        }
    }));
    let opened = async move {
        match opening.await {
            Ok(Ok(outcome)) => outcome.map_err(failed),
            Ok(Err(elapsed)) => Err(failed(elapsed.into())),
            Err(ended) => Err(failed(ended.into())),
        }
    };
    opened.boxed().shared()
}

/// Begins HTTP/2 on a new connection.
async fn greet(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<SendRequest<Bytes>, AnyError> {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(ANSWER_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADER_BYTES)
        .initial_max_send_streams(CALLS_AT_FIRST);
    let (sender, connection) = builder.handshake(io).await?;
    // How it ends is told to the calls that were under way.
    let connection = connection.map(drop);
    tokio::spawn(Gathering { connection, waited: false });
    Ok(sender)
}

/// Runs a connection after everything else that is ready to run now: calls that begin or go on at the same time leave in
/// one write.
struct Gathering<C> {
    connection: C,
    waited: bool,
}

impl<C: Future<Output = ()> + Unpin> Future for Gathering<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.waited = !self.waited;
        if self.waited {
            // Puts this task at the end of its queue.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.connection).poll(cx)
    }
}

/// What still writes a request. It ends when the answer is dropped.
struct Writing(JoinHandle<()>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Writes the body of a request: what is there at once, the rest in a task.
fn write(mut body: Body, mut stream: SendStream<Bytes>) -> Result<Option<Writing>, AnyError> {
    let mut next = || match body.frame().now_or_never() {
        None => Ok(Now::Later),
        Some(None) => Ok(Now::End),
        Some(Some(frame)) => frame.map(|frame| Now::Data(frame.into_data().unwrap_or_default())),
    };
    let first = match next()? {
        Now::Data(first) => first,
        Now::End => {
            stream.send_data(Bytes::new(), true)?;
            return Ok(None);
        }
        Now::Later => Bytes::new(),
    };
    match next()? {
        Now::End => {
            stream.send_data(first, true)?;
            Ok(None)
        }
        Now::Later => {
            stream.send_data(first, false)?;
            Ok(Some(Writing(tokio::spawn(write_on(Bytes::new(), body, stream)))))
        }
        Now::Data(second) => {
            stream.send_data(first, false)?;
            Ok(Some(Writing(tokio::spawn(write_on(second, body, stream)))))
        }
    }
}

/// What a body holds right now.
enum Now {
    Data(Bytes),
    End,
    Later,
}

/// Writes the rest of a body, as fast as the application takes it.
async fn write_on(begin: Bytes, mut body: Body, mut stream: SendStream<Bytes>) {
    let mut data = begin;
    loop {
        while !data.is_empty() {
            stream.reserve_capacity(data.len());
            match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(Ok(room)) if room > 0 => {
                    let part = data.split_to(room.min(data.len()));
                    if stream.send_data(part, false).is_err() {
                        return;
                    }
                }
                Some(Ok(_)) => {}
                // The application takes no more; its answer says why.
                Some(Err(_)) | None => return,
            }
        }
        match body.frame().await {
            Some(Ok(frame)) => data = frame.into_data().unwrap_or_default(),
            Some(Err(_)) => return stream.send_reset(Reason::CANCEL),
            None => return drop(stream.send_data(Bytes::new(), true)),
        }
    }
}

/// The body of an answer.
pub(super) struct Answer {
    stream: RecvStream,
    /// Whether data may follow; only trailers otherwise.
    has_data: bool,
    _sending: Option<Writing>,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if self.has_data {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.stream.flow_control().release_capacity(data.len())?;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.has_data = false,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}

#[cfg(test)]
mod tests;
