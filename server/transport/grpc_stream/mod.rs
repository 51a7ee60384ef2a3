//! The client protocol over gRPC, service `gyre.realtime.v1.Realtime`: commands and replies as messages of one
//! stream, or pushes alone.

use super::grpc::messages::Messages;
use super::grpc::{pushes, status, stream};
use crate::observability::Transport as TransportName;
use crate::reactor::{Handshake, Input, Reactor};
use crate::session::{Close, Origin};
use gyre_proto::client::ConnectRequest;
use gyre_proto::codes::DisconnectCode;
use http::{Request, Response};
use tonic::body::Body as GrpcBody;
use tonic::{Code, Status};

/// Path of the stream in both directions.
pub const CONNECT: &str = "/gyre.realtime.v1.Realtime/Connect";
/// Path of the stream of pushes.
pub const CONSUME: &str = "/gyre.realtime.v1.Realtime/Consume";
/// Where both are.
pub const SERVICE: &str = "/gyre.realtime.v1.Realtime/";

/// What the configuration says about this transport.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of one message from a peer, before and after decompression.
    pub message_size: usize,
}

/// Opens a connection in both directions.
pub fn connect(
    request: Request<GrpcBody>,
    options: Options,
    origin: Origin,
    reactor: &Reactor,
) -> Response<GrpcBody> {
    let messages = match Messages::new(request, options.message_size) {
        Ok(messages) => messages,
        Err(status) => return status.into_http(),
    };
    let handshake = Handshake { origin, ..Handshake::new(TransportName::GrpcStream, pushes::wire(false)) };
    let (body, input) = reactor.accept_body(handshake);
    tokio::spawn(read(messages, input));
    stream(body, status::told_by_status)
}

/// Opens a connection that receives only.
pub async fn consume(
    request: Request<GrpcBody>,
    options: Options,
    origin: Origin,
    reactor: &Reactor,
) -> Response<GrpcBody> {
    let handshake = Handshake { origin, ..Handshake::new(TransportName::GrpcStream, pushes::wire(true)) };
    let as_it_is: fn(ConnectRequest) -> ConnectRequest = |request| request;
    pushes::open(request, options.message_size, as_it_is, handshake, status::told_by_status, reactor).await
}

/// Hands the commands of a peer to its connection until either side ends.
async fn read(mut messages: Messages, input: Input) {
    loop {
        match messages.next().await {
            Ok(Some(message)) => {
                if input.send(message).await.is_err() {
                    return;
                }
            }
            Ok(None) => return input.end(),
            Err(status) => return input.fail(refusal(&status)),
        }
    }
}

/// Why a connection ends whose peer sent no proper message.
fn refusal(status: &Status) -> Close {
    match status.code() {
        Code::ResourceExhausted => {
            Close { code: status::MESSAGE_TOO_BIG, reason: "message size limit".into() }
        }
        Code::Internal => Close::from(DisconnectCode::BadRequest),
        // The call was cancelled or its connection lost.
        _ => Close::from(DisconnectCode::ConnectionClosed),
    }
}
