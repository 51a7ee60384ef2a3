//! The application behind a server's proxies: answers each call with the stamp it carried, over HTTP and gRPC. Paths
//! below [`Ward::PATH`] are answered as its ward is told.
//!
//! Lives on a thread of its own, whose CPU time counts neither as the server's nor as the generator's.

use super::ward::Ward;
use crate::meter::ThreadMeter;
use crate::wire::payload::{self, Scanner};
use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use gyre_proto::proxy::{RpcRequest, RpcResponse, RpcResult};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic_prost::ProstCodec;
use tower::service_fn as grpc_service;

/// A running application; dropping it ends its thread and its connections.
pub struct Backend {
    address: SocketAddr,
    meter: ThreadMeter,
    ward: Arc<Ward>,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    /// Listens on a free loopback port.
    pub fn start() -> Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("listen for proxied calls")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let ward = Arc::new(Ward::new());
        let shared = ward.clone();
        let (stop, stopped) = oneshot::channel();
        let (started, meter) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("backend".into()).spawn(move || {
            // Whoever waits for the meter hears of a failure by the end of this thread.
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            let Ok(meter) = ThreadMeter::of_this_thread() else { return };
            let _ = started.send(meter);
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        })?;
        let meter = meter.recv().map_err(|_| anyhow!("the thread for proxied calls did not start"))?;
        Ok(Self { address, meter, ward, stop: Some(stop), thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn meter(&self) -> ThreadMeter {
        self.meter.clone()
    }

    pub fn ward(&self) -> Arc<Ward> {
        self.ward.clone()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: std::net::TcpListener, ward: Arc<Ward>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let scanner = Arc::new(Scanner::new());
    // A failed accept ends the backend; calls then fail and void the run.
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (scanner, ward) = (scanner.clone(), ward.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(scanner.clone(), ward.clone(), request));
            // The server may drop a connection at any time.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    scanner: Arc<Scanner>,
    ward: Arc<Ward>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    if let Some(path) = request.uri().path().strip_prefix(Ward::PATH) {
        return Ok(ward.answer(path).await);
    }
    let kind = request.headers().get("content-type").map(|kind| kind.as_bytes()).unwrap_or_default();
    if kind.starts_with(b"application/grpc") {
        let service = grpc_service(move |call: tonic::Request<RpcRequest>| {
            let data = echo(&scanner, &call.into_inner().data);
            std::future::ready(Ok::<_, tonic::Status>(tonic::Response::new(RpcResponse {
                result: Some(RpcResult { data: data.into(), ..Default::default() }),
                ..Default::default()
            })))
        });
        let codec = ProstCodec::<RpcResponse, RpcRequest>::default();
        return Ok(tonic::server::Grpc::new(codec).unary(service, request).await);
    }
    let (status, body) = match request.into_body().collect().await {
        Ok(body) => (StatusCode::OK, json(&scanner, &body.to_bytes())),
        Err(_) => (StatusCode::BAD_REQUEST, Vec::new()),
    };
    let mut response = Response::new(Body::new(Full::new(Bytes::from(body))));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Answers a proxied call in JSON.
fn json(scanner: &Scanner, call: &[u8]) -> Vec<u8> {
    [b"{\"result\":{\"data\":", echo(scanner, call).as_slice(), b"}}"].concat()
}

/// Returns a payload with the stamp of `call` and nothing else; without a stamp an empty one.
fn echo(scanner: &Scanner, call: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match scanner.find(call) {
        Some(stamp) => payload::write(stamp, 0, &mut out),
        None => out.extend_from_slice(b"{}"),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::payload::Stamp;

    #[test]
    fn a_call_is_answered_with_its_stamp() {
        let stamp = Stamp { channel: 3, sequence: 4, intended_ns: 5 };
        let mut call = b"{\"user\":\"a\",\"method\":\"m\",\"data\":".to_vec();
        payload::write(stamp, 100, &mut call);
        call.push(b'}');
        let answer = json(&Scanner::new(), &call);
        assert_eq!(Scanner::new().find(&answer), Some(stamp));
        serde_json::from_slice::<serde_json::Value>(&answer).expect("answer is valid JSON");
        assert_eq!(json(&Scanner::new(), b"{}"), b"{\"result\":{\"data\":{}}}");
    }
}
