//! Streams of HTTP/2 connections that carry another protocol.

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::ext::Protocol;
use hyper::http::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::http::Response;
use crate::net::{self, Stream};

/// Asks for a stream of `protocol` on a connection of its own; an answer other than 200 is returned as the error's
/// response.
pub async fn connect(
    address: &str,
    tls: bool,
    protocol: &'static str,
    target: &str,
    headers: &[(String, String)],
) -> Result<Result<(Box<dyn Stream>, Response), Response>, String> {
    let failed = |error: hyper::Error| format!("{target} over HTTP/2: {error:?}");
    let stream =
        net::connect_with(address, tls, &["h2"]).await.map_err(|e| format!("connect to {address}: {e}"))?;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut requests, connection) = handshake.map_err(failed)?;
    tokio::spawn(connection);
    let uri = |path: &str| format!("{}://{address}{path}", if tls { "https" } else { "http" });
    // Once anything was answered, the settings of the server are known.
    let first = Request::get(uri("/settings")).body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
    requests.send_request(first).await.map_err(failed)?;
    let mut request = Request::builder().method(Method::CONNECT).uri(uri(target));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut request = request.body(Empty::new()).map_err(|e| format!("{target}: {e}"))?;
    request.extensions_mut().insert(Protocol::from_static(protocol));
    let mut response = requests.send_request(request).await.map_err(failed)?;
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let seen = Response {
        status: response.status().as_u16(),
        headers: response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: Vec::new(),
    };
    if seen.status != 200 {
        return Ok(Err(seen));
    }
    let upgraded = hyper::upgrade::on(&mut response).await.map_err(failed)?;
    Ok(Ok((Box::new(TokioIo::new(upgraded)), seen)))
}
