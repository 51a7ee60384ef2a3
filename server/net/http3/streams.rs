//! Streams of QUIC as h3 wants them.
//!
//! Source: RFC 9114 §6.

use super::carrier::close;
use super::frames::Frames;
use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::{ConnectionError, ReadError, VarInt, WriteError};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;

/// Bytes read at a time.
const READ: usize = 16 * 1024;

/// A stream of a request.
pub(super) struct Duplex {
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Incoming,
}

impl quic::BidiStream<Bytes> for Duplex {
    type SendStream = Outgoing;
    type RecvStream = Incoming;

    fn split(self) -> (Outgoing, Incoming) {
        (self.outgoing, self.incoming)
    }
}

impl quic::RecvStream for Duplex {
    type Buf = Bytes;

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.incoming.poll_data(context)
    }

    fn stop_sending(&mut self, code: u64) {
        self.incoming.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.incoming.recv_id()
    }
}

impl quic::SendStream<Bytes> for Duplex {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.outgoing.poll_ready(context)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.outgoing.send_data(data)
    }

    fn poll_finish(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.outgoing.poll_finish(context)
    }

    fn reset(&mut self, code: u64) {
        self.outgoing.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.outgoing.send_id()
    }
}

/// What a peer sends on a stream.
pub(super) struct Incoming {
    pub(super) stream: quinn::RecvStream,
    pub(super) quic: quinn::Connection,
    /// What was read to find out what the stream is for.
    pub(super) early: Option<Bytes>,
    /// Watches streams that are made of frames.
    pub(super) frames: Option<Frames>,
}

impl quic::RecvStream for Incoming {
    type Buf = Bytes;

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        if let Some(early) = self.early.take() {
            return Poll::Ready(Ok(Some(early)));
        }
        let mut space = [MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(self.stream.poll_read_buf(context, &mut buffer)).map_err(read_error)?;
        let bytes = buffer.filled();
        if let Some(frames) = &mut self.frames
            && let Err(error) = frames.pass(bytes)
        {
            close(&self.quic, Code::H3_EXCESSIVE_LOAD.value(), b"frame is too long");
            return Poll::Ready(Err(StreamErrorIncoming::Unknown(error.into())));
        }
        Poll::Ready(Ok((!bytes.is_empty()).then(|| Bytes::copy_from_slice(bytes))))
    }

    fn stop_sending(&mut self, code: u64) {
        // A stream that has ended needs no stopping.
        let _ = self.stream.stop(VarInt::from_u64(code).unwrap_or(VarInt::MAX));
    }

    fn recv_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

/// What we send on a stream.
pub(super) struct Outgoing {
    pub(super) stream: quinn::SendStream,
    /// Sent instead of what h3 says first.
    pub(super) instead: Option<Bytes>,
    pub(super) writing: Option<Writing>,
}

pub(super) enum Writing {
    Frame(WriteBuf<Bytes>),
    Ours(Bytes),
}

impl Outgoing {
    pub(super) fn id(&self) -> u64 {
        self.stream.id().into()
    }
}

impl quic::SendStream<Bytes> for Outgoing {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        let Self { stream, writing, .. } = self;
        let buffer: &mut dyn Buf = match writing {
            None => return Poll::Ready(Ok(())),
            Some(Writing::Frame(frame)) => frame,
            Some(Writing::Ours(bytes)) => bytes,
        };
        while buffer.has_remaining() {
            let written = ready!(Pin::new(&mut *stream).poll_write(context, buffer.chunk()));
            buffer.advance(written.map_err(write_error)?);
        }
        *writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        let data = data.into();
        self.writing = Some(match self.instead.take() {
            Some(bytes) => Writing::Ours(bytes),
            None => Writing::Frame(data),
        });
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        Poll::Ready(self.stream.finish().map_err(|error| StreamErrorIncoming::Unknown(error.into())))
    }

    fn reset(&mut self, code: u64) {
        // A stream that has ended needs no reset.
        let _ = self.stream.reset(VarInt::from_u64(code).unwrap_or(VarInt::MAX));
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

/// Both number streams in the same way.
fn stream_id(id: quinn::StreamId) -> StreamId {
    StreamId::try_from(u64::from(id)).unwrap_or_else(|_| unreachable!("QUIC has no larger ids"))
}

pub(super) fn connection_error(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into_inner() }
        }
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        error => ConnectionErrorIncoming::Undefined(Arc::new(error)),
    }
}

pub(super) fn lost(error: ConnectionError) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error: connection_error(error) }
}

fn read_error(error: ReadError) -> StreamErrorIncoming {
    match error {
        ReadError::Reset(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() },
        ReadError::ConnectionLost(error) => lost(error),
        error => StreamErrorIncoming::Unknown(error.into()),
    }
}

fn write_error(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() },
        WriteError::ConnectionLost(error) => lost(error),
        error => StreamErrorIncoming::Unknown(error.into()),
    }
}
