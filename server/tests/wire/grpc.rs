//! Unary gRPC calls whose messages stay bytes, so that only `protobuf.rs` interprets them.

use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataKey, MetadataValue};
use tonic::transport::Endpoint;
use tonic::{Request, Status};

use bytes::{Buf as _, BufMut as _};

/// Calls `path` (`/package.Service/Method`) on a plaintext HTTP/2 listener.
pub async fn call(
    address: &str,
    path: &str,
    metadata: &[(String, String)],
    message: Vec<u8>,
) -> Result<Result<Vec<u8>, Status>, String> {
    let endpoint =
        Endpoint::from_shared(format!("http://{address}")).map_err(|e| format!("address {address}: {e}"))?;
    let channel = endpoint.connect().await.map_err(|e| format!("connect to {address}: {e:?}"))?;
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|e| format!("connection to {address}: {e}"))?;
    let mut request = Request::new(message);
    for (name, value) in metadata {
        let name: MetadataKey<Ascii> = name.parse().map_err(|e| format!("metadata {name}: {e}"))?;
        let value: MetadataValue<Ascii> = value.parse().map_err(|e| format!("metadata {value}: {e}"))?;
        request.metadata_mut().append(name, value);
    }
    let path = PathAndQuery::try_from(path).map_err(|e| format!("path {path}: {e}"))?;
    Ok(client.unary(request, path, BytesCodec).await.map(tonic::Response::into_inner))
}

struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}
