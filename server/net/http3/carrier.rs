//! Between quinn, which carries streams, and h3, which makes HTTP requests of them.
//!
//! h3 knows streams by its traits only, and this is one way to fulfil them. Streams that belong to a WebTransport
//! session are told apart here, by their first bytes, and never reach h3.
//!
//! Source: RFC 9114 §6; draft-ietf-webtrans-http3 §4.

use super::frames::Frames;
use super::sessions::{Sessions, Stream as SessionStream};
use super::streams::{Duplex, Incoming, Outgoing, connection_error, lost};
use super::varint;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered, unfold};
use futures_util::{FutureExt, StreamExt};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming};
use parking_lot::Mutex;
use quinn::{ConnectionError, VarInt};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How long a peer may take until it says what a stream is for.
const KIND_TIMEOUT: Duration = Duration::from_secs(10);
/// First bytes of a stream of a session in both directions, and of one that goes one way.
const SESSION_STREAM: u64 = 0x41;
const SESSION_UNI_STREAM: u64 = 0x54;
/// Type of the control stream, whose first frame holds our settings.
const CONTROL_STREAM: u64 = 0;

/// Done when the peer reads no more of a response: true when it has all of it.
pub(super) type Read = BoxFuture<'static, bool>;

/// Answers whether a response is read, by its stream, in the order of requests.
#[derive(Clone, Default)]
pub(super) struct Readers(Arc<Mutex<VecDeque<(u64, Read)>>>);

impl Readers {
    /// Of the request on the stream `id`. Those before it were refused.
    pub(super) fn of(&self, id: u64) -> Option<Read> {
        let mut readers = self.0.lock();
        while let Some((own, read)) = readers.pop_front() {
            if own == id {
                return Some(read);
            }
        }
        None
    }
}

/// A QUIC connection as h3 wants it.
pub(super) struct Carrier {
    quic: quinn::Connection,
    sessions: Sessions,
    readers: Readers,
    /// What is written on the control stream instead of what h3 says; none once it was.
    settings: Option<Bytes>,
    requests: BoxStream<'static, Result<(quinn::SendStream, quinn::RecvStream), ConnectionError>>,
    sorted_requests: FuturesUnordered<BoxFuture<'static, Option<Duplex>>>,
    others: BoxStream<'static, Result<quinn::RecvStream, ConnectionError>>,
    sorted_others: FuturesUnordered<BoxFuture<'static, Option<Incoming>>>,
    opening: Option<BoxFuture<'static, Result<quinn::SendStream, ConnectionError>>>,
}

impl Carrier {
    /// Carries the streams of `quic`; those of sessions go to `sessions`. `settings` is what our control stream
    /// begins with.
    pub(super) fn new(
        quic: quinn::Connection,
        settings: Bytes,
        sessions: Sessions,
        readers: Readers,
    ) -> Self {
        let requests = unfold(quic.clone(), |quic| async { Some((quic.accept_bi().await, quic)) }).boxed();
        let others = unfold(quic.clone(), |quic| async { Some((quic.accept_uni().await, quic)) }).boxed();
        Self {
            quic,
            sessions,
            readers,
            settings: Some(settings),
            requests,
            sorted_requests: FuturesUnordered::new(),
            others,
            sorted_others: FuturesUnordered::new(),
            opening: None,
        }
    }
}

impl quic::Connection<Bytes> for Carrier {
    type RecvStream = Incoming;
    type OpenStreams = Opener;

    fn poll_accept_recv(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Incoming, ConnectionErrorIncoming>> {
        loop {
            let arrived = self.others.poll_next_unpin(context);
            if let Poll::Ready(Some(stream)) = arrived {
                let stream = stream.map_err(connection_error)?;
                self.sorted_others.push(sort_other(stream, self.quic.clone()).boxed());
                continue;
            }
            match self.sorted_others.poll_next_unpin(context) {
                Poll::Ready(Some(Some(stream))) => return Poll::Ready(Ok(stream)),
                Poll::Ready(Some(None)) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_accept_bidi(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Duplex, ConnectionErrorIncoming>> {
        loop {
            let arrived = self.requests.poll_next_unpin(context);
            if let Poll::Ready(Some(streams)) = arrived {
                let streams = streams.map_err(connection_error)?;
                let sorted = sort_request(streams, self.quic.clone(), self.sessions.clone());
                self.sorted_requests.push(sorted.boxed());
                continue;
            }
            match self.sorted_requests.poll_next_unpin(context) {
                Poll::Ready(Some(Some(stream))) => {
                    let (id, read) = (stream.outgoing.id(), read_by_peer(&stream.outgoing.stream));
                    self.readers.0.lock().push_back((id, read));
                    return Poll::Ready(Ok(stream));
                }
                Poll::Ready(Some(None)) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn opener(&self) -> Opener {
        Opener(self.quic.clone())
    }
}

impl quic::OpenStreams<Bytes> for Carrier {
    type BidiStream = Duplex;
    type SendStream = Outgoing;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Duplex, StreamErrorIncoming>> {
        Poll::Ready(Err(no_requests()))
    }

    fn poll_open_send(&mut self, context: &mut Context<'_>) -> Poll<Result<Outgoing, StreamErrorIncoming>> {
        let quic = &self.quic;
        let opening = self.opening.get_or_insert_with(|| {
            let quic = quic.clone();
            async move { quic.open_uni().await }.boxed()
        });
        let opened = ready!(opening.poll_unpin(context));
        self.opening = None;
        let stream = opened.map_err(lost)?;
        // The control stream is opened before all others.
        Poll::Ready(Ok(Outgoing { stream, instead: self.settings.take(), writing: None }))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        close(&self.quic, code.value(), reason);
    }
}

/// h3 wants one, and does not use it: only clients open requests.
pub(super) struct Opener(quinn::Connection);

impl quic::OpenStreams<Bytes> for Opener {
    type BidiStream = Duplex;
    type SendStream = Outgoing;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Duplex, StreamErrorIncoming>> {
        Poll::Ready(Err(no_requests()))
    }

    fn poll_open_send(&mut self, _: &mut Context<'_>) -> Poll<Result<Outgoing, StreamErrorIncoming>> {
        Poll::Ready(Err(no_requests()))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        close(&self.0, code.value(), reason);
    }
}

fn no_requests() -> StreamErrorIncoming {
    let connection_error = ConnectionErrorIncoming::InternalError("servers open no requests".into());
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error }
}

/// Ends a connection with a code of HTTP/3.
pub(super) fn close(quic: &quinn::Connection, code: u64, reason: &[u8]) {
    quic.close(VarInt::from_u64(code).unwrap_or(VarInt::MAX), reason);
}

/// Done when the peer has read the stream or gave up.
fn read_by_peer(stream: &quinn::SendStream) -> Read {
    let stopped = stream.stopped();
    async move { matches!(stopped.await, Ok(None)) }.boxed()
}

/// Finds out what a stream in both directions is for; none when it is no request.
async fn sort_request(
    (send, mut recv): (quinn::SendStream, quinn::RecvStream),
    quic: quinn::Connection,
    sessions: Sessions,
) -> Option<Duplex> {
    let sorting = async {
        let (kind, read) = read_varint(&mut recv).await?;
        if kind != SESSION_STREAM || !sessions.are_possible() {
            return Some((None, read));
        }
        let (session, read) = read_varint(&mut recv).await?;
        Some((Some(session), read))
    };
    let (session, read) = tokio::time::timeout(KIND_TIMEOUT, sorting).await.ok().flatten()?;
    match session {
        None => {
            let outgoing = Outgoing { stream: send, instead: None, writing: None };
            let mut frames = Frames::default();
            // One integer is shorter than any limit.
            let _ = frames.pass(&read);
            Some(Duplex {
                outgoing,
                incoming: Incoming { stream: recv, quic, early: Some(read), frames: Some(frames) },
            })
        }
        Some(session) => {
            sessions.deliver(session, SessionStream { send, recv });
            None
        }
    }
}

/// As [`sort_request`], for streams that only the peer writes.
async fn sort_other(mut recv: quinn::RecvStream, quic: quinn::Connection) -> Option<Incoming> {
    let sorted = tokio::time::timeout(KIND_TIMEOUT, read_varint(&mut recv)).await;
    let (kind, read) = sorted.ok().flatten()?;
    // Nothing is read from sessions this way: dropped, the stream is stopped.
    if kind == SESSION_UNI_STREAM {
        return None;
    }
    let frames = (kind == CONTROL_STREAM).then(Frames::default);
    Some(Incoming { stream: recv, quic, early: Some(read), frames })
}

/// Reads one integer, and answers it with its bytes; none when the stream ends before.
async fn read_varint(recv: &mut quinn::RecvStream) -> Option<(u64, Bytes)> {
    let mut bytes = [0; varint::MAX];
    recv.read_exact(&mut bytes[..1]).await.ok()?;
    let length = varint::length(bytes[0]);
    recv.read_exact(&mut bytes[1..length]).await.ok()?;
    let (value, _) = varint::read(&bytes[..length])?;
    Some((value, Bytes::copy_from_slice(&bytes[..length])))
}
