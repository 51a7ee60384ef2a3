//! The opening handshake: from an HTTP request to a connection of the reactor.
//!
//! Over HTTP/2 a WebSocket is one stream of a connection that carries others too, so its bytes go through a pipe.
//!
//! Source: RFC 6455 §4, RFC 7692 §7.1, RFC 8441; rows WS-1 to WS-4 and FRM-13 of the protocol.

use crate::net::Body;
use crate::observability::Transport as TransportName;
use crate::protocol::Encoding;
use crate::reactor::{Handshake, Reactor, Wire, tunnel};
use crate::session::Origin;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const PROTOBUF: &str = "centrifuge-protobuf";
const JSON: &str = "centrifuge-json";

/// What the configuration says about this endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Agree to permessage-deflate when the peer offers it.
    pub compression: bool,
}

/// Why a request does not become a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Only GET opens a WebSocket (405).
    #[error("websocket handshake: method is not GET")]
    Method,
    /// A header is missing or wrong (400).
    #[error("websocket handshake: {0}")]
    Header(&'static str),
    /// The origin is not allowed (403).
    #[error("websocket handshake: origin is not allowed")]
    Origin,
}

impl Refusal {
    /// The answer to the peer.
    pub fn response(self) -> Response<Body> {
        let status = match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Header(_) => StatusCode::BAD_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
        };
        let mut response = Response::new(Body::from(format!("{self}\n")));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}

/// Answers a handshake and, once the answer is written, hands the socket to the reactor.
///
/// `origin_allowed` is what the origin check said; `origin` whom the request comes from.
pub fn accept<B>(
    request: Request<B>,
    options: Options,
    origin_allowed: bool,
    origin: Origin,
    reactor: Arc<Reactor>,
) -> Response<Body> {
    let subprotocol = subprotocol(request.headers());
    let query = request.uri().query().unwrap_or_default();
    let protobuf = match subprotocol {
        Some(name) => name == PROTOBUF,
        None => query_is(query, "format", "protobuf") || query_is(query, "cf_protocol", "protobuf"),
    };
    let deflate = deflate_answer(request.headers()).filter(|_| options.compression);
    let encoding = if protobuf { Encoding::Protobuf } else { Encoding::Json };
    let wire = Wire { encoding, compression: deflate.is_some(), ..Wire::default() };
    let mut handshake = Handshake::new(TransportName::WebSocket, wire);
    handshake.transport.native_ping = query_is(query, "cf_ws_frame_ping_pong", "true");
    handshake.origin = origin;
    let agreed = Agreed { subprotocol, deflate };
    upgrade(request, agreed, handshake, origin_allowed, reactor).unwrap_or_else(Refusal::response)
}

/// What the server agrees to of what the peer offered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Agreed {
    /// Subprotocol.
    pub subprotocol: Option<&'static str>,
    /// Parameters of permessage-deflate.
    pub deflate: Option<&'static str>,
}

/// Answers a handshake and, once the answer is written, hands the socket to the reactor as `handshake` says.
///
/// # Errors
/// [`Refusal`] when the request does not open a WebSocket.
pub fn upgrade<B>(
    mut request: Request<B>,
    agreed: Agreed,
    handshake: Handshake,
    origin_allowed: bool,
    reactor: Arc<Reactor>,
) -> Result<Response<Body>, Refusal> {
    let key = match is_extended_connect(&request) {
        true => check_extended_connect(&request, origin_allowed).map(|()| None)?,
        false => Some(check(&request, origin_allowed)?),
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => hand_over(upgraded, handshake, &reactor).await,
            // The peer left before the answer was written.
            Err(error) => tracing::debug!(%error, "websocket upgrade failed"),
        }
    });
    let mut response = Response::new(Body::empty());
    if let Some(key) = key {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
    }
    let headers = response.headers_mut();
    if let Some(name) = agreed.subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
    }
    if let Some(answer) = agreed.deflate {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(answer));
    }
    Ok(response)
}

/// Whether a request asks over HTTP/2 for a stream of another protocol.
fn is_extended_connect<B>(request: &Request<B>) -> bool {
    request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_some()
}

/// Checks everything a handshake over HTTP/2 needs.
fn check_extended_connect<B>(request: &Request<B>, origin_allowed: bool) -> Result<(), Refusal> {
    if request.extensions().get::<Protocol>().map(Protocol::as_str) != Some("websocket") {
        return Err(Refusal::Header("':protocol' is not 'websocket'"));
    }
    check_version(request.headers())?;
    if origin_allowed { Ok(()) } else { Err(Refusal::Origin) }
}

fn check_version(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get(header::SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) {
        Some(b"13") => Ok(()),
        _ => Err(Refusal::Header("unsupported version: 13 not found in 'Sec-Websocket-Version' header")),
    }
}

/// Checks everything a handshake needs and returns its key.
fn check<B>(request: &Request<B>, origin_allowed: bool) -> Result<HeaderValue, Refusal> {
    let headers = request.headers();
    if !has_token(headers, header::CONNECTION, "upgrade") {
        return Err(Refusal::Header("'upgrade' token not found in 'Connection' header"));
    }
    if !has_token(headers, header::UPGRADE, "websocket") {
        return Err(Refusal::Header("'websocket' token not found in 'Upgrade' header"));
    }
    if request.method() != Method::GET {
        return Err(Refusal::Method);
    }
    check_version(headers)?;
    if !origin_allowed {
        return Err(Refusal::Origin);
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key.as_bytes()));
    key.cloned().ok_or(Refusal::Header(
        "'Sec-WebSocket-Key' header must be Base64 encoded value of 16-byte in length",
    ))
}

fn is_key(key: &[u8]) -> bool {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(token))
}

/// The first of the offered subprotocols that is ours.
fn subprotocol(headers: &HeaderMap) -> Option<&'static str> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let names = offered.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    names.map(str::trim).find_map(|name| [JSON, PROTOBUF].into_iter().find(|ours| *ours == name))
}

/// The parameters every agreement to permessage-deflate has: no context outlives a message.
const DEFLATE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// The same for a peer that names the window we have anyway.
const DEFLATE_WINDOW: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15";

/// The answer to the first offer of permessage-deflate that can be kept, if there is one.
///
/// Publications are compressed once for all, with the largest window, so a smaller one cannot be promised.
///
/// Source: RFC 7692 §5.1 and §7.1: an offer with parameters that are unknown, repeated or cannot be kept is
/// declined.
pub fn deflate_answer(headers: &HeaderMap) -> Option<&'static str> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS);
    offered
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(answer_offer)
}

fn answer_offer(offer: &str) -> Option<&'static str> {
    let mut parts = offer.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("permessage-deflate") {
        return None;
    }
    let mut seen = Vec::new();
    let mut answer = DEFLATE;
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(value.trim().trim_matches('"'))),
            None => (part, None),
        };
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            (
                "server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits",
                None,
            ) => {}
            ("client_max_window_bits", Some("8" | "9" | "10" | "11" | "12" | "13" | "14" | "15")) => {}
            ("server_max_window_bits", Some("15")) => answer = DEFLATE_WINDOW,
            _ => return None,
        }
    }
    Some(answer)
}

fn query_is(query: &str, name: &str, value: &str) -> bool {
    query.split('&').any(|pair| pair.split_once('=') == Some((name, value)))
}

/// Takes the socket out of hyper and gives it to a shard; carries the bytes of a stream that shares its socket.
async fn hand_over(upgraded: Upgraded, mut handshake: Handshake, reactor: &Reactor) {
    use hyper_util::server::conn::auto::upgrade::downcast;
    let upgraded = match downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => {
            // Copied and dropped: the buffer would pin all of hyper's read buffer for the connection's life.
            handshake.early = Some(parts.read_buf.to_vec());
            drop(parts.read_buf);
            return match parts.io.into_inner().into_std() {
                Ok(socket) => reactor.accept(socket, handshake),
                Err(error) => tracing::debug!(%error, "socket was lost in the upgrade"),
            };
        }
        Err(upgraded) => upgraded,
    };
    match downcast::<TokioIo<TlsStream<TcpStream>>>(upgraded) {
        Ok(parts) => {
            handshake.early = Some(parts.read_buf.to_vec());
            let (socket, session) = parts.io.into_inner().into_inner();
            match socket.into_std() {
                Ok(socket) => reactor.accept_tls(socket, Box::new(session), handshake),
                Err(error) => tracing::debug!(%error, "socket was lost in the upgrade"),
            }
        }
        Err(upgraded) => {
            let (body, input) = reactor.accept_body(handshake);
            tunnel(TokioIo::new(upgraded), body, input).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(change: impl FnOnce(&mut http::request::Builder)) -> Request<()> {
        let mut builder = Request::get("/connection/websocket")
            .header("Connection", "keep-alive, Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        change(&mut builder);
        builder.body(()).unwrap()
    }

    #[test]
    fn good_handshakes_pass_and_bad_ones_say_why() {
        assert!(check(&request(|_| {}), true).is_ok());
        assert_eq!(check(&request(|_| {}), false), Err(Refusal::Origin));
        for (name, value) in [
            ("connection", "close"),
            ("upgrade", "h2c"),
            ("sec-websocket-version", "12"),
            ("sec-websocket-key", "short"),
        ] {
            let request = request(|builder| {
                builder.headers_mut().unwrap().insert(name, HeaderValue::from_static(value));
            });
            assert!(matches!(check(&request, true), Err(Refusal::Header(_))), "{name}: {value}");
        }
        let mut post = request(|_| {});
        *post.method_mut() = Method::POST;
        assert_eq!(check(&post, true), Err(Refusal::Method));
    }

    #[test]
    fn handshakes_over_http_2_need_no_key() {
        let connect = |protocol: Option<&'static str>, version: &'static str| {
            let builder =
                Request::connect("https://x/connection/websocket").header("Sec-WebSocket-Version", version);
            let mut request = builder.body(()).unwrap();
            if let Some(protocol) = protocol {
                request.extensions_mut().insert(Protocol::from_static(protocol));
            }
            request
        };
        assert!(!is_extended_connect(&connect(None, "13")));
        assert!(is_extended_connect(&connect(Some("websocket"), "13")));
        assert_eq!(check_extended_connect(&connect(Some("websocket"), "13"), true), Ok(()));
        assert_eq!(check_extended_connect(&connect(Some("websocket"), "13"), false), Err(Refusal::Origin));
        for (protocol, version) in [("webtransport", "13"), ("websocket", "12")] {
            let checked = check_extended_connect(&connect(Some(protocol), version), true);
            assert!(matches!(checked, Err(Refusal::Header(_))), "{protocol} {version}");
        }
    }

    #[test]
    fn the_first_known_subprotocol_wins() {
        let named = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(value));
            subprotocol(&headers)
        };
        assert_eq!(named("x, centrifuge-protobuf, centrifuge-json"), Some(PROTOBUF));
        assert_eq!(named("centrifuge-json"), Some(JSON));
        assert_eq!(named("other"), None);
    }

    #[test]
    fn only_offers_that_can_be_kept_are_answered() {
        let answer = |offers: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(offers));
            deflate_answer(&headers)
        };
        assert_eq!(answer("permessage-deflate"), Some(DEFLATE));
        assert_eq!(answer("x-other, permessage-deflate; client_max_window_bits"), Some(DEFLATE));
        assert_eq!(answer("permessage-deflate; client_max_window_bits=10"), Some(DEFLATE));
        assert_eq!(answer("permessage-deflate; server_max_window_bits=\"15\""), Some(DEFLATE_WINDOW));
        assert_eq!(
            answer("permessage-deflate; server_max_window_bits=10, permessage-deflate"),
            Some(DEFLATE)
        );
        for declined in [
            "x-webkit-deflate-frame",
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; unknown",
        ] {
            assert_eq!(answer(declined), None, "{declined}");
        }
    }

    #[test]
    fn query_values_must_match_exactly() {
        assert!(query_is("a=1&format=protobuf", "format", "protobuf"));
        assert!(!query_is("format=protobuf2", "format", "protobuf"));
        assert!(!query_is("xformat=protobuf", "format", "protobuf"));
    }
}
