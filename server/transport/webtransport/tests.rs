use super::messages::{MessageError, Messages};
use crate::protocol::Encoding;

async fn all(stream: &[u8], encoding: Encoding) -> Result<Vec<Vec<u8>>, MessageError> {
    // Two bytes at a time, so that every message comes in pieces.
    let pieces = Pieces(stream.chunks(2).map(<[u8]>::to_vec).collect());
    let mut messages = Messages::new(pieces, encoding, 10);
    let mut read = Vec::new();
    while let Some(message) = messages.next().await? {
        read.push(message.to_vec());
    }
    Ok(read)
}

/// A stream that brings its pieces one by one.
struct Pieces(std::collections::VecDeque<Vec<u8>>);

impl tokio::io::AsyncRead for Pieces {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if let Some(piece) = self.0.pop_front() {
            buffer.put_slice(&piece);
        }
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn lines_are_messages() {
    assert_eq!(
        all(b"{}\n{\"a\":1}\n", Encoding::Json).await,
        Ok(vec![b"{}".to_vec(), b"{\"a\":1}".to_vec()])
    );
    assert_eq!(all(b"{}\n\n{}", Encoding::Json).await, Ok(vec![b"{}".to_vec(), vec![], b"{}".to_vec()]));
    assert_eq!(all(b"", Encoding::Json).await, Ok(vec![]));
    assert_eq!(all(b"0123456789\n", Encoding::Json).await, Ok(vec![b"0123456789".to_vec()]));
    assert_eq!(all(b"01234567890\n", Encoding::Json).await, Err(MessageError::TooLong));
    assert_eq!(all(&[b'x'; 100], Encoding::Json).await, Err(MessageError::TooLong));
}

#[tokio::test]
async fn lengths_tell_messages_apart() {
    let two = b"\x02ab\x00\x0a0123456789";
    let messages = vec![b"\x02ab".to_vec(), b"\x00".to_vec(), b"\x0a0123456789".to_vec()];
    assert_eq!(all(two, Encoding::Protobuf).await, Ok(messages));
    assert_eq!(all(b"\x82\x00ab", Encoding::Protobuf).await, Ok(vec![b"\x82\x00ab".to_vec()]));
    assert_eq!(all(b"\x02a", Encoding::Protobuf).await, Err(MessageError::Lost));
    assert_eq!(all(b"\x0b", Encoding::Protobuf).await, Err(MessageError::TooLong));
    let longest = [vec![0xff; 9], vec![0x01]].concat();
    assert_eq!(all(&longest, Encoding::Protobuf).await, Err(MessageError::TooLong));
    assert_eq!(all(&[0xff; 10], Encoding::Protobuf).await, Err(MessageError::Malformed));
}
