//! Connections whose bytes go through memory: into the body of an HTTP response that another thread writes, or
//! through a task that copies them.
//!
//! Two ends share a [`Pipe`]. The shard's end behaves like a socket that takes one chunk and then would block
//! until the chunk is fetched, so queue limits and write timeouts hold as they do for sockets. The other end
//! is a [`ResponseBody`] for what the server sends and an [`Input`] for what the peer sends.

use super::connection::Key;
use super::inbox::{Inbox, Message};
use crate::session::Close;
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::sync::{Semaphore, oneshot};

/// Bytes of one chunk, unless a single message is longer.
pub(super) const CHUNK: usize = 64 * 1024;

/// Bytes from a peer that may wait until its session has time for them.
const ROOM: usize = 256 * 1024;
/// What a frame from a peer takes of [`ROOM`] beside its bytes.
const FRAME_COST: usize = 64;

/// What both ends share.
pub(super) struct Pipe {
    inbox: Arc<Inbox>,
    room: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Which connection this is; none until its shard took it.
    key: Option<Key>,
    /// A message about this pipe is in the inbox.
    told: bool,
    /// What the reader of the body gets next.
    chunk: Option<Bytes>,
    /// The shard has more than `chunk` to say.
    blocked: bool,
    reader: Option<Waker>,
    /// Why the server ended the connection.
    close: Option<Close>,
    ended: bool,
    aborted: bool,
    /// Nobody reads the body any more.
    gone: bool,
    frames: VecDeque<InputFrame>,
    input_ended: bool,
    /// Why nothing more can be taken from the peer.
    failed: Option<Close>,
}

struct InputFrame {
    bytes: Bytes,
    taken: Option<oneshot::Sender<()>>,
}

impl InputFrame {
    fn cost(&self) -> usize {
        cost(&self.bytes)
    }
}

fn cost(bytes: &Bytes) -> usize {
    (bytes.len() + FRAME_COST).min(ROOM)
}

/// What a shard finds at its end.
pub(super) enum Found {
    /// The peer sent this.
    Frame(Bytes, Option<Taken>),
    /// Nothing for now.
    Nothing,
    /// The peer will send nothing more.
    End,
    /// What the peer sends cannot be taken; the connection ends with this.
    Failed(Close),
    /// Nobody reads what is sent any more.
    Gone,
}

/// Dropped when the frame was handled; whoever sent it learns that.
#[derive(Debug)]
pub(super) struct Taken(#[expect(dead_code, reason = "dropping it is what counts")] oneshot::Sender<()>);

/// Makes the two ends of a connection.
pub(super) fn pipe(inbox: Arc<Inbox>) -> (Arc<Pipe>, ResponseBody, Input) {
    let pipe = Arc::new(Pipe { inbox, room: Semaphore::new(ROOM), state: Mutex::default() });
    let body = ResponseBody { pipe: pipe.clone(), trailers: None };
    let input = Input { pipe: pipe.clone() };
    (pipe, body, input)
}

/// The shard's end.
impl Pipe {
    /// Another way in for what the peer sends.
    pub(super) fn input(self: &Arc<Self>) -> Input {
        Input { pipe: self.clone() }
    }

    pub(super) fn adopt(&self, key: Key) {
        self.state.lock().key = Some(key);
    }

    /// Notes that the shard looks at this pipe now; later changes are told again.
    pub(super) fn attend(&self) {
        self.state.lock().told = false;
    }

    pub(super) fn is_gone(&self) -> bool {
        self.state.lock().gone
    }

    /// Whether a chunk can be offered. If not, the shard is told when it can.
    pub(super) fn is_free(&self) -> bool {
        let mut state = self.state.lock();
        state.blocked = state.chunk.is_some();
        !state.blocked
    }

    /// Offers a chunk, when [`Pipe::is_free`]; `more` when another follows.
    pub(super) fn offer(&self, chunk: Bytes, more: bool) {
        let mut state = self.state.lock();
        state.chunk = Some(chunk);
        state.blocked = more;
        wake(state);
    }

    /// Takes what the peer sent.
    pub(super) fn take(&self) -> Found {
        let mut state = self.state.lock();
        if state.gone {
            return Found::Gone;
        }
        let Some(frame) = state.frames.pop_front() else {
            return match state.failed.take() {
                Some(close) => Found::Failed(close),
                None if state.input_ended => Found::End,
                None => Found::Nothing,
            };
        };
        // A busy connection is rare, so is a long queue.
        if state.frames.is_empty() {
            state.frames = VecDeque::new();
        }
        drop(state);
        self.room.add_permits(frame.cost());
        Found::Frame(frame.bytes, frame.taken.map(Taken))
    }

    /// Says why the connection ends, for a body that tells it in its trailers.
    pub(super) fn set_close(&self, close: Close) {
        self.state.lock().close = Some(close);
    }

    /// Nothing follows; a chunk that was offered is still read.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        state.frames = VecDeque::new();
        wake(state);
        self.room.close();
    }

    /// Breaks the connection off without telling the peer that it is complete.
    pub(super) fn abort(&self) {
        let mut state = self.state.lock();
        state.aborted = true;
        state.chunk = None;
        wake(state);
        self.room.close();
    }

    /// Has the shard look at this pipe.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let Some(key) = state.key.filter(|_| !state.told) else { return };
        state.told = true;
        drop(state);
        self.inbox.push(Message::Stirred(key));
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let reader = state.reader.take();
    drop(state);
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// A connection was broken off before everything was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("connection was broken off")]
pub struct BrokenOff;

/// The connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("connection has ended")]
pub struct Ended;

/// Makes the trailers of a body from why the server ended the connection; none when it just ended.
pub type Trailers = fn(Option<&Close>) -> Option<HeaderMap>;

/// What the server sends to one peer. Dropping it ends the connection.
pub struct ResponseBody {
    pipe: Arc<Pipe>,
    trailers: Option<Trailers>,
}

impl ResponseBody {
    /// Has the body end with trailers.
    #[must_use]
    pub fn with_trailers(mut self, trailers: Trailers) -> Self {
        self.trailers = Some(trailers);
        self
    }

    /// Waits for the next bytes; none at the end of the connection.
    ///
    /// # Errors
    /// [`BrokenOff`] when the end is not a proper one.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BrokenOff> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Why the server ended the connection, once it has; none when the peer ended it.
    pub fn close(&self) -> Option<Close> {
        self.pipe.state.lock().close.clone()
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BrokenOff>> {
        let mut state = self.pipe.state.lock();
        if state.aborted {
            return Poll::Ready(Err(BrokenOff));
        }
        if let Some(chunk) = state.chunk.take() {
            if state.blocked {
                state.blocked = false;
                self.pipe.tell(state);
            }
            return Poll::Ready(Ok(Some(chunk)));
        }
        if state.ended {
            return Poll::Ready(Ok(None));
        }
        if !state.reader.as_ref().is_some_and(|reader| reader.will_wake(context.waker())) {
            state.reader = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = self.get_mut();
        match this.poll_next(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Some(chunk))) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            Poll::Ready(Ok(None)) => {
                let trailers = this.trailers.take().and_then(|make| make(this.close().as_ref()));
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let mut state = self.pipe.state.lock();
        state.gone = true;
        state.chunk = None;
        state.frames = VecDeque::new();
        if !state.ended && !state.aborted {
            self.pipe.tell(state);
        }
        self.pipe.room.close();
    }
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ResponseBody")
    }
}

/// Where what one peer sends goes in.
///
/// Dropping it says nothing: a connection whose peer sends no more and still reads goes on.
#[derive(Clone)]
pub struct Input {
    pipe: Arc<Pipe>,
}

impl Input {
    /// Hands over bytes, waiting for room while the session is busy with earlier ones.
    ///
    /// With [`crate::transport::framing::Framing::WebSocket`] these are bytes of the stream, cut anywhere. With
    /// gRPC each call is the message of one command, otherwise whole commands of a frame.
    ///
    /// # Errors
    /// [`Ended`] when nobody takes them any more.
    pub async fn send(&self, bytes: Bytes) -> Result<(), Ended> {
        self.put(bytes, None).await
    }

    /// As [`Input::send`], and waits until the commands were handled.
    ///
    /// # Errors
    /// [`Ended`] when nobody takes them any more.
    pub async fn send_and_wait(&self, bytes: Bytes) -> Result<(), Ended> {
        let (taken, handled) = oneshot::channel();
        self.put(bytes, Some(taken)).await?;
        // The sender is dropped, not used, when the frame was handled or nobody will.
        let _ = handled.await;
        Ok(())
    }

    async fn put(&self, bytes: Bytes, taken: Option<oneshot::Sender<()>>) -> Result<(), Ended> {
        let permits = self.pipe.room.acquire_many(cost(&bytes) as u32).await.map_err(|_| Ended)?;
        permits.forget();
        let mut state = self.pipe.state.lock();
        if state.gone || state.ended || state.aborted {
            return Err(Ended);
        }
        state.frames.push_back(InputFrame { bytes, taken });
        self.pipe.tell(state);
        Ok(())
    }

    /// Ends the connection with `close` once everything before was handled: what the peer sends cannot be taken.
    pub fn fail(&self, close: Close) {
        let mut state = self.pipe.state.lock();
        state.failed = Some(close);
        self.pipe.tell(state);
    }

    /// Says that the peer will send nothing more, which ends the connection once everything was handled.
    pub fn end(&self) {
        let mut state = self.pipe.state.lock();
        state.input_ended = true;
        self.pipe.tell(state);
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Input")
    }
}
