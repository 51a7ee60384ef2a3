//! Streams of pushes alone, for a connect request that is the one message of a call.

use super::messages::Messages;
use super::stream;
use crate::protocol::Encoding;
use crate::reactor::{Handshake, Reactor, Trailers, Wire};
use crate::transport::framing::Framing;
use gyre_proto::client::ConnectRequest;
use http::{Request, Response};
use prost::Message;
use tonic::Status;
use tonic::body::Body as GrpcBody;

/// How messages look, in both directions or in one.
pub fn wire(unidirectional: bool) -> Wire {
    Wire { encoding: Encoding::Protobuf, framing: Framing::Grpc, unidirectional, ..Wire::default() }
}

/// Opens a connection that receives only, whose request of at most `size` bytes `in_client_protocol` puts into words
/// of the client protocol.
pub async fn open<R: Message + Default>(
    request: Request<GrpcBody>,
    size: usize,
    in_client_protocol: fn(R) -> ConnectRequest,
    handshake: Handshake,
    trailers: Trailers,
    reactor: &Reactor,
) -> Response<GrpcBody> {
    let connect = match connect_request(request, size).await {
        Ok(connect) => in_client_protocol(connect),
        Err(status) => return status.into_http(),
    };
    let (body, _) = reactor.accept_body(Handshake { connect: Some(Box::new(connect)), ..handshake });
    stream(body, trailers)
}

async fn connect_request<R: Message + Default>(request: Request<GrpcBody>, size: usize) -> Result<R, Status> {
    let message = Messages::new(request, size)?.only().await?;
    R::decode(message).map_err(|error| Status::internal(format!("request is no connect request: {error}")))
}
