//! WebTransport: a session on an HTTP/3 connection, whose first stream in both directions carries the client
//! protocol.
//!
//! Source: rows WT-1 to WT-4 of the protocol.

mod messages;
#[cfg(test)]
mod tests;

use super::framing::Framing;
use super::grpc::status::MESSAGE_TOO_BIG;
use super::{query, streamed};
use crate::net::{Body, RequestBody, WebTransportSession, WebTransportStream, WebTransportUpgrade};
use crate::observability::Transport;
use crate::protocol::Encoding;
use crate::reactor::{Handshake, Input, Reactor, ResponseBody, Wire};
use crate::session::{Close, Origin};
use gyre_proto::codes::DisconnectCode;
use http::{Request, Response, StatusCode};
use messages::{MessageError, Messages};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long a peer may take until it opens its stream.
const STREAM_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may take to read the last messages before its session ends: browsers throw away what a page has
/// not read by then.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);

/// What the configuration says about this transport.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of one message from a peer.
    pub message_size: usize,
}

/// Answers a request for a session and, once the answer is written, serves it.
pub fn accept(
    mut request: Request<RequestBody>,
    options: Options,
    origin_allowed: bool,
    origin: Origin,
    reactor: Arc<Reactor>,
) -> Response<Body> {
    let Some(upgrade) = WebTransportUpgrade::of(&mut request).filter(|_| origin_allowed) else {
        return streamed::empty(StatusCode::BAD_REQUEST);
    };
    let encoding = match query::parameter(request.uri().query(), "cf_protocol").as_deref() {
        Some("protobuf") => Encoding::Protobuf,
        _ => Encoding::Json,
    };
    tokio::spawn(async move {
        if let Some(session) = upgrade.session().await {
            serve(session, encoding, options, origin, &reactor).await;
        }
    });
    streamed::empty(StatusCode::OK)
}

async fn serve(
    mut session: WebTransportSession,
    encoding: Encoding,
    options: Options,
    origin: Origin,
    reactor: &Reactor,
) {
    let Ok(Some(WebTransportStream { mut send, recv })) = timeout(STREAM_TIMEOUT, session.stream()).await
    else {
        return;
    };
    let wire = Wire { encoding, framing: Framing::Lines, ..Wire::default() };
    let handshake = Handshake { origin, ..Handshake::new(Transport::WebTransport, wire) };
    let (mut body, input) = reactor.accept_body(handshake);
    let messages = Messages::new(recv, encoding, options.message_size);
    let complete = tokio::select! {
        complete = write(&mut body, &mut send) => complete,
        () = read(messages, input) => false,
        () = session.ended() => false,
    };
    let close = body.close().unwrap_or_else(|| Close::from(DisconnectCode::ConnectionClosed));
    // Dropped, it ends the connection if the peer did not wait for that.
    drop(body);
    if complete && send.finish().is_ok() {
        // The peer ends the session when it has read why the connection ends.
        let _ = timeout(LAST_WORDS_TIMEOUT, session.ended()).await;
    }
    session.close(close.code, &close.reason).await;
}

/// Writes what the server sends; true when that was all of it.
async fn write(body: &mut ResponseBody, send: &mut quinn::SendStream) -> bool {
    loop {
        match body.next().await {
            Ok(Some(bytes)) => {
                if send.write_chunk(bytes).await.is_err() {
                    return false;
                }
            }
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Hands the commands of a peer to its connection; done when nobody takes them any more.
async fn read(mut messages: Messages<quinn::RecvStream>, input: Input) {
    loop {
        match messages.next().await {
            Ok(Some(message)) => {
                if input.send(message).await.is_err() {
                    break;
                }
            }
            Ok(None) | Err(MessageError::Lost) => {
                input.end();
                break;
            }
            Err(error) => {
                input.fail(refusal(error));
                break;
            }
        }
    }
    // What the server still has to say is written.
    pending().await
}

/// Why a connection ends whose peer sent no proper message.
fn refusal(error: MessageError) -> Close {
    match error {
        MessageError::TooLong => Close { code: MESSAGE_TOO_BIG, reason: "message size limit".into() },
        MessageError::Malformed => Close::from(DisconnectCode::BadRequest),
        MessageError::Lost => Close::from(DisconnectCode::ConnectionClosed),
    }
}
