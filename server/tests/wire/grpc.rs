//! gRPC calls whose messages stay bytes, so that only `protobuf.rs` interprets them.

use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataKey, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::net::{CERTIFICATES, Tls};
use tonic::{Code, Request, Status, Streaming};

use bytes::{Buf as _, BufMut as _};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Calls `path` (`/package.Service/Method`) on an HTTP/2 listener.
pub async fn call(
    address: &str,
    tls: Tls,
    path: &str,
    metadata: &[(String, String)],
    message: Vec<u8>,
) -> Result<Result<Vec<u8>, Status>, String> {
    let mut client = client(address, tls).await?;
    let request = with_metadata(Request::new(message), metadata)?;
    let path = PathAndQuery::try_from(path).map_err(|e| format!("path {path}: {e}"))?;
    Ok(client.unary(request, path, BytesCodec).await.map(tonic::Response::into_inner))
}

async fn client(address: &str, tls: Tls) -> Result<Grpc<Channel>, String> {
    let scheme = if tls == Tls::Off { "http" } else { "https" };
    let failed = |error| format!("address {address}: {error}");
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).map_err(failed)?;
    if tls != Tls::Off {
        let authority = Certificate::from_pem(&CERTIFICATES.authority);
        let mut config = ClientTlsConfig::new().ca_certificate(authority).domain_name("localhost");
        if tls == Tls::Mutual {
            let identity = Identity::from_pem(&CERTIFICATES.client_certificate, &CERTIFICATES.client_key);
            config = config.identity(identity);
        }
        endpoint = endpoint.tls_config(config).map_err(failed)?;
    }
    let channel = endpoint.connect().await.map_err(|e| format!("connect to {address}: {e:?}"))?;
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|e| format!("connection to {address}: {e}"))?;
    Ok(client)
}

fn with_metadata<T>(mut request: Request<T>, metadata: &[(String, String)]) -> Result<Request<T>, String> {
    for (name, value) in metadata {
        let name: MetadataKey<Ascii> = name.parse().map_err(|e| format!("metadata {name}: {e}"))?;
        let value: MetadataValue<Ascii> = value.parse().map_err(|e| format!("metadata {value}: {e}"))?;
        request.metadata_mut().append(name, value);
    }
    Ok(request)
}

/// A stream of messages from the server, with one to it or as many as wanted.
pub struct Call {
    /// Where messages to the server go; none once our side ended.
    outgoing: Option<UnboundedSender<Vec<u8>>>,
    incoming: Option<Streaming<Vec<u8>>>,
    end: Option<Ending>,
}

/// Status and trailers.
#[derive(Clone)]
pub struct Ending(Status);

impl Ending {
    /// As a value that patterns can match.
    pub fn shown(&self) -> Value {
        let metadata = self.0.metadata().clone().into_headers();
        let metadata: Map<String, Value> = metadata
            .iter()
            .filter(|(name, _)| name.as_str().starts_with("gyre-") || *name == "grpc-retry-pushback-ms")
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
            .collect();
        json!({"status": format!("{:?}", self.0.code()), "message": self.0.message(), "metadata": metadata})
    }
}

impl Call {
    /// Calls `path`. With a `request` this is all that is sent.
    pub async fn open(
        address: &str,
        tls: Tls,
        path: &str,
        metadata: &[(String, String)],
        request: Option<Vec<u8>>,
    ) -> Result<Self, String> {
        let mut client = client(address, tls).await?;
        let path = PathAndQuery::try_from(path).map_err(|e| format!("path {path}: {e}"))?;
        let (outgoing, answer) = match request {
            Some(message) => {
                let request = with_metadata(Request::new(message), metadata)?;
                (None, client.server_streaming(request, path, BytesCodec).await)
            }
            None => {
                let (sender, receiver) = unbounded_channel::<Vec<u8>>();
                let messages = futures_util::stream::unfold(receiver, |mut receiver| async {
                    receiver.recv().await.map(|message| (message, receiver))
                });
                let request = with_metadata(Request::new(messages), metadata)?;
                (Some(sender), client.streaming(request, path, BytesCodec).await)
            }
        };
        Ok(match answer {
            Ok(response) => Self { outgoing, incoming: Some(response.into_inner()), end: None },
            Err(status) => Self { outgoing, incoming: None, end: Some(Ending(status)) },
        })
    }

    /// Sends one message.
    pub fn send(&self, message: Vec<u8>) -> Result<(), String> {
        let outgoing = self.outgoing.as_ref().ok_or("nothing more can be sent in this call")?;
        outgoing.send(message).map_err(|_| "the call has ended".to_owned())
    }

    /// Ends our side.
    pub fn finish(&mut self) {
        self.outgoing = None;
    }

    /// Waits for the next message; none at the end.
    pub async fn message(&mut self) -> Result<Option<Vec<u8>>, String> {
        let Some(incoming) = &mut self.incoming else { return Ok(None) };
        let end = match incoming.message().await {
            Ok(Some(message)) => return Ok(Some(message)),
            Ok(None) => {
                let trailers = incoming.trailers().await.map_err(|e| format!("trailers: {e}"))?;
                Status::with_metadata(Code::Ok, "", trailers.unwrap_or_default())
            }
            Err(status) => status,
        };
        self.incoming = None;
        self.end = Some(Ending(end));
        Ok(None)
    }

    /// How the call ended, once it has.
    pub fn end(&self) -> Option<&Ending> {
        self.end.as_ref()
    }
}

/// Messages as they are.
pub struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}
