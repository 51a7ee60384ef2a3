//! Asking the application over HTTP or gRPC.

use super::listeners::Tls;
use crate::config::setting::section;
use crate::config::values::{Duration, Secret, StringMap};

section! {
    /// How the application is asked.
    pub struct Proxy {
        /// Where to ask: `http://…`, `https://…` or `grpc://…`.
        endpoint: String,
        /// Time allowed for an answer.
        timeout: Duration = "1s",
        /// Headers of the client request that are passed on; as metadata when asking over gRPC.
        http_headers: Vec<String>,
        /// Metadata of unidirectional gRPC clients that is passed on.
        grpc_metadata: Vec<String>,
        /// Headers a client may emulate in its connect command, for browsers that cannot set headers.
        emulated_headers: Vec<String>,
        /// Encodes data as base64, for payloads that are not JSON.
        binary_encoding: bool,
        /// Passes on the meta information attached to the connection.
        include_connection_meta: bool,
        /// Settings of HTTP proxies.
        http: HttpProxy,
        /// Settings of gRPC proxies.
        grpc: GrpcProxy,
    }
}

section! {
    /// Settings of HTTP proxies.
    pub struct HttpProxy {
        /// TLS towards the application.
        tls: Tls,
        /// Headers sent with every request.
        static_headers: StringMap,
        /// Errors and disconnects that stand for status codes of the application.
        status_to_code_transforms: Vec<StatusTransform>,
    }
}

section! {
    /// What a status code of the application stands for; exactly one target is set.
    pub struct StatusTransform (item) {
        /// Status code to look for.
        status_code: u32,
        /// Error the client gets.
        to_error: TargetError,
        /// Disconnect the client gets.
        to_disconnect: TargetDisconnect,
    }
}

section! {
    /// An error a client gets.
    pub struct TargetError {
        /// Code of the error.
        code: u32,
        /// Message, ASCII, at most 123 bytes.
        message: String,
        /// Tells the client that a retry may help.
        temporary: bool,
    }
}

section! {
    /// A disconnect a client gets.
    pub struct TargetDisconnect {
        /// Code of the disconnect.
        code: u32,
        /// Reason, ASCII, at most 123 bytes.
        reason: String,
    }
}

section! {
    /// Settings of gRPC proxies.
    pub struct GrpcProxy {
        /// TLS towards the application.
        tls: Tls,
        /// Name of the metadata entry that carries the credentials.
        credentials_key: String,
        /// Value of that entry.
        credentials_value: Secret,
        /// Compresses requests with gzip.
        compression: bool,
        /// Metadata sent with every request.
        static_metadata: StringMap,
    }
}

section! {
    /// A proxy that can be switched on.
    pub struct SwitchedProxy {
        /// Switches the proxy on.
        enabled: bool,
        /// How the application is asked.
        proxy: Proxy => flat,
    }
}

section! {
    /// A proxy that namespaces choose by name.
    pub struct NamedProxy (named item) {
        /// Name, at least two of `-a-zA-Z0-9_.`; `default` is taken.
        name: String,
        /// How the application is asked.
        proxy: Proxy => flat,
    }
}
