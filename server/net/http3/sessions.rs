//! WebTransport sessions of a connection: from the request that asks for one to its streams and its end.
//!
//! A handler finds an [`Upgrade`] in the request, and gets the [`Session`] once its answer is written, as with
//! connections that are upgraded over HTTP/1.1.
//!
//! Source: draft-ietf-webtrans-http3, versions 02 to 07 as browsers speak them; RFC 9297 §3.

use super::streams::{Incoming, Outgoing};
use super::varint;
use bytes::Bytes;
use h3::server::RequestStream;
use http::Request;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

/// Sessions one connection may have at a time.
const LIMIT: usize = 16;
/// Streams of a session that wait to be taken.
const WAITING_STREAMS: usize = 1;
/// Code for streams that no session takes.
const STREAM_REFUSED: quinn::VarInt = quinn::VarInt::from_u32(0x3994_bd84);
/// Capsule that ends a session.
const CLOSE_SESSION: u64 = 0x2843;
/// Bytes of the longest reason in it.
const MAX_REASON: usize = 1024;

/// How long a peer may take to end its side of a session that we ended.
const FAREWELL: Duration = Duration::from_secs(1);

/// The sessions of one connection.
#[derive(Clone)]
pub(super) struct Sessions(Option<Arc<Registry>>);

#[derive(Default)]
struct Registry {
    /// By the stream of the request that opened them.
    open: Mutex<HashMap<u64, mpsc::Sender<Stream>>>,
    ended: Notify,
}

/// One stream of a session, in both directions.
pub struct Stream {
    /// What we send.
    pub send: quinn::SendStream,
    /// What the peer sends.
    pub recv: quinn::RecvStream,
}

impl Sessions {
    /// No sessions yet, or never any.
    pub(super) fn new(are_possible: bool) -> Self {
        Self(are_possible.then(Arc::default))
    }

    pub(super) fn are_possible(&self) -> bool {
        self.0.is_some()
    }

    /// Makes room for a session that the request on stream `id` asks for; none when there are enough.
    pub(super) fn offer(&self, id: u64) -> Option<Offer> {
        let registry = self.0.as_ref()?;
        let mut open = registry.open.lock();
        if open.len() >= LIMIT {
            return None;
        }
        let (sender, streams) = mpsc::channel(WAITING_STREAMS);
        open.insert(id, sender);
        let (slot, session) = oneshot::channel();
        let place = Place { registry: registry.clone(), id };
        Some(Offer { streams, place, slot, upgrade: Upgrade(Arc::new(Mutex::new(Some(session)))) })
    }

    /// Gives a stream to its session, which may have enough.
    pub(super) fn deliver(&self, session: u64, stream: Stream) {
        let sender = self.0.as_ref().and_then(|registry| registry.open.lock().get(&session).cloned());
        let mut refused = match sender.map(|sender| sender.try_send(stream)) {
            Some(Err(error)) => error.into_inner(),
            Some(Ok(())) | None => return,
        };
        // Streams that have ended need no refusal.
        let _ = refused.send.reset(STREAM_REFUSED);
        let _ = refused.recv.stop(STREAM_REFUSED);
    }

    /// Waits until no session is open.
    pub(super) async fn ended(&self) {
        let Some(registry) = &self.0 else { return };
        loop {
            let ended = registry.ended.notified();
            if registry.open.lock().is_empty() {
                return;
            }
            ended.await;
        }
    }
}

/// The place of a session among those of its connection.
struct Place {
    registry: Arc<Registry>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.open.lock().remove(&self.id);
        self.registry.ended.notify_waiters();
    }
}

/// A session that is not agreed to yet.
pub(super) struct Offer {
    streams: mpsc::Receiver<Stream>,
    place: Place,
    slot: oneshot::Sender<Session>,
    upgrade: Upgrade,
}

impl Offer {
    /// What the handler of the request gets.
    pub(super) fn upgrade(&self) -> Upgrade {
        self.upgrade.clone()
    }

    /// Begins the session: the answer is written. Without a handler that wants it, it ends at once.
    pub(super) fn agree(self, send: RequestStream<Outgoing, Bytes>, recv: RequestStream<Incoming, Bytes>) {
        let session = Session { streams: self.streams, send, recv, ended: false, _place: self.place };
        drop(self.slot.send(session));
    }
}

/// Found in requests that ask for a session.
#[derive(Clone, Debug)]
pub struct Upgrade(Arc<Mutex<Option<oneshot::Receiver<Session>>>>);

impl Upgrade {
    /// What `request` asks for, if anything.
    pub fn of<B>(request: &mut Request<B>) -> Option<Self> {
        request.extensions_mut().remove()
    }

    /// Waits until the answer, a successful one, is written; none when there was another, or none.
    pub async fn session(self) -> Option<Session> {
        let session = self.0.lock().take()?;
        session.await.ok()
    }
}

/// A session. Dropping it ends it.
pub struct Session {
    streams: mpsc::Receiver<Stream>,
    send: RequestStream<Outgoing, Bytes>,
    recv: RequestStream<Incoming, Bytes>,
    ended: bool,
    _place: Place,
}

impl Session {
    /// Waits for the next stream that the peer opens; none when the session ends before.
    pub async fn stream(&mut self) -> Option<Stream> {
        let Self { streams, recv, ended, .. } = self;
        tokio::select! {
            biased;
            // Its other end is open as long as the session is.
            Some(stream) = streams.recv() => Some(stream),
            () = until_end(recv, ended) => None,
        }
    }

    /// Waits until the peer ends the session.
    pub async fn ended(&mut self) {
        until_end(&mut self.recv, &mut self.ended).await;
    }

    /// Ends the session with a code and a reason, and waits until the peer knows.
    pub async fn close(mut self, code: u32, reason: &str) {
        if self.ended {
            return;
        }
        // The peer may have gone.
        let _ = self.send.send_data(close_capsule(code, reason)).await;
        let _ = self.send.finish().await;
        // To stop reading would tell the peer that something broke, perhaps before it reads why the session ends.
        let _ = tokio::time::timeout(FAREWELL, self.ended()).await;
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Session")
    }
}

/// Reads what the peer says about the session, of which only its end counts.
async fn until_end(recv: &mut RequestStream<Incoming, Bytes>, ended: &mut bool) {
    while !*ended {
        *ended = !matches!(recv.recv_data().await, Ok(Some(_)));
    }
}

fn close_capsule(code: u32, reason: &str) -> Bytes {
    let fits = (0..=reason.len().min(MAX_REASON)).rev().find(|length| reason.is_char_boundary(*length));
    let reason = &reason[..fits.unwrap_or_default()];
    let mut capsule = Vec::with_capacity(16 + reason.len());
    varint::write(CLOSE_SESSION, &mut capsule);
    varint::write(4 + reason.len() as u64, &mut capsule);
    capsule.extend_from_slice(&code.to_be_bytes());
    capsule.extend_from_slice(reason.as_bytes());
    capsule.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_session_has_code_and_reason() {
        assert_eq!(close_capsule(3001, "shutdown")[..], b"\x68\x43\x0c\0\0\x0b\xb9shutdown"[..]);
        let long = close_capsule(0, &"ü".repeat(1000));
        assert_eq!(long.len(), 2 + 2 + 4 + MAX_REASON);
    }

    #[tokio::test]
    async fn sessions_of_a_connection_are_limited() {
        let sessions = Sessions::new(true);
        let offers: Vec<_> = (0..LIMIT as u64).map_while(|id| sessions.offer(id)).collect();
        assert_eq!(offers.len(), LIMIT);
        assert!(sessions.offer(99).is_none());
        drop(offers);
        sessions.ended().await;
        assert!(sessions.offer(99).is_some());
        assert!(Sessions::new(false).offer(0).is_none());
    }
}
