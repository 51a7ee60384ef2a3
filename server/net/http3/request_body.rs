//! What a peer sends in a request over HTTP/3.

use super::streams::Incoming;
use bytes::{Buf, Bytes};
use h3::error::{Code, StreamError};
use h3::server::RequestStream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The body of a request over HTTP/3.
pub struct QuicBody {
    stream: RequestStream<Incoming, Bytes>,
    /// Bytes to come at least, as the request says.
    promised: u64,
    ended: bool,
}

impl QuicBody {
    pub(super) fn new(stream: RequestStream<Incoming, Bytes>, headers: &HeaderMap) -> Self {
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Self { stream, promised: length.unwrap_or_default(), ended: false }
    }
}

impl http_body::Body for QuicBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let data = ready!(this.stream.poll_recv_data(context));
        this.ended = !matches!(data, Ok(Some(_)));
        // Trailers are left unread: nothing here expects any.
        Poll::Ready(data.transpose().map(|data| {
            let mut data = data?;
            let bytes = data.copy_to_bytes(data.remaining());
            this.promised = this.promised.saturating_sub(bytes.len() as u64);
            Ok(Frame::data(bytes))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.promised);
        hint
    }
}

impl Drop for QuicBody {
    fn drop(&mut self) {
        if !self.ended {
            self.stream.stop_sending(Code::H3_NO_ERROR);
        }
    }
}

impl std::fmt::Debug for QuicBody {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("QuicBody")
    }
}
