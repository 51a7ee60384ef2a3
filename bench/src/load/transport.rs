//! How a client reaches the server: what it says first, and in which form messages come back.

use crate::target::{Endpoint, Target};
use crate::wire::Protocol;
use crate::wire::command;
use crate::wire::reply::Dialect;
use crate::wire::stream::Framing;
use crate::wire::websocket;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::net::SocketAddr;

/// A transport of the client protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    WebSocket {
        /// Whether the client wants messages compressed.
        deflate: bool,
    },
    /// Messages in the body of a response that never ends; commands would go by requests of their own.
    HttpStream,
    /// The same as server-sent events, which carry JSON only.
    Sse,
    /// Bare pushes in JSON, in the body of a response that never ends.
    UniHttpStream,
    /// Bare pushes in JSON, as server-sent events.
    UniSse,
    /// Bare pushes over a gRPC stream, in Protobuf as everything there.
    UniGrpc,
}

impl Transport {
    pub const PLAIN: Self = Self::WebSocket { deflate: false };

    /// Whether the client can send commands over the connection it opened.
    pub fn takes_commands(self) -> bool {
        matches!(self, Self::WebSocket { .. })
    }

    /// Whether the client protocol comes in both encodings.
    pub fn has_protocols(self) -> bool {
        matches!(self, Self::WebSocket { .. } | Self::HttpStream)
    }

    pub fn address(self, target: &Target) -> SocketAddr {
        match self {
            Self::UniGrpc => target.uni_grpc,
            _ => target.websocket.address,
        }
    }

    /// How the server speaks over this transport to a client that takes deltas or not.
    pub fn dialect(self, protocol: Protocol, delta: bool) -> Dialect {
        let (protocol, unidirectional) = match self {
            Self::WebSocket { .. } | Self::HttpStream => (protocol, false),
            Self::Sse => (Protocol::Json, false),
            Self::UniHttpStream | Self::UniSse => (Protocol::Json, true),
            Self::UniGrpc => (Protocol::Protobuf, true),
        };
        Dialect { protocol, unidirectional, delta }
    }

    /// What stands between messages where the transport is one stream; frames of a WebSocket are read elsewhere.
    pub fn framing(self, protocol: Protocol) -> Framing {
        match (self, protocol) {
            (Self::Sse | Self::UniSse, _) => Framing::Events,
            (Self::UniGrpc, _) => Framing::Grpc,
            (Self::HttpStream | Self::WebSocket { .. }, Protocol::Protobuf) => Framing::Delimited,
            (Self::HttpStream | Self::WebSocket { .. }, Protocol::Json) | (Self::UniHttpStream, _) => {
                Framing::Lines
            }
        }
    }

    /// Builds the HTTP/1.1 request that opens the connection; over all but WebSocket it connects the client, too.
    pub fn request(self, target: &Target, id: u32, token: &str) -> Vec<u8> {
        let Endpoint { host, path, .. } = &target.websocket;
        match self {
            Self::WebSocket { deflate } => websocket::upgrade_request(host, path, target.protocol, deflate),
            Self::HttpStream => {
                let kind = match target.protocol {
                    Protocol::Json => "application/json",
                    Protocol::Protobuf => "application/octet-stream",
                };
                post(host, "/connection/http_stream", kind, &command::connect(target.protocol, id, token))
            }
            Self::Sse => get(host, "/connection/sse", &command::connect(Protocol::Json, id, token)),
            Self::UniHttpStream => {
                let body = command::unidirectional_connect(token);
                post(host, "/connection/uni_http_stream", "application/json", &body)
            }
            Self::UniSse => get(host, "/connection/uni_sse", &command::unidirectional_connect(token)),
            // A gRPC stream opens by frames of HTTP/2, which are not written here.
            Self::UniGrpc => Vec::new(),
        }
    }
}

fn post(host: &str, path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

fn get(host: &str, path: &str, connect: &[u8]) -> Vec<u8> {
    let connect = String::from_utf8_lossy(connect);
    let connect = utf8_percent_encode(&connect, NON_ALPHANUMERIC);
    format!("GET {path}?cf_connect={connect} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n")
        .into_bytes()
}
