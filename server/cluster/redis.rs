//! Control messages over Redis, on `<prefix>.control` and `<prefix>.node.<uid>`.

use super::{Controller, ControllerError, Listener, To};
use crate::broker::MaybeReady;
use crate::stores::redis::{self, Command, RedisError, Shard, Subscriber, Subscription};
use bytes::Bytes;
use futures_util::future::try_join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A controller over one or several Redis. Nodes listen on all of them, and send through one for as long as it takes
/// messages, so that they arrive in order.
pub struct RedisController {
    prefix: String,
    shards: Vec<Shard>,
    /// Counts the failures; picks the shard that is used.
    failures: Arc<AtomicUsize>,
    /// Kept for as long as messages are to arrive.
    _subscribers: Vec<Subscriber>,
}

/// Passes on what arrives.
struct Inlet(Arc<dyn Listener>);

impl redis::Listener for Inlet {
    fn message(&self, _: &Arc<str>, payload: Bytes) {
        self.0.heard(&payload);
    }
}

impl RedisController {
    /// Begins to listen for the node `uid`.
    ///
    /// # Errors
    /// `Unreachable` when a Redis does not confirm the subscriptions.
    pub async fn start(
        prefix: &str,
        shards: Vec<Shard>,
        uid: &str,
        listener: Arc<dyn Listener>,
    ) -> Result<Self, RedisError> {
        let inlet = Arc::new(Inlet(listener));
        let subscribers: Vec<Subscriber> = shards
            .iter()
            .map(|shard| {
                let subscription = Subscription { slot: None, role: "control".into() };
                Subscriber::start(shard.clone(), subscription, inlet.clone())
            })
            .collect();
        let names = [format!("{prefix}.control"), format!("{prefix}.node.{uid}")];
        let wishes = subscribers.iter().flat_map(|subscriber| {
            names.iter().map(|name| subscriber.subscribe(name.clone().into(), name.as_str().into()))
        });
        try_join_all(wishes).await?;
        let prefix = prefix.to_owned();
        Ok(Self { prefix, shards, failures: Arc::default(), _subscribers: subscribers })
    }
}

impl Controller for RedisController {
    fn publish(&self, to: To, message: Bytes) -> MaybeReady<Result<(), ControllerError>> {
        let channel = match to {
            To::All => format!("{}.control", self.prefix),
            To::Node(uid) => format!("{}.node.{uid}", self.prefix),
        };
        let failures = self.failures.clone();
        let shard = self.shards[failures.load(Ordering::Relaxed) % self.shards.len()].clone();
        MaybeReady::later(async move {
            let command = Command::new([&b"PUBLISH"[..], channel.as_bytes(), &message]);
            match shard.request(channel.as_bytes(), &command).await {
                Ok(_) => Ok(()),
                Err(error) => {
                    failures.fetch_add(1, Ordering::Relaxed);
                    Err(ControllerError::Unavailable(Box::new(error)))
                }
            }
        })
    }
}
