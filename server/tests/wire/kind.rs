//! The transports a scenario may name.

use serde_json::{Value, json};

/// How a connection reaches the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    WebSocket,
    HttpStream,
    Sse,
    UniWebSocket,
    UniSse,
    UniHttpStream,
    UniGrpc,
    WebTransport,
    GrpcStream,
    /// The form of `grpc_stream` that receives only.
    GrpcConsume,
}

/// Where the connect request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The first message.
    Message,
    /// The query parameter `cf_connect`.
    Query,
    /// The body of a POST request.
    Body,
}

impl Kind {
    const NAMED: [(&str, Self); 10] = [
        ("websocket", Self::WebSocket),
        ("http_stream", Self::HttpStream),
        ("sse", Self::Sse),
        ("uni_websocket", Self::UniWebSocket),
        ("uni_sse", Self::UniSse),
        ("uni_http_stream", Self::UniHttpStream),
        ("uni_grpc", Self::UniGrpc),
        ("webtransport", Self::WebTransport),
        ("grpc_stream", Self::GrpcStream),
        ("grpc_consume", Self::GrpcConsume),
    ];

    pub fn named(name: &str) -> Result<Self, String> {
        let found = Self::NAMED.iter().find(|(known, _)| *known == name);
        found.map(|(_, kind)| *kind).ok_or_else(|| format!("no transport {name:?}"))
    }

    /// Name in the configuration and last part of the default path.
    pub fn name(self) -> &'static str {
        Self::NAMED.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// The configuration that switches the transport on.
    pub fn switched_on(self) -> Value {
        match self {
            Self::WebSocket => json!({}),
            Self::UniGrpc => {
                json!({"uni_grpc": {"enabled": true, "address": "127.0.0.1", "port": "${uni_grpc_port}"}})
            }
            Self::WebTransport => json!({
                "webtransport": {"enabled": true},
                "http_server": {
                    "internal_port": "${internal_port}",
                    "tls": {"enabled": true, "cert_pem": "${tls_certificate}", "key_pem": "${tls_key}"},
                    "tls_external": true,
                    "http3": {"enabled": true},
                },
            }),
            Self::GrpcConsume => Self::GrpcStream.switched_on(),
            other => {
                let mut config = json!({});
                config[other.name()] = json!({"enabled": true});
                config
            }
        }
    }

    /// Path of the stream, for transports over gRPC.
    pub fn grpc_path(self) -> Option<&'static str> {
        match self {
            Self::UniGrpc => Some("/centrifugal.centrifugo.unistream.CentrifugoUniStream/Consume"),
            Self::GrpcStream => Some("/gyre.realtime.v1.Realtime/Connect"),
            Self::GrpcConsume => Some("/gyre.realtime.v1.Realtime/Consume"),
            _ => None,
        }
    }

    /// Whether pushes come bare and nothing but the connect request goes up.
    pub fn unidirectional(self) -> bool {
        matches!(
            self,
            Self::UniWebSocket | Self::UniSse | Self::UniHttpStream | Self::UniGrpc | Self::GrpcConsume
        )
    }

    /// Whether messages travel in WebSocket frames, otherwise in the body of a response.
    pub fn framed(self) -> bool {
        matches!(self, Self::WebSocket | Self::UniWebSocket)
    }

    /// Whether commands go to the emulation endpoint.
    pub fn emulated(self) -> bool {
        matches!(self, Self::HttpStream | Self::Sse)
    }

    /// Whether the body is a stream of events for browsers.
    pub fn events(self) -> bool {
        matches!(self, Self::Sse | Self::UniSse)
    }

    /// Where the connect request travels unless the step says otherwise.
    pub fn carrier(self) -> Carrier {
        match self {
            Self::WebSocket | Self::UniWebSocket | Self::WebTransport | Self::GrpcStream => Carrier::Message,
            Self::Sse | Self::UniSse => Carrier::Query,
            Self::HttpStream | Self::UniHttpStream | Self::UniGrpc | Self::GrpcConsume => Carrier::Body,
        }
    }
}

impl Carrier {
    pub fn named(name: &str) -> Result<Self, String> {
        match name {
            "message" => Ok(Self::Message),
            "query" => Ok(Self::Query),
            "body" => Ok(Self::Body),
            other => Err(format!("a connect request cannot travel in {other:?}")),
        }
    }
}
