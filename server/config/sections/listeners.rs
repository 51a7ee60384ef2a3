//! Where the server listens, and the TLS of every connection it accepts or opens.

use crate::config::setting::section;
use crate::config::values::Pem;

section! {
    /// The main HTTP server and its internal twin.
    pub struct HttpServer {
        /// Address to listen on; empty means all interfaces.
        address: String,
        /// Port of client connections, and of everything else that has no port of its own.
        port: u16 = "8000",
        /// Address of the internal listener; empty means that of the main one.
        internal_address: String,
        /// Port for API, admin, metrics, health and debugging, apart from clients; empty means the main port.
        internal_port: String,
        /// TLS of the main listener.
        tls: Tls,
        /// Certificates obtained by themselves over ACME.
        tls_autocert: TlsAutocert,
        /// Restricts `tls` to the external port when there is an internal one.
        tls_external: bool,
        /// TLS of the internal listener.
        internal_tls: Tls,
        /// HTTP/3 on the main port, over UDP.
        http3: Http3,
        /// Accepts WebSockets as streams of HTTP/2 connections, which cost more than connections of their own. Not
        /// known to Centrifugo.
        http2_websocket: bool,
        /// Accepts HTTP/2 without TLS on the external port; needs an internal port and excludes `tls`.
        h2c_external: bool,
    }
}

section! {
    /// HTTP/3 settings.
    pub struct Http3 {
        /// Switches HTTP/3 on; needs TLS.
        enabled: bool,
    }
}

section! {
    /// TLS of one listener or of connections to one peer. The lowest version is 1.2.
    pub struct Tls {
        /// Switches TLS on.
        enabled: bool,
        /// Own certificate chain: PEM, PEM in base64, or the path of a file.
        cert_pem: Pem,
        /// Private key of the certificate, in the same notations.
        key_pem: Pem,
        /// Authorities trusted when connecting to a server, in the same notations.
        server_ca_pem: Pem,
        /// Authorities of client certificates, in the same notations; when set, clients must present one.
        client_ca_pem: Pem,
        /// Accepts any certificate of a server. Insecure: meant for experiments.
        insecure_skip_verify: bool,
        /// Name to expect in the certificate of a server, instead of the host connected to.
        server_name: String,
    }
}

section! {
    /// Certificates obtained over ACME.
    pub struct TlsAutocert {
        /// Switches automatic certificates on.
        enabled: bool,
        /// Host names for which certificates may be asked for.
        host_whitelist: Vec<String>,
        /// Directory that keeps certificates over restarts.
        cache_dir: String,
        /// Contact address told to the authority.
        email: String,
        /// Host name assumed for clients that send none.
        server_name: String,
        /// Answers HTTP challenges on `http_addr`.
        http: bool,
        /// Address of the challenge listener.
        http_addr: String = ":80",
    }
}

section! {
    /// Logging.
    pub struct Log {
        /// Lowest level written: none, trace, debug, info, warn, error or fatal. Another word means info.
        level: String = "info",
        /// File to write to instead of standard output.
        file: String,
    }
}

section! {
    /// Graceful shutdown.
    pub struct Shutdown {
        /// Time granted to connections before the process ends anyway.
        timeout: crate::config::values::Duration = "30s",
        /// Connections ended per second, more when the time granted would not suffice; zero ends all at once.
        drain_rate: usize,
    }
}

section! {
    /// This process as a member of a cluster.
    pub struct Node {
        /// Name shown to operators; empty means host name and port.
        name: String,
        /// Time over which metrics are summed up for the info call.
        info_metrics_aggregate_interval: crate::config::values::Duration = "60s",
    }
}
