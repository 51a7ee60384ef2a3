//! A connection that only listens. It remembers what is wanted, subscribes to all of it again whenever it had to
//! connect anew, and says for which channels something may have been missed.

use super::error::RedisError;
use super::place::slot_of;
use super::resp::{Command, Decoder, Value};
use super::route::Backoff;
use super::shard::Shard;
use super::socket::{Purpose, READ_SIZE, Socket, Transport};
use super::turns::Slots;
use super::wanted::{Confirmed, Wanted};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

/// Time a channel stays subscribed after nobody wants it: clients that come back soon find it still there.
const LINGER: Duration = Duration::from_secs(1);

/// How often time is looked at.
const TICK: Duration = Duration::from_millis(250);

/// Who hears what arrives. Called on the task of the connection, so it must return at once.
pub trait Listener: Send + Sync + 'static {
    /// A message arrived in a channel that is wanted.
    ///
    /// Order: messages of one channel come in the order in which the server took them.
    fn message(&self, name: &Arc<str>, payload: Bytes);
    /// Messages of this channel may have been missed; from now on they arrive again.
    fn gap(&self, name: &Arc<str>) {
        let _ = name;
    }
    /// The connection is made anew after a loss.
    fn back(&self) {}
}

/// What a subscriber is for.
pub struct Subscription {
    /// Slot whose node must be listened to with sharded publish/subscribe; none listens to all channels.
    pub slot: Option<u16>,
    /// Word for logs.
    pub role: Arc<str>,
}

/// A listening connection that heals.
pub struct Subscriber {
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

struct Shared {
    shard: Shard,
    subscription: Subscription,
    listener: Arc<dyn Listener>,
    /// Held for changing what is wanted, or for finding the name of a message; never while the listener hears.
    wanted: Mutex<Wanted>,
    /// Tells the writer that there is something to write.
    wake: Notify,
    /// Tells the connection to end.
    renew: Notify,
    /// Counts connections.
    lives: AtomicU64,
}

impl Subscriber {
    /// Starts to connect.
    pub fn start(shard: Shard, subscription: Subscription, listener: Arc<dyn Listener>) -> Self {
        let wanted = Mutex::new(Wanted::new(subscription.slot.is_some()));
        let shared = Arc::new(Shared {
            shard,
            subscription,
            listener,
            wanted,
            wake: Notify::new(),
            renew: Notify::new(),
            lives: AtomicU64::new(0),
        });
        let keeper = tokio::spawn(keep(shared.clone())).abort_handle();
        Self { shared, keeper }
    }

    /// Wants `channel`, which listeners know as `name`. Ready when the server has confirmed it; wanting what is
    /// subscribed is ready at once. The wish stands from the first poll on.
    ///
    /// # Errors
    /// `Unreachable` when there was no connection within the shard's patience, or one that did not confirm it within the
    /// I/O timeout; then it is not wanted any more, unless somebody else wants it too.
    pub async fn subscribe(&self, channel: Bytes, name: Arc<str>) -> Result<(), RedisError> {
        let shared = &self.shared;
        let (sender, mut confirmed) = oneshot::channel();
        if shared.wanted.lock().want(channel.clone(), name, sender) {
            return Ok(());
        }
        shared.wake.notify_one();
        if let Ok(Ok(())) = timeout(shared.shard.patience(), &mut confirmed).await {
            return Ok(());
        }
        // A node to which thousands of clients return is slow itself; refused, they would only come again.
        let connected = shared.wanted.lock().is_connected();
        if connected && let Ok(Ok(())) = timeout(shared.shard.dial().io_timeout, confirmed).await {
            return Ok(());
        }
        shared.wanted.lock().give_up(&channel, Instant::now() + LINGER);
        Err(RedisError::unreachable(shared.shard.name(), "no subscription in time"))
    }

    /// Does not want `channel` any more. It stays subscribed a little longer.
    pub fn unsubscribe(&self, channel: &Bytes) {
        self.shared.wanted.lock().drop_later(channel, Instant::now() + LINGER);
    }

    /// Ends the connection that stands, and makes another: what was published did not arrive.
    pub fn renew(&self) {
        self.shared.renew.notify_one();
    }

    /// Names of channels of some slots that the server has confirmed.
    pub(super) fn subscribed(&self, slots: &Slots) -> Vec<Arc<str>> {
        self.shared.wanted.lock().confirmed(|channel| slots.has(slot_of(channel)))
    }

    /// Counts connections so far; zero until the first stands.
    pub fn lives(&self) -> u64 {
        self.shared.lives.load(Ordering::Relaxed)
    }

    /// Channels that are wanted or still linger.
    pub fn channel_count(&self) -> usize {
        self.shared.wanted.lock().len()
    }
}

impl Shared {
    fn confirmed(&self, confirmed: Confirmed) {
        if let Confirmed::AfterLoss(name) = confirmed {
            self.listener.gap(&name);
        }
    }
}

async fn keep(shared: Arc<Shared>) {
    let (mut route, purpose) = shared.shard.subscriptions(shared.subscription.slot);
    let dial = shared.shard.dial().clone();
    let (name, role) = (shared.shard.name().clone(), shared.subscription.role.clone());
    let mut backoff = Backoff::default();
    let mut troubled = false;
    for attempt in 0.. {
        let error = match route.now(attempt) {
            None => RedisError::unreachable(&name, "nobody knows where it is"),
            Some(address) => match Socket::open(&address, &dial, purpose).await {
                Ok(socket)
                    if purpose == Purpose::Data && shared.wants_primary() && !socket.greeting.primary =>
                {
                    RedisError::unreachable(address.as_str(), "it is no primary yet")
                }
                Ok(socket) => {
                    let began = Instant::now();
                    shared.lives.fetch_add(1, Ordering::Relaxed);
                    if troubled {
                        tracing::info!(redis = &*name, role = &*role, "redis subscriptions are back");
                        troubled = false;
                    }
                    let error = tokio::select! {
                        error = listen(&shared, socket, dial.io_timeout) => error,
                        () = route.left(&address) => RedisError::lost(address.as_str(), "it is elsewhere now"),
                        () = shared.renew.notified() => RedisError::lost(address.as_str(), "nothing arrived"),
                    };
                    shared.wanted.lock().lose();
                    if began.elapsed() > TICK * 4 {
                        backoff.reset();
                    }
                    error
                }
                Err(error) => error,
            },
        };
        if !troubled {
            tracing::warn!(redis = &*name, role = &*role, %error, "redis subscriptions are down");
            troubled = true;
        }
        shared.shard.doubt();
        tokio::time::sleep(backoff.next()).await;
    }
}

impl Shared {
    /// Sentinels may still name a server that was demoted.
    fn wants_primary(&self) -> bool {
        self.shard.mode() == "sentinel"
    }
}

async fn listen(shared: &Shared, socket: Socket, io_timeout: Duration) -> RedisError {
    let Socket { stream, buffer, decoder, address, .. } = socket;
    let place = address.as_str();
    shared.wanted.lock().connect();
    let (read, write) = tokio::io::split(stream);
    let heard = AtomicU64::new(0);
    tokio::select! {
        error = write_all(shared, write, place) => error,
        error = read_all(shared, read, buffer, decoder, &heard, place) => error,
        error = watch(shared, io_timeout, &heard, place) => error,
    }
}

async fn write_all(shared: &Shared, mut write: WriteHalf<Box<dyn Transport>>, place: &str) -> RedisError {
    loop {
        // Many wishes made at once become few commands.
        tokio::task::yield_now().await;
        let batch = shared.wanted.lock().take_commands();
        if batch.is_empty() {
            shared.wake.notified().await;
            continue;
        }
        let written = async {
            write.write_all(&batch).await?;
            write.flush().await
        };
        if let Err(error) = written.await {
            return RedisError::lost(place, error);
        }
    }
}

async fn read_all(
    shared: &Shared,
    mut read: ReadHalf<Box<dyn Transport>>,
    mut buffer: BytesMut,
    mut decoder: Decoder,
    heard: &AtomicU64,
    place: &str,
) -> RedisError {
    loop {
        loop {
            match decoder.next(&mut buffer) {
                Ok(Some(value)) => {
                    if let Err(error) = hear(shared, value, place) {
                        return error;
                    }
                }
                Ok(None) => break,
                Err(error) => return RedisError::lost(place, error),
            }
        }
        buffer.reserve(READ_SIZE);
        match read.read_buf(&mut buffer).await {
            Ok(0) => return RedisError::lost(place, "closed by the server"),
            Ok(_) => {
                heard.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => return RedisError::lost(place, error),
        }
    }
}

fn hear(shared: &Shared, value: Value, place: &str) -> Result<(), RedisError> {
    let parts = match value {
        Value::List(parts) | Value::Push(parts) => parts,
        Value::Error(text) => return Err(RedisError::lost(place, String::from_utf8_lossy(&text))),
        _ => return Ok(()),
    };
    let mut parts = parts.into_iter();
    let (Some(Value::Text(kind)), Some(Value::Text(channel)), last) =
        (parts.next(), parts.next(), parts.next())
    else {
        return Ok(());
    };
    match (&kind[..], last) {
        (b"message" | b"smessage", Some(Value::Text(payload))) => {
            let name = shared.wanted.lock().name(&channel);
            if let Some(name) = name {
                shared.listener.message(&name, payload);
            }
        }
        (b"subscribe" | b"ssubscribe", _) => {
            let confirmed = shared.wanted.lock().subscribed(&channel);
            shared.confirmed(confirmed);
        }
        (b"unsubscribe" | b"sunsubscribe", _) if !shared.wanted.lock().unsubscribed(&channel) => {
            return Err(RedisError::lost(place, "the server ended a subscription"));
        }
        _ => {}
    }
    Ok(())
}

/// Ends lingering subscriptions, and notices a server that says nothing.
async fn watch(shared: &Shared, io_timeout: Duration, heard: &AtomicU64, place: &str) -> RedisError {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let ping = Command::new([&b"PING"[..]]);
    let (mut before, mut silent_since) = (0, Instant::now());
    let mut asked = false;
    loop {
        interval.tick().await;
        let now = Instant::now();
        if heard.load(Ordering::Relaxed) != before {
            before = heard.load(Ordering::Relaxed);
            (silent_since, asked) = (now, false);
        }
        let silence = now - silent_since;
        if silence > io_timeout {
            return RedisError::lost(place, format!("nothing heard within {io_timeout:?}"));
        }
        let mut wanted = shared.wanted.lock();
        wanted.expire(now);
        if silence > io_timeout / 4 && !asked {
            asked = true;
            wanted.say(&ping);
        }
        let speak = wanted.has_commands();
        drop(wanted);
        if speak {
            shared.wake.notify_one();
        }
    }
}
