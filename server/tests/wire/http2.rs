//! Streams of HTTP/2 connections that carry another protocol.

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::ext::Protocol;
use hyper::http::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::http::Response;
use crate::net::{self, Stream, Tls};

type Requests = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

async fn dial(address: &str, tls: Tls) -> Result<Requests, String> {
    let failed = |error: std::io::Error| format!("connect to {address}: {error}");
    let stream = net::connect_with(address, tls, &["h2"]).await.map_err(failed)?;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (requests, connection) = handshake.map_err(|e| format!("begin HTTP/2 with {address}: {e:?}"))?;
    tokio::spawn(connection);
    Ok(requests)
}

fn uri(address: &str, tls: Tls, target: &str) -> String {
    format!("{}://{address}{target}", if tls == Tls::Off { "http" } else { "https" })
}

fn seen(response: &hyper::Response<hyper::body::Incoming>) -> Response {
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Response {
        status: response.status().as_u16(),
        headers: response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: Vec::new(),
    }
}

/// Sends one request on a connection of its own and reads the whole response.
pub async fn exchange(
    address: &str,
    tls: Tls,
    method: &str,
    target: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Result<Response, String> {
    let failed = |error: hyper::Error| format!("{target} over HTTP/2: {error:?}");
    let mut requests = dial(address, tls).await?;
    let mut request = Request::builder().method(method).uri(uri(address, tls, target));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::from(body.to_vec())).map_err(|e| format!("{method} {target}: {e}"))?;
    let response = requests.send_request(request).await.map_err(failed)?;
    let mut seen = seen(&response);
    seen.body = response.into_body().collect().await.map_err(failed)?.to_bytes().to_vec();
    Ok(seen)
}

/// Asks for a stream of `protocol` on a connection of its own; an answer other than 200 is returned as the error's
/// response.
pub async fn connect(
    address: &str,
    tls: Tls,
    protocol: &'static str,
    target: &str,
    headers: &[(String, String)],
) -> Result<Result<(Box<dyn Stream>, Response), Response>, String> {
    let failed = |error: hyper::Error| format!("{target} over HTTP/2: {error:?}");
    let mut requests = dial(address, tls).await?;
    let uri = |path: &str| uri(address, tls, path);
    // Once anything was answered, the settings of the server are known.
    let first = Request::get(uri("/settings")).body(Full::<Bytes>::default()).map_err(|e| e.to_string())?;
    requests.send_request(first).await.map_err(failed)?;
    let mut request = Request::builder().method(Method::CONNECT).uri(uri(target));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut request = request.body(Full::default()).map_err(|e| format!("{target}: {e}"))?;
    request.extensions_mut().insert(Protocol::from_static(protocol));
    let mut response = requests.send_request(request).await.map_err(failed)?;
    let seen = seen(&response);
    if seen.status != 200 {
        return Ok(Err(seen));
    }
    let upgraded = hyper::upgrade::on(&mut response).await.map_err(failed)?;
    Ok(Ok((Box::new(TokioIo::new(upgraded)), seen)))
}
