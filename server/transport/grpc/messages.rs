//! The messages of a request, one by one, as bytes.

use super::ACCEPTED_ENCODINGS;
use bytes::{Buf, Bytes};
use http::{HeaderMap, Request};
use std::time::Duration;
use tonic::body::Body;
use tonic::codec::{BufferSettings, CompressionEncoding, DecodeBuf, Decoder, Streaming};
use tonic::{Code, Status};

/// How long the first message of a call that has only one may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes held for a stream whose peer says nothing, and the step by which buffers for decompression grow.
const BUFFER: usize = 256;

/// The messages of a request. Lengths are checked before anything is reserved for them, and so is what
/// compressed messages grow to.
pub struct Messages(Streaming<Bytes>);

impl Messages {
    /// Reads the messages of `request`, each of at most `limit` bytes.
    ///
    /// # Errors
    /// UNIMPLEMENTED when they are compressed in a way we cannot undo.
    pub fn new(request: Request<Body>, limit: usize) -> Result<Self, Status> {
        let encoding = encoding(request.headers())?;
        Ok(Self(Streaming::new_request(AsBytes, request.into_body(), encoding, Some(limit))))
    }

    /// Waits for the next message; none at the end of the request.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when a message is too large, INTERNAL when the request is no sequence of messages, and
    /// whatever the connection says when it is lost.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        self.0.message().await.map_err(conventional)
    }

    /// The message of a call that has one.
    ///
    /// # Errors
    /// As [`Messages::next`]; INTERNAL when there is none, DEADLINE_EXCEEDED when it does not come.
    pub async fn only(mut self) -> Result<Bytes, Status> {
        let message = tokio::time::timeout(REQUEST_TIMEOUT, self.next())
            .await
            .map_err(|_| Status::deadline_exceeded("request message did not arrive in time"))?;
        message?.ok_or_else(|| Status::internal("request message is missing"))
    }
}

/// tonic answers a message over the limit with OUT_OF_RANGE; gRPC implementations agree on RESOURCE_EXHAUSTED.
fn conventional(status: Status) -> Status {
    match status.code() {
        Code::OutOfRange => Status::resource_exhausted(status.message()),
        _ => status,
    }
}

fn encoding(headers: &HeaderMap) -> Result<Option<CompressionEncoding>, Status> {
    match headers.get("grpc-encoding").map(|value| value.as_bytes()) {
        None | Some(b"identity") => Ok(None),
        Some(b"gzip") => Ok(Some(CompressionEncoding::Gzip)),
        Some(other) => {
            let name = String::from_utf8_lossy(other);
            let mut status =
                Status::unimplemented(format!("messages compressed with {name:?} cannot be read"));
            if let Ok(accepted) = ACCEPTED_ENCODINGS.to_str().unwrap_or_default().parse() {
                status.metadata_mut().insert("grpc-accept-encoding", accepted);
            }
            Err(status)
        }
    }
}

struct AsBytes;

impl Decoder for AsBytes {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = message.remaining();
        Ok(Some(message.copy_to_bytes(length)))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, BUFFER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http_body_util::Full;
    use std::io::Write as _;

    fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
        let mut bytes = vec![flag];
        bytes.extend_from_slice(&(message.len() as u32).to_be_bytes());
        bytes.extend_from_slice(message);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("a vector takes everything");
        encoder.finish().expect("a vector takes everything")
    }

    fn messages(bytes: Vec<u8>, encoding: Option<&str>) -> Result<Messages, Status> {
        let mut request = Request::new(Body::new(Full::new(Bytes::from(bytes))));
        if let Some(encoding) = encoding {
            request.headers_mut().insert("grpc-encoding", encoding.parse().expect("a header value"));
        }
        Messages::new(request, 1000)
    }

    async fn all(bytes: Vec<u8>, encoding: Option<&str>) -> Result<Vec<Bytes>, Code> {
        let mut messages = messages(bytes, encoding).map_err(|status| status.code())?;
        let mut read = Vec::new();
        while let Some(message) = messages.next().await.map_err(|status| status.code())? {
            read.push(message);
        }
        Ok(read)
    }

    #[tokio::test]
    async fn messages_come_one_by_one() {
        let two = [framed(0, b"one"), framed(0, b"")].concat();
        assert_eq!(all(two, None).await, Ok(vec![Bytes::from("one"), Bytes::new()]));
        assert_eq!(all(Vec::new(), Some("identity")).await, Ok(vec![]));
        let compressed = [framed(1, &gzip(b"one")), framed(0, b"two")].concat();
        assert_eq!(all(compressed, Some("gzip")).await, Ok(vec![Bytes::from("one"), Bytes::from("two")]));
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused() {
        assert_eq!(all(framed(0, b"one")[..6].to_vec(), None).await, Err(Code::Internal));
        assert_eq!(all(framed(1, b"one"), None).await, Err(Code::Internal));
        assert_eq!(all(framed(7, b"one"), None).await, Err(Code::Internal));
        assert_eq!(all(framed(1, b"no gzip"), Some("gzip")).await, Err(Code::Internal));
        assert_eq!(all(framed(0, b"one"), Some("br")).await, Err(Code::Unimplemented));
    }

    #[tokio::test]
    async fn what_is_too_large_is_refused() {
        assert_eq!(all(framed(0, &[0; 1001]), None).await, Err(Code::ResourceExhausted));
        assert_eq!(all(vec![0, 0xff, 0xff, 0xff, 0xff], None).await, Err(Code::ResourceExhausted));
        let bomb = framed(1, &gzip(&vec![0; 1 << 20]));
        assert!(bomb.len() < 2000);
        let small = gzip(&[0; 2000]);
        assert_eq!(all(framed(1, &small), Some("gzip")).await, Err(Code::ResourceExhausted));
    }

    #[tokio::test]
    async fn one_message_is_asked_for() {
        let only = |bytes| async { messages(bytes, None)?.only().await };
        assert_eq!(only(framed(0, b"one")).await.expect("a message"), "one");
        assert_eq!(only(Vec::new()).await.expect_err("nothing").code(), Code::Internal);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_does_not_come_is_not_waited_for() {
        let silent = http_body_util::StreamBody::new(futures_util::stream::pending::<
            Result<http_body::Frame<Bytes>, Status>,
        >());
        let messages = Messages::new(Request::new(Body::new(silent)), 1000).expect("not compressed");
        assert_eq!(messages.only().await.expect_err("nothing came").code(), Code::DeadlineExceeded);
    }
}
