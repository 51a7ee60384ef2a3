//! Unidirectional gRPC, service `centrifugal.centrifugo.unistream.CentrifugoUniStream`.

use super::grpc::{pushes, status};
use crate::observability::Transport as TransportName;
use crate::reactor::{Handshake, Reactor};
use crate::session::Origin;
use gyre_proto::{client, unistream};
use http::{Request, Response};
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
    let handshake = Handshake { origin, ..Handshake::new(TransportName::UniGrpc, pushes::wire(true)) };
    pushes::open(
        request,
        options.message_size,
        in_client_protocol,
        handshake,
        status::told_by_message,
        reactor,
    )
    .await
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
    use prost::Message as _;
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
