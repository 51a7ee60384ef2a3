//! Requests over HTTP/3, and sessions of WebTransport.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use h3::client::{RequestStream, SendRequest};
use h3::ext::Protocol;
use h3_quinn::quinn;
use hyper::http::{Method, Request, Uri};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinHandle;

use crate::http::Response;
use crate::net::{CERTIFICATES, Tls};
use crate::protobuf;
use crate::streamed::{Framing, Streamed};

/// Begins a stream of a session in both directions.
const SESSION_STREAM: [u8; 2] = [0x40, 0x41];
/// Capsule that ends a session.
const CLOSE_SESSION: [u8; 2] = [0x68, 0x43];

/// A connection to a server, closed when dropped.
struct Client {
    quic: quinn::Connection,
    requests: SendRequest<h3_quinn::OpenStreams, Bytes>,
    driver: JoinHandle<()>,
    _endpoint: Endpoint,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
        self.quic.close(0x100u32.into(), b"");
    }
}

impl Client {
    async fn connect(address: &str, tls: Tls) -> Result<Self, String> {
        let address: SocketAddr = address.parse().map_err(|e| format!("address {address}: {e}"))?;
        let mut tls = CERTIFICATES.client(tls);
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let tls = QuicClientConfig::try_from(tls).map_err(|e| format!("TLS for QUIC: {e}"))?;
        let endpoint =
            Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).map_err(|e| format!("UDP socket: {e}"))?;
        let connecting = endpoint.connect_with(ClientConfig::new(Arc::new(tls)), address, "127.0.0.1");
        let quic = connecting.map_err(|e| format!("connect to {address}: {e}"))?;
        let quic = quic.await.map_err(|e| format!("connect to {address} over QUIC: {e}"))?;
        let mut builder = h3::client::builder();
        builder.enable_datagram(true).enable_extended_connect(true);
        let built = builder.build(h3_quinn::Connection::new(quic.clone())).await;
        let (mut connection, requests) = built.map_err(|e| format!("begin HTTP/3: {e}"))?;
        let driver = tokio::spawn(async move { drop(connection.wait_idle().await) });
        Ok(Self { quic, requests, driver, _endpoint: endpoint })
    }

    async fn send(
        &mut self,
        request: Request<()>,
    ) -> Result<(Response, RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>), String> {
        let target = request.uri().to_string();
        let failed = |error| format!("{target} over HTTP/3: {error}");
        let mut stream = self.requests.send_request(request).await.map_err(failed)?;
        let response = stream.recv_response().await.map_err(failed)?;
        let text =
            |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value)));
        let response =
            Response { status: response.status().as_u16(), headers: headers.collect(), body: Vec::new() };
        Ok((response, stream))
    }
}

fn request(
    address: &str,
    method: &str,
    target: &str,
    headers: &[(String, String)],
) -> Result<Request<()>, String> {
    let uri: Uri = format!("https://{address}{target}").parse().map_err(|e| format!("{target}: {e}"))?;
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(()).map_err(|e| format!("{method} {target}: {e}"))
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
    let mut client = Client::connect(address, tls).await?;
    let failed = |error| format!("{method} {target} over HTTP/3: {error}");
    let request = request(address, method, target, headers)?;
    let mut stream = client.requests.send_request(request).await.map_err(failed)?;
    if !body.is_empty() {
        stream.send_data(Bytes::copy_from_slice(body)).await.map_err(failed)?;
    }
    stream.finish().await.map_err(failed)?;
    let head = stream.recv_response().await.map_err(failed)?;
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let mut response = Response { status: head.status().as_u16(), headers, body: Vec::new() };
    while let Some(mut data) = stream.recv_data().await.map_err(failed)? {
        response.body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    Ok(response)
}

/// A session of WebTransport with one stream.
pub struct Session {
    /// The stream.
    pub body: Streamed,
    protobuf: bool,
    control: RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>,
    _client: Client,
}

impl Session {
    /// Asks for a session and opens its stream; an answer other than 200 is returned as the error.
    pub async fn open(
        address: &str,
        target: &str,
        headers: &[(String, String)],
        protobuf: bool,
    ) -> Result<Result<(Self, Response), Response>, String> {
        let mut client = Client::connect(address, Tls::Server).await?;
        let mut request = request(address, Method::CONNECT.as_str(), target, headers)?;
        request.extensions_mut().insert(Protocol::WEB_TRANSPORT);
        let (response, control) = client.send(request).await?;
        if response.status != 200 {
            return Ok(Err(response));
        }
        let (mut send, recv) = client.quic.open_bi().await.map_err(|e| format!("open a stream: {e}"))?;
        let mut head = SESSION_STREAM.to_vec();
        let id = control.id().into_inner();
        // No test opens so many streams that this takes more than a byte.
        head.push(u8::try_from(id).ok().filter(|id| *id < 0x40).ok_or("too many streams")?);
        send.write_all(&head).await.map_err(|e| format!("begin a stream: {e}"))?;
        let framing = if protobuf { Framing::Prefixed } else { Framing::Lines };
        let body = Streamed::over(Box::new(tokio::io::join(recv, send)), framing);
        Ok(Ok((Self { body, protobuf, control, _client: client }, response)))
    }

    /// Sends a frame of commands.
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), String> {
        let mut bytes = frame.to_vec();
        if !self.protobuf {
            bytes.push(b'\n');
        }
        self.write(&bytes).await
    }

    /// Sends bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let stream = self.body.stream();
        stream.write_all(bytes).await.map_err(|e| format!("write to a stream: {e}"))
    }

    /// Ends our side of the stream.
    pub async fn finish(&mut self) -> Result<(), String> {
        self.body.stream().shutdown().await.map_err(|e| format!("end a stream: {e}"))
    }

    /// Waits until the server ends the session, and answers why.
    pub async fn end(&mut self) -> Result<Value, String> {
        let mut capsules = Vec::new();
        while let Ok(Some(mut data)) = self.control.recv_data().await {
            capsules.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
        match capsules.strip_prefix(&CLOSE_SESSION) {
            // Reasons of tests have less than 60 bytes, so that the length takes one.
            Some([_, a, b, c, d, reason @ ..]) => {
                let code = u32::from_be_bytes([*a, *b, *c, *d]);
                Ok(json!({"code": code, "reason": String::from_utf8_lossy(reason)}))
            }
            _ => Err(format!("session ended with {:?}", protobuf::to_hex(&capsules))),
        }
    }
}
