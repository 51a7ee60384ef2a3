//! Copying bytes between a connection of the reactor and a stream that is no socket.

use super::body::{Input, ResponseBody};
use bytes::Bytes;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::{Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, split};

/// Bytes read at a time, onto the stack: a stream that says nothing holds no buffer.
const READ: usize = 16 * 1024;

/// Carries bytes both ways until the connection ends or the stream breaks. Afterwards the stream's side to the
/// peer is shut down.
pub async fn tunnel<S: AsyncRead + AsyncWrite>(stream: S, mut body: ResponseBody, input: Input) {
    let (mut reader, mut writer) = split(stream);
    let reading = async {
        loop {
            match read(&mut reader).await {
                Ok(bytes) if !bytes.is_empty() => {
                    if input.send(bytes).await.is_err() {
                        break;
                    }
                }
                // At the end and after a failure: what waits for the peer is still written if it can be.
                _ => break input.end(),
            }
        }
        pending::<()>().await;
    };
    let writing = async {
        while let Ok(Some(bytes)) = body.next().await {
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
        // The peer may have gone.
        let _ = writer.shutdown().await;
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
}

async fn read<R: AsyncRead + Unpin>(reader: &mut R) -> std::io::Result<Bytes> {
    poll_fn(|context| {
        let mut space = [std::mem::MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *reader).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())))
    })
    .await
}
