//! Asking over gRPC: calls of `centrifugal.centrifugo.proxy.CentrifugoProxy`.

use super::allowance::Allowance;
use super::counted::is_refused;
use super::events::Ask;
use super::http2::Http2;
use super::settings::{GrpcSettings, ProxySettings, ProxySetupError};
use bytes::Bytes;
use futures_util::stream;
use gyre_proto::proxy as wire;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

/// Port of addresses that name none, as gRPC implementations have it.
const DEFAULT_PORT: u16 = 443;

/// Publications of one client that wait for the application to read them.
const TO_APPLICATION: usize = 16;

/// One endpoint, and the connection to it, which is opened by the first call.
pub(super) struct GrpcBackend {
    connection: Http2,
    /// Scheme and authority of requests.
    origin: Uri,
    /// Sent with every call, whatever a client sent.
    credentials: Option<(HeaderName, HeaderValue)>,
    compression: bool,
}

/// A stream whose first message has come.
pub(super) struct Opened {
    pub first: wire::StreamSubscribeResponse,
    pub rest: Streaming<wire::StreamSubscribeResponse>,
    pub to_application: Option<mpsc::Sender<Bytes>>,
}

impl GrpcBackend {
    /// Prepares calls; nothing is connected yet.
    pub fn new(
        settings: &ProxySettings,
        grpc: &GrpcSettings,
        allowance: &Allowance,
    ) -> Result<Self, ProxySetupError> {
        let unusable = |reason: String| settings.unusable("endpoint", &settings.endpoint, reason);
        let authority = authority(&settings.endpoint).map_err(unusable)?;
        let scheme = if grpc.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let origin = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build();
        let origin = origin.map_err(|error| settings.unusable("endpoint", &settings.endpoint, error))?;
        let allowed = (allowance.clone(), settings.timeout / 2);
        let connection = Http2::new(origin.clone(), grpc.tls.clone(), allowed);
        let credentials = match &grpc.credentials {
            None => None,
            Some((name, value)) => {
                let known = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|error| settings.unusable("grpc.credentials_key", name, error))?;
                let mut value = HeaderValue::from_str(value)
                    .map_err(|error| settings.unusable("grpc.credentials_value", "…", error))?;
                value.set_sensitive(true);
                Some((known, value))
            }
        };
        Ok(Self { connection, origin, credentials, compression: grpc.compression })
    }

    /// Calls a method. The application is told how long we wait.
    pub async fn call<A: Ask>(
        &self,
        entries: HeaderMap,
        question: A,
        timeout: Duration,
    ) -> Result<A::Answer, Status> {
        let mut client = self.client().await?;
        let mut request = self.request(question, entries);
        request.set_timeout(timeout);
        let codec = ProstCodec::<A, A::Answer>::default();
        client
            .unary(request, PathAndQuery::from_static(A::PATH), codec)
            .await
            .map(tonic::Response::into_inner)
    }

    /// Opens a stream for one subscriber and waits for its first message.
    pub async fn open(
        &self,
        entries: HeaderMap,
        question: wire::SubscribeRequest,
        bidirectional: bool,
    ) -> Result<Opened, Status> {
        let mut client = self.client().await?;
        let (answer, to_application) = if bidirectional {
            let (to_application, published) = mpsc::channel(TO_APPLICATION);
            let request = self.request(to_stream(question, published), entries);
            let path = PathAndQuery::from_static(BIDIRECTIONAL);
            (client.streaming(request, path, ProstCodec::default()).await?, Some(to_application))
        } else {
            let path = PathAndQuery::from_static(UNIDIRECTIONAL);
            let request = self.request(question, entries);
            (client.server_streaming(request, path, ProstCodec::default()).await?, None)
        };
        let mut rest: Streaming<wire::StreamSubscribeResponse> = answer.into_inner();
        let ended = || Status::new(Code::Unavailable, "stream ended before its first message");
        let first = rest.message().await?.ok_or_else(ended)?;
        Ok(Opened { first, rest, to_application })
    }

    async fn client(&self) -> Result<Grpc<Http2>, Status> {
        let client = Grpc::with_origin(self.connection.clone(), self.origin.clone());
        let mut client = client.accept_compressed(CompressionEncoding::Gzip);
        if self.compression {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        client.ready().await.map_err(Status::from_error)?;
        Ok(client)
    }

    fn request<T>(&self, message: T, mut entries: HeaderMap) -> Request<T> {
        reserved(&entries).iter().for_each(|name| drop(entries.remove(name)));
        if let Some((name, value)) = &self.credentials {
            entries.insert(name.clone(), value.clone());
        }
        let mut request = Request::new(message);
        *request.metadata_mut() = MetadataMap::from_headers(entries);
        request
    }
}

const UNIDIRECTIONAL: &str = "/centrifugal.centrifugo.proxy.CentrifugoProxy/SubscribeUnidirectional";
const BIDIRECTIONAL: &str = "/centrifugal.centrifugo.proxy.CentrifugoProxy/SubscribeBidirectional";

/// Whether a status is a sign of life: the application says that it does not want this call, or it is us who do not
/// read what it says.
pub(super) fn answered(status: &Status) -> bool {
    use Code::*;
    matches!(
        status.code(),
        InvalidArgument
            | NotFound
            | AlreadyExists
            | PermissionDenied
            | FailedPrecondition
            | Aborted
            | Unimplemented
            | Unauthenticated
    ) || is_refused(status)
}

/// Names that gRPC itself uses.
fn reserved(entries: &HeaderMap) -> Vec<HeaderName> {
    let is_reserved =
        |name: &&HeaderName| [CONTENT_TYPE, USER_AGENT].contains(*name) || name.as_str().starts_with("grpc-");
    entries.keys().filter(is_reserved).cloned().collect()
}

/// The subscription, then what its client publishes.
fn to_stream(
    question: wire::SubscribeRequest,
    published: mpsc::Receiver<Bytes>,
) -> impl stream::Stream<Item = wire::StreamSubscribeRequest> + Send + 'static {
    let first = wire::StreamSubscribeRequest { subscribe_request: Some(question), ..Default::default() };
    let publications = stream::unfold(published, |mut published| async {
        let data = published.recv().await?;
        let publication = Some(wire::Publication { data, ..Default::default() });
        Some((wire::StreamSubscribeRequest { publication, ..Default::default() }, published))
    });
    stream::StreamExt::chain(stream::iter([first]), publications)
}

/// Host and port of an endpoint: `grpc://host:port`, `dns:///host:port` or `host:port`.
fn authority(endpoint: &str) -> Result<Authority, String> {
    let text = match endpoint.strip_prefix("grpc://") {
        Some(rest) => {
            let host = rest.split(['/', '?']).next().unwrap_or_default();
            host.rsplit_once('@').map_or(host, |(_, host)| host)
        }
        None => endpoint.strip_prefix("dns:///").unwrap_or(endpoint),
    };
    let wanted = "expected http://…, https://…, grpc://host:port or host:port";
    let parsed: Authority = text.parse().map_err(|_| wanted.to_owned())?;
    match parsed.port_u16() {
        _ if parsed.host().is_empty() || text.contains('@') => Err(wanted.to_owned()),
        Some(_) => Ok(parsed),
        None => format!("{text}:{DEFAULT_PORT}").parse().map_err(|_| wanted.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_host_and_port() {
        for (endpoint, expected) in [
            ("grpc://host:1", "host:1"),
            ("grpc://user:secret@host:1/path?query", "host:1"),
            ("host:1", "host:1"),
            ("host", "host:443"),
            ("dns:///host:1", "host:1"),
            ("[::1]:1", "[::1]:1"),
            ("grpc://[::1]", "[::1]:443"),
        ] {
            assert_eq!(authority(endpoint).map(|authority| authority.to_string()).as_deref(), Ok(expected));
        }
        for endpoint in ["", "grpc://", "ftp://host", "unix:/run/app", "user@host:1", "host:port"] {
            assert!(authority(endpoint).is_err(), "{endpoint}");
        }
    }

    #[test]
    fn what_grpc_uses_itself_is_not_passed_on() {
        let mut entries = HeaderMap::new();
        for name in ["content-type", "user-agent", "grpc-timeout", "cookie"] {
            entries.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
        }
        assert_eq!(reserved(&entries), ["content-type", "user-agent", "grpc-timeout"]);
    }
}
