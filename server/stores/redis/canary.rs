//! A message of our own, sent again and again on the way publications take. Whether it arrives is the only honest
//! answer to «are messages delivered?»; that connections stand is not.

use super::error::RedisError;
use super::resp::Command;
use super::shard::Shard;
use super::subscriber::{Listener, Subscriber, Subscription};
use super::turns::Slots;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How often the canary is sent.
const EVERY: Duration = Duration::from_secs(1);

/// Without a canary for this long, messages are not delivered.
const BLIND_AFTER: Duration = Duration::from_millis(2500);

/// When canaries are taken by the server for this long and none arrives, the connection listens at the wrong place.
const RENEW_AFTER: Duration = Duration::from_secs(4);

/// A subscriber whose delivery is proved.
pub struct Monitored {
    subscriber: Arc<Subscriber>,
    ear: Arc<Ear>,
    sender: AbortHandle,
}

impl Drop for Monitored {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

/// Keeps canaries from the listener.
struct Ear {
    listener: Arc<dyn Listener>,
    canary: Arc<str>,
    /// Held for one access.
    heard: Mutex<Heard>,
}

#[derive(Clone, Copy, Default)]
struct Heard {
    number: u64,
    at: Option<Instant>,
    /// How long the newest one took.
    lag: Duration,
    /// Number and time of the one sent last.
    sent: Option<(u64, Instant)>,
}

impl Listener for Ear {
    fn message(&self, name: &Arc<str>, payload: Bytes) {
        if !Arc::ptr_eq(name, &self.canary) {
            return self.listener.message(name, payload);
        }
        let Some(number) = std::str::from_utf8(&payload).ok().and_then(|text| text.parse().ok()) else {
            return;
        };
        let now = Instant::now();
        let mut heard = self.heard.lock();
        heard.number = number;
        heard.at = Some(now);
        if let Some((sent, at)) = heard.sent
            && sent == number
        {
            heard.lag = now - at;
        }
    }

    fn gap(&self, name: &Arc<str>) {
        if Arc::ptr_eq(name, &self.canary) {
            self.listener.back();
        } else {
            self.listener.gap(name);
        }
    }
}

impl Monitored {
    /// Starts a subscriber, and canaries in `channel`, which nobody else may use.
    pub fn start(
        shard: Shard,
        subscription: Subscription,
        channel: Bytes,
        listener: Arc<dyn Listener>,
    ) -> Self {
        let ear = Arc::new(Ear { listener, canary: "canary".into(), heard: Mutex::default() });
        let sharded = subscription.slot.is_some();
        let subscriber = Arc::new(Subscriber::start(shard.clone(), subscription, ear.clone()));
        let sender =
            tokio::spawn(send(shard, subscriber.clone(), ear.clone(), channel, sharded)).abort_handle();
        Self { subscriber, ear, sender }
    }

    /// The subscriber.
    pub fn subscriber(&self) -> &Arc<Subscriber> {
        &self.subscriber
    }

    /// Says that messages of the channels of some slots may have been missed, though the connection stood.
    pub fn missed(&self, slots: &Slots) {
        for name in self.subscriber.subscribed(slots) {
            if !Arc::ptr_eq(&name, &self.ear.canary) {
                self.ear.listener.gap(&name);
            }
        }
    }

    /// Whether a message published now would be heard here, as far as the last seconds tell.
    pub fn delivers(&self) -> bool {
        self.ear.heard.lock().at.is_some_and(|at| at.elapsed() < BLIND_AFTER)
    }

    /// How long the newest canary took from its sending to its arrival.
    pub fn lag(&self) -> Duration {
        self.ear.heard.lock().lag
    }
}

async fn send(shard: Shard, subscriber: Arc<Subscriber>, ear: Arc<Ear>, channel: Bytes, sharded: bool) {
    let verb: &[u8] = if sharded { b"SPUBLISH" } else { b"PUBLISH" };
    while subscriber.subscribe(channel.clone(), ear.canary.clone()).await.is_err() {}
    let mut interval = tokio::time::interval(EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first canary of this connection that the server took and that was not heard.
    let mut missing: Option<(u64, Instant)> = None;
    let mut life = 0;
    for number in 1_u64.. {
        interval.tick().await;
        if subscriber.lives() != life {
            life = subscriber.lives();
            missing = None;
        }
        ear.heard.lock().sent = Some((number, Instant::now()));
        let text = number.to_string();
        let command = Command::new([verb, &channel, text.as_bytes()]);
        let taken: Result<_, RedisError> = shard.request(&channel, &command).await;
        let heard = ear.heard.lock().number;
        if missing.is_some_and(|(first, _)| heard >= first) {
            missing = None;
        }
        if taken.is_ok() && heard < number {
            missing.get_or_insert((number, Instant::now()));
        }
        if missing.is_some_and(|(_, since)| since.elapsed() > RENEW_AFTER) {
            missing = None;
            subscriber.renew();
        }
    }
}
