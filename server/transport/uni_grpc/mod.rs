//! Unidirectional gRPC, service `centrifugal.centrifugo.unistream.CentrifugoUniStream`.

use super::framing::Framing;
use super::grpc::messages::Messages;
use super::grpc::{status, stream};
use crate::observability::Transport as TransportName;
use crate::protocol::Encoding;
use crate::reactor::{Handshake, Reactor, Wire};
use crate::session::Origin;
use gyre_proto::{client, unistream};
use http::{Request, Response};
use prost::Message;
use tonic::Status;
use tonic::body::Body as GrpcBody;

/// Path of the stream of pushes.
pub const CONSUME: &str = "/centrifugal.centrifugo.unistream.CentrifugoUniStream/Consume";

/// What the configuration says about this transport.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of the request, before and after decompression.
    pub message_size: usize,
}

/// Opens a connection that receives only. The last push tells why it ends; the status is OK then.
pub async fn consume(
    request: Request<GrpcBody>,
    options: Options,
    origin: Origin,
    reactor: &Reactor,
) -> Response<GrpcBody> {
    let connect = match connect_request(request, options).await {
        Ok(connect) => connect,
        Err(status) => return status.into_http(),
    };
    let wire = Wire {
        encoding: Encoding::Protobuf,
        framing: Framing::Grpc,
        unidirectional: true,
        ..Wire::default()
    };
    let handshake = Handshake {
        origin,
        connect: Some(Box::new(connect)),
        ..Handshake::new(TransportName::UniGrpc, wire)
    };
    let (body, _) = reactor.accept_body(handshake);
    stream(body, status::told_by_message)
}

async fn connect_request(
    request: Request<GrpcBody>,
    options: Options,
) -> Result<client::ConnectRequest, Status> {
    let message = Messages::new(request, options.message_size)?.only().await?;
    let request = unistream::ConnectRequest::decode(message)
        .map_err(|error| Status::internal(format!("request is no connect request: {error}")))?;
    Ok(in_client_protocol(request))
}

/// The same request in the words of the client protocol.
fn in_client_protocol(request: unistream::ConnectRequest) -> client::ConnectRequest {
    let unistream::ConnectRequest { token, data, subs, name, version, headers } = request;
    let subs = subs
        .into_iter()
        .map(|(channel, asked)| {
            let unistream::SubscribeRequest { recover, epoch, offset } = asked;
            (channel, client::SubscribeRequest { recover, epoch, offset, ..Default::default() })
        })
        .collect();
    client::ConnectRequest { token, data, subs, name, version, headers, flag: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn requests_keep_what_they_ask() {
        let asked = unistream::SubscribeRequest { recover: true, epoch: "e".into(), offset: 7 };
        let request = unistream::ConnectRequest {
            token: "t".into(),
            data: "{}".into(),
            subs: BTreeMap::from([("c".to_owned(), asked)]),
            name: "n".into(),
            version: "v".into(),
            headers: BTreeMap::from([("h".to_owned(), "x".to_owned())]),
        };
        // Both have the same numbers, so the bytes of one are the bytes of the other.
        let same = client::ConnectRequest::decode(request.encode_to_vec().as_slice());
        assert_eq!(Ok(in_client_protocol(request)), same);
    }
}
