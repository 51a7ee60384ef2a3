//! The server API over gRPC and gRPC-Web, with health and reflection services.

use super::access::Access;
use super::service::Service;
use crate::net::{Body, GrpcKind, RequestBody, grpc_call};
use gyre_proto::FILE_DESCRIPTOR_SET;
use gyre_proto::api::centrifugo_api_server::{CentrifugoApiServer, SERVICE_NAME};
use gyre_proto::service::GrpcApi;
use http::header::HeaderValue;
use http::{HeaderMap, Request, Response};
use std::convert::Infallible;
use std::sync::Arc;
use tonic::Status;
use tonic::body::Body as TonicBody;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::server::NamedService;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower::util::BoxCloneSyncService;
use tower_service::Service as _;

/// How the gRPC API behaves.
#[derive(Clone, Debug)]
pub struct GrpcSettings {
    /// Who may call. Health and reflection are open.
    pub access: Access,
    /// `grpc_api.error_mode: transport`: errors are gRPC statuses for all callers.
    pub transport_errors: bool,
    /// `grpc_api.max_receive_message_size` in bytes; zero means 4 MiB.
    pub max_message_size: usize,
    /// `grpc_api.reflection`.
    pub reflection: bool,
}

/// Most bytes of a message when nothing else is configured, as gRPC implementations agree on.
const DEFAULT_MESSAGE_SIZE: usize = 4 << 20;

type Boxed = BoxCloneSyncService<Request<TonicBody>, Response<TonicBody>, Infallible>;

/// The gRPC services of a port. Clones share them.
#[derive(Clone)]
pub struct GrpcFront(Arc<Services>);

struct Services {
    access: Access,
    api: CentrifugoApiServer<GrpcApi<Service>>,
    /// As `api`, for callers that compress: they get compressed responses.
    api_gzip: CentrifugoApiServer<GrpcApi<Service>>,
    health: HealthServer<HealthService>,
    reflection: Option<Reflection>,
}

/// Both versions of the reflection service that clients use.
#[derive(Clone)]
struct Reflection {
    v1: Boxed,
    v1alpha: Boxed,
}

/// Why the gRPC services could not be made.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// The descriptors built into the program cannot be reflected.
    #[error("make the reflection service")]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl GrpcFront {
    /// Serves `service`. Health says «serving» until [`GrpcHealth::stop`].
    ///
    /// # Errors
    /// See [`GrpcError`]; all of them end the start.
    pub fn new(
        settings: GrpcSettings,
        service: Arc<Service>,
        health: &GrpcHealth,
    ) -> Result<Self, GrpcError> {
        let size = match settings.max_message_size {
            0 => DEFAULT_MESSAGE_SIZE,
            size => size,
        };
        let api = CentrifugoApiServer::new(GrpcApi::new(service, settings.transport_errors))
            .accept_compressed(Gzip)
            .max_decoding_message_size(size);
        let reflection = settings.reflection.then(Reflection::new).transpose()?;
        Ok(Self(Arc::new(Services {
            access: settings.access,
            api_gzip: api.clone().send_compressed(Gzip),
            api,
            health: HealthServer::new(HealthService::from_health_reporter(health.0.clone())),
            reflection,
        })))
    }

    /// Whether a request is gRPC or gRPC-Web.
    pub fn handles(headers: &HeaderMap) -> bool {
        GrpcKind::of(headers).is_some()
    }

    /// Answers a request.
    pub async fn call(self, request: Request<RequestBody>) -> Response<Body> {
        let kind = GrpcKind::of(request.headers()).unwrap_or(GrpcKind::Native);
        let dispatch = async |front: Self, request| {
            let Ok(response) = front.dispatch(request).await;
            response
        };
        grpc_call(request, kind, |request| dispatch(self.clone(), request)).await
    }

    async fn dispatch(self, request: Request<TonicBody>) -> Result<Response<TonicBody>, Infallible> {
        let Services { access, api, api_gzip, health, reflection } = &*self.0;
        let path = request.uri().path();
        let service = path.strip_prefix('/').and_then(|path| path.split('/').next()).unwrap_or_default();
        match (service, reflection) {
            (SERVICE_NAME, _) => {
                if !access.allows_grpc(request.headers()) {
                    return Ok(Status::unauthenticated("unauthenticated").into_http());
                }
                let gzip = request.headers().get("grpc-encoding").is_some_and(|encoding| encoding == "gzip");
                let mut api = if gzip { api_gzip.clone() } else { api.clone() };
                api.call(request).await.map(with_conventional_size_status)
            }
            (name, _) if name == <HealthServer<HealthService> as NamedService>::NAME => {
                health.clone().call(request).await
            }
            ("grpc.reflection.v1.ServerReflection", Some(reflection)) => {
                reflection.v1.clone().call(request).await
            }
            ("grpc.reflection.v1alpha.ServerReflection", Some(reflection)) => {
                reflection.v1alpha.clone().call(request).await
            }
            _ => Ok(Status::unimplemented(format!("unknown service {service}")).into_http()),
        }
    }
}

/// tonic answers a message over the limit with OUT_OF_RANGE; gRPC implementations agree on RESOURCE_EXHAUSTED,
/// and callers act on it.
fn with_conventional_size_status(mut response: Response<TonicBody>) -> Response<TonicBody> {
    let headers = response.headers_mut();
    let too_large = headers.get("grpc-status").is_some_and(|status| status == "11")
        && headers
            .get("grpc-message")
            .and_then(|message| message.to_str().ok())
            .is_some_and(|message| message.contains("length%20too%20large"));
    if too_large {
        headers.insert("grpc-status", HeaderValue::from_static("8"));
    }
    response
}

impl Reflection {
    fn new() -> Result<Self, GrpcError> {
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        };
        Ok(Self {
            v1: BoxCloneSyncService::new(builder().build_v1()?),
            v1alpha: BoxCloneSyncService::new(builder().build_v1alpha()?),
        })
    }
}

/// What the health services of all ports say.
#[derive(Clone)]
pub struct GrpcHealth(HealthReporter);

impl GrpcHealth {
    /// Says that the server and its API are serving.
    pub async fn serving() -> Self {
        let reporter = HealthReporter::new();
        reporter.set_service_status(SERVICE_NAME, tonic_health::ServingStatus::Serving).await;
        Self(reporter)
    }

    /// Says from now on that they are not.
    pub async fn stop(&self) {
        for service in ["", SERVICE_NAME] {
            self.0.set_service_status(service, tonic_health::ServingStatus::NotServing).await;
        }
    }
}
