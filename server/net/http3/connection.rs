//! One HTTP/3 connection: its requests go to a service, as those over TCP do.

use super::carrier::{Carrier, Read, Readers};
use super::request_body::QuicBody;
use super::sessions::{Offer, Sessions};
use super::settings;
use super::streams::{Duplex, Incoming, Outgoing};
use crate::net::{Body, RequestBody};
use bytes::Bytes;
use h3::error::{Code, ConnectionError, StreamError};
use h3::ext::Protocol;
use h3::quic::SendStream as _;
use h3::server::{RequestResolver, RequestStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::service::Service;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a peer may take for a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of a response is waited for until the peer has all of it.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of the header fields of a request, as HTTP/3 counts them.
const FIELDS_LIMIT: u64 = 64 * 1024;
/// Version of WebTransport that we name in answers; older browsers look for it.
const DRAFT: (HeaderName, HeaderValue) =
    (HeaderName::from_static("sec-webtransport-http3-draft"), HeaderValue::from_static("draft02"));
/// Headers that belong to a connection of HTTP/1.1.
const OF_CONNECTIONS: [HeaderName; 4] =
    [CONNECTION, TRANSFER_ENCODING, UPGRADE, HeaderName::from_static("keep-alive")];

type H3 = h3::server::Connection<Carrier, Bytes>;

/// Serves until the peer leaves, or `stopped` and nothing is under way any more.
pub(super) async fn serve<S>(
    quic: quinn::Connection,
    service: S,
    webtransport: bool,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), ConnectionError>
where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible> + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let (sessions, readers) = (Sessions::new(webtransport), Readers::default());
    let settings = settings::control_stream(webtransport, FIELDS_LIMIT);
    let carrier = Carrier::new(quic, settings, sessions.clone(), readers.clone());
    let mut http: H3 =
        h3::server::builder().max_field_section_size(FIELDS_LIMIT).send_grease(false).build(carrier).await?;
    let service = Arc::new(service);
    let mut requests = JoinSet::new();
    let mut stopping = false;
    loop {
        tokio::select! {
            accepted = http.accept() => {
                let Some(resolver) = accepted? else { break };
                let id = resolver.frame_stream.send_id().into_inner();
                let Some(read) = readers.of(id) else { continue };
                requests.spawn(request(id, resolver, read, service.clone(), sessions.clone()));
            }
            Some(_) = requests.join_next(), if !requests.is_empty() => {}
            () = is_true(&mut stopped), if !stopping => {
                stopping = true;
                // Says which requests are still answered: those that came.
                http.shutdown(0).await?;
            }
            () = sessions.ended(), if stopping && requests.is_empty() => break,
        }
    }
    // What was sent has arrived: each request waited for that.
    Ok(())
}

async fn is_true(stopped: &mut watch::Receiver<bool>) {
    // An error means the sender is gone, and with it the wish to serve.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Answers one request.
async fn request<S>(
    id: u64,
    resolver: RequestResolver<Carrier, Bytes>,
    mut read: Read,
    service: Arc<S>,
    sessions: Sessions,
) where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible>,
{
    let resolved = match tokio::time::timeout(HEAD_TIMEOUT, resolver.resolve_request()).await {
        Ok(resolved) => resolved,
        // Dropped, the stream ends without a response.
        Err(_) => return,
    };
    let (request, stream) = match resolved {
        Ok(resolved) => resolved,
        Err(error) => return told(&error),
    };
    let answered = tokio::select! {
        answered = answer(id, request, stream, &*service, &sessions) => answered,
        // The peer gave up; nothing was finished, so it cannot have read everything.
        _ = &mut read => return,
    };
    match answered {
        // The connection may end with its last request, which must not cut it off.
        Ok(true) => drop(tokio::time::timeout(DELIVERY_TIMEOUT, read).await),
        Ok(false) => {}
        Err(error) => told(&error),
    }
}

/// Peers go away and break the protocol as they like.
fn told(error: &StreamError) {
    tracing::debug!(error = error as &dyn std::error::Error, "request over HTTP/3 failed");
}

/// True when the response was finished, false when the stream goes on as a session.
async fn answer<S>(
    id: u64,
    request: Request<()>,
    stream: RequestStream<Duplex, Bytes>,
    service: &S,
    sessions: &Sessions,
) -> Result<bool, StreamError>
where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible>,
{
    let is_head = request.method() == Method::HEAD;
    let asks_for_session = request.method() == Method::CONNECT
        && request.extensions().get::<Protocol>() == Some(&Protocol::WEB_TRANSPORT);
    let (mut send, recv) = stream.split();
    if !asks_for_session {
        let body = QuicBody::new(recv, request.headers());
        let response = call(service, request.map(|()| RequestBody::Quic(Box::new(body)))).await;
        respond(&mut send, response, is_head).await?;
        return Ok(true);
    }
    let Some(offer) = sessions.offer(id) else {
        let mut refused = Response::new(Body::empty());
        *refused.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        respond(&mut send, refused, false).await?;
        return Ok(true);
    };
    let mut request = request.map(|()| RequestBody::Empty);
    request.extensions_mut().insert(offer.upgrade());
    let response = call(service, request).await;
    if !response.status().is_success() {
        respond(&mut send, response, false).await?;
        return Ok(true);
    }
    agree(offer, response, send, recv).await?;
    Ok(false)
}

async fn call<S>(service: &S, request: Request<RequestBody>) -> Response<Body>
where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible>,
{
    service.call(request).await.unwrap_or_else(|never| match never {})
}

/// Writes the head of an answer that begins a session, whose messages follow on the same stream.
async fn agree(
    offer: Offer,
    response: Response<Body>,
    mut send: RequestStream<Outgoing, Bytes>,
    recv: RequestStream<Incoming, Bytes>,
) -> Result<(), StreamError> {
    let (mut parts, _) = response.into_parts();
    prepare(&mut parts.headers);
    parts.headers.insert(DRAFT.0, DRAFT.1);
    send.send_response(Response::from_parts(parts, ())).await?;
    offer.agree(send, recv);
    Ok(())
}

/// Writes a response to its end.
async fn respond(
    send: &mut RequestStream<Outgoing, Bytes>,
    response: Response<Body>,
    is_head: bool,
) -> Result<(), StreamError> {
    let (mut parts, mut body) = response.into_parts();
    prepare(&mut parts.headers);
    let has_body = !matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if has_body && let Some(length) = body.size_hint().exact() {
        parts.headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    send.send_response(Response::from_parts(parts, ())).await?;
    while !is_head && let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => send.send_data(data).await?,
            Ok(Err(rest)) => {
                if let Ok(trailers) = rest.into_trailers() {
                    send.send_trailers(trailers).await?;
                }
            }
            Err(error) => {
                tracing::debug!(error = &*error, "response over HTTP/3 was broken off");
                send.stop_stream(Code::H3_INTERNAL_ERROR);
                return Ok(());
            }
        }
    }
    send.finish().await
}

/// Takes out what means nothing here, and tells the time, as for responses over TCP.
fn prepare(headers: &mut HeaderMap) {
    for name in &OF_CONNECTIONS {
        headers.remove(name);
    }
    let now = httpdate::fmt_http_date(SystemTime::now());
    if let Ok(now) = HeaderValue::try_from(now) {
        headers.insert(DATE, now);
    }
}
