//! What the server offers to the application and to operators.

use super::listeners::Tls;
use crate::config::setting::section;
use crate::config::values::{Duration, Secret};

section! {
    /// The server API over HTTP, which is on unless disabled.
    pub struct HttpApi {
        /// Switches the API off.
        disabled: bool,
        /// Start of the paths of all methods.
        handler_prefix: String = "/api",
        /// Key requests must present.
        key: Secret,
        /// How errors are told: `transport` as status codes; empty as part of a response with status 200.
        error_mode: String,
        /// Serves the API on the external port too when there is an internal one.
        external: bool,
        /// Accepts requests without a key. Insecure: for networks that are closed otherwise.
        insecure: bool,
    }
}

section! {
    /// The server API over gRPC, on a port of its own.
    pub struct GrpcApi {
        /// Switches the API on.
        enabled: bool,
        /// How errors are told: `transport` as status codes; empty as part of the response.
        error_mode: String,
        /// Address to listen on; empty means all interfaces.
        address: String,
        /// Port to listen on.
        port: u16 = "10000",
        /// Key calls must present; empty accepts all.
        key: Secret,
        /// TLS of the listener.
        tls: Tls,
        /// Serves descriptions of the services.
        reflection: bool,
        /// Largest request, in bytes; zero means 4 MiB.
        max_receive_message_size: usize,
    }
}

section! {
    /// The web interface for operators.
    pub struct Admin {
        /// Switches the interface on.
        enabled: bool,
        /// Start of its paths; empty means the root.
        handler_prefix: String,
        /// Password of operators.
        password: Secret,
        /// Secret that signs sessions of operators.
        secret: Secret,
        /// Lets anyone in. Insecure: for development.
        insecure: bool,
        /// Directory of another web interface to serve instead.
        web_path: String,
        /// Address of another web interface to pass requests on to.
        web_proxy_address: String,
        /// Serves the interface on the external port too when there is an internal one.
        external: bool,
    }
}

section! {
    /// Metrics in the Prometheus format.
    pub struct Prometheus {
        /// Switches the endpoint on.
        enabled: bool,
        /// Path of the endpoint.
        handler_prefix: String = "/metrics",
        /// Measures HTTP requests by path.
        instrument_http_handlers: bool,
        /// Measures how many publications are recovered at once.
        recovered_publications_histogram: bool,
        /// Offers histograms in the native form too.
        native_histograms: bool,
    }
}

section! {
    /// An endpoint that tells whether the server lives.
    pub struct Health {
        /// Switches the endpoint on.
        enabled: bool,
        /// Path of the endpoint.
        handler_prefix: String = "/health",
    }
}

section! {
    /// A page that describes the server API.
    pub struct Swagger {
        /// Switches the page on.
        enabled: bool,
        /// Path of the page.
        handler_prefix: String = "/swagger",
    }
}

section! {
    /// Endpoints for profiling. Never for the public.
    pub struct Debug {
        /// Switches the endpoints on.
        enabled: bool,
        /// Start of their paths.
        handler_prefix: String = "/debug/pprof",
    }
}

section! {
    /// Tracing over OpenTelemetry; the exporter is set by the usual `OTEL_…` variables.
    pub struct OpenTelemetry {
        /// Switches tracing on.
        enabled: bool,
        /// Traces calls of the server API.
        api: bool,
        /// Traces consumers.
        consuming: bool,
        /// Uses the default credentials of Google Cloud for the exporter.
        google_cloud_adc_auth: bool,
    }
}

section! {
    /// Metrics sent to Graphite.
    pub struct Graphite {
        /// Switches sending on.
        enabled: bool,
        /// Host of Graphite.
        host: String = "localhost",
        /// Port of Graphite.
        port: u16 = "2003",
        /// Start of all names.
        prefix: String = "centrifugo",
        /// Time between sendings.
        interval: Duration = "10s",
        /// Sends labels as tags.
        tags: bool,
    }
}

section! {
    /// Anonymous usage statistics. This server never sends any; the key is read so that files stay valid.
    pub struct UsageStats {
        /// Has no effect.
        disabled: bool,
    }
}
