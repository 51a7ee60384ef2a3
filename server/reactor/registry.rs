//! Which shards have subscribers of a channel, and how far the broker is with delivering it to this node.
//!
//! Subscribing at the broker takes time, and whoever joins meanwhile must wait for it: publications would be
//! missed between. Subscribing and unsubscribing of one channel never overlap; what is wanted in the end decides.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::hash::BuildHasher;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Most shards of one node; a channel's shards are the bits of one word.
pub(super) const MAX_SHARDS: usize = 64;

const STRIPES: usize = 64;

/// Subscribers of one channel, by shard.
struct Holders {
    counts: Box<[u32]>,
    shards: u64,
    delivery: Delivery,
}

/// Those who wait to hear whether the channel is delivered; mostly nobody.
type Waiting = Vec<oneshot::Sender<bool>>;

/// What the broker was asked for last, and whether it has answered.
enum Delivery {
    /// Nothing, or without success.
    Off,
    /// To deliver.
    Starting(Waiting),
    On,
    /// To stop.
    Stopping(Waiting),
}

/// What a new subscriber has to do before it reads history.
pub(super) enum Entered {
    /// Nothing: the channel is delivered.
    Ready,
    /// Subscribe at the broker, and tell [`Registry::subscribed`].
    Subscribe,
    /// Wait until somebody else has done that; what comes says whether the channel is delivered.
    Wait(oneshot::Receiver<bool>),
}

/// What has to be asked of the broker next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    /// Then tell [`Registry::subscribed`].
    Subscribe,
    /// Then tell [`Registry::unsubscribed`].
    Unsubscribe,
}

/// Part of the channels.
type Stripe = RwLock<HashMap<Arc<str>, Holders, RandomState>>;

/// Channels with subscribers on this node. Striped, because publishers of all threads read it.
pub(super) struct Registry {
    shards: usize,
    hasher: RandomState,
    stripes: Box<[Stripe]>,
}

impl Registry {
    pub(super) fn new(shards: usize) -> Self {
        let stripes = (0..STRIPES).map(|_| RwLock::default()).collect();
        Self { shards, hasher: RandomState::default(), stripes }
    }

    fn stripe(&self, channel: &str) -> &Stripe {
        &self.stripes[self.hasher.hash_one(channel) as usize % STRIPES]
    }

    /// Counts a subscriber.
    pub(super) fn enter(&self, channel: &Arc<str>, shard: usize) -> Entered {
        let mut stripe = self.stripe(channel).write();
        let holders = stripe.entry(channel.clone()).or_insert_with(|| Holders {
            counts: vec![0; self.shards].into_boxed_slice(),
            shards: 0,
            delivery: Delivery::Off,
        });
        holders.counts[shard] += 1;
        holders.shards |= 1 << shard;
        match &mut holders.delivery {
            Delivery::On => Entered::Ready,
            Delivery::Off => {
                holders.delivery = Delivery::Starting(Vec::new());
                Entered::Subscribe
            }
            Delivery::Starting(waiting) | Delivery::Stopping(waiting) => {
                let (sender, receiver) = oneshot::channel();
                waiting.push(sender);
                Entered::Wait(receiver)
            }
        }
    }

    /// Uncounts a subscriber; after the last one of this node the broker need not deliver any more.
    pub(super) fn leave(&self, channel: &str, shard: usize) -> Next {
        let mut stripe = self.stripe(channel).write();
        let Some(holders) = stripe.get_mut(channel) else { return Next::Nothing };
        holders.counts[shard] -= 1;
        if holders.counts[shard] == 0 {
            holders.shards &= !(1 << shard);
        }
        if holders.shards != 0 {
            return Next::Nothing;
        }
        match holders.delivery {
            Delivery::On => {
                holders.delivery = Delivery::Stopping(Vec::new());
                Next::Unsubscribe
            }
            Delivery::Off => {
                stripe.remove(channel);
                Next::Nothing
            }
            // Whoever asked the broker sees that nobody is left.
            Delivery::Starting(_) | Delivery::Stopping(_) => Next::Nothing,
        }
    }

    /// The broker delivers the channel, or failed to.
    pub(super) fn subscribed(&self, channel: &str, delivers: bool) -> Next {
        let mut stripe = self.stripe(channel).write();
        let Some(holders) = stripe.get_mut(channel) else { return Next::Nothing };
        let after = if delivers { Delivery::On } else { Delivery::Off };
        if let Delivery::Starting(waiting) = std::mem::replace(&mut holders.delivery, after) {
            for waiting in waiting {
                // Whoever waited may be gone.
                let _ = waiting.send(delivers);
            }
        }
        match (holders.shards, delivers) {
            (0, true) => {
                holders.delivery = Delivery::Stopping(Vec::new());
                Next::Unsubscribe
            }
            (0, false) => {
                stripe.remove(channel);
                Next::Nothing
            }
            // After a failure all who are counted know of it, and leave; the next to come tries again.
            _ => Next::Nothing,
        }
    }

    /// The broker does not deliver the channel any more.
    pub(super) fn unsubscribed(&self, channel: &str) -> Next {
        let mut stripe = self.stripe(channel).write();
        let Some(holders) = stripe.get_mut(channel) else { return Next::Nothing };
        if holders.shards == 0 {
            // Whoever still waits left long ago.
            stripe.remove(channel);
            return Next::Nothing;
        }
        let before = std::mem::replace(&mut holders.delivery, Delivery::Off);
        let waiting = if let Delivery::Stopping(waiting) = before { waiting } else { Vec::new() };
        holders.delivery = Delivery::Starting(waiting);
        Next::Subscribe
    }

    /// One bit for each shard with subscribers.
    pub(super) fn shards(&self, channel: &str) -> u64 {
        self.stripe(channel).read().get(channel).map_or(0, |holders| holders.shards)
    }

    /// All channels with how many subscribers each has.
    pub(super) fn channels(&self) -> Vec<(Arc<str>, u32)> {
        let mut all = Vec::new();
        for stripe in &self.stripes {
            let stripe = stripe.read();
            let held = stripe.iter().filter(|(_, holders)| holders.shards != 0);
            all.extend(held.map(|(channel, holders)| (channel.clone(), holders.counts.iter().sum())));
        }
        all
    }

    /// Channels and subscriptions.
    pub(super) fn totals(&self) -> (u32, u32) {
        let (mut channels, mut subscriptions) = (0, 0);
        for stripe in &self.stripes {
            let stripe = stripe.read();
            channels += stripe.values().filter(|holders| holders.shards != 0).count() as u32;
            subscriptions += stripe.values().flat_map(|holders| holders.counts.iter()).sum::<u32>();
        }
        (channels, subscriptions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> (Registry, Arc<str>) {
        (Registry::new(2), "c".into())
    }

    fn wait(entered: Entered) -> oneshot::Receiver<bool> {
        match entered {
            Entered::Wait(receiver) => receiver,
            _ => panic!("expected to wait"),
        }
    }

    #[test]
    fn who_comes_while_the_broker_is_asked_waits_for_its_answer() {
        let (registry, channel) = registry();
        assert!(matches!(registry.enter(&channel, 0), Entered::Subscribe));
        let mut second = wait(registry.enter(&channel, 1));
        assert!(second.try_recv().is_err());
        assert_eq!(registry.subscribed(&channel, true), Next::Nothing);
        assert_eq!(second.try_recv(), Ok(true));
        assert!(matches!(registry.enter(&channel, 0), Entered::Ready));
    }

    #[test]
    fn a_failure_is_told_to_all_and_the_next_tries_again() {
        let (registry, channel) = registry();
        assert!(matches!(registry.enter(&channel, 0), Entered::Subscribe));
        let mut second = wait(registry.enter(&channel, 1));
        assert_eq!(registry.subscribed(&channel, false), Next::Nothing);
        assert_eq!(second.try_recv(), Ok(false));
        assert!(matches!(registry.enter(&channel, 0), Entered::Subscribe));
        assert_eq!(registry.leave(&channel, 0), Next::Nothing);
        assert_eq!(registry.leave(&channel, 1), Next::Nothing);
        assert_eq!(registry.subscribed(&channel, true), Next::Nothing, "one is left");
        assert_eq!(registry.leave(&channel, 0), Next::Unsubscribe);
    }

    #[test]
    fn leaving_before_the_broker_answers_ends_delivery_afterwards() {
        let (registry, channel) = registry();
        assert!(matches!(registry.enter(&channel, 0), Entered::Subscribe));
        assert_eq!(registry.leave(&channel, 0), Next::Nothing);
        assert_eq!(registry.totals(), (0, 0));
        assert!(registry.channels().is_empty());
        assert_eq!(registry.subscribed(&channel, true), Next::Unsubscribe);
        assert_eq!(registry.unsubscribed(&channel), Next::Nothing);
        assert!(matches!(registry.enter(&channel, 0), Entered::Subscribe));
    }

    #[test]
    fn joining_while_delivery_ends_starts_it_again_afterwards() {
        let (registry, channel) = registry();
        assert!(matches!(registry.enter(&channel, 0), Entered::Subscribe));
        registry.subscribed(&channel, true);
        assert_eq!(registry.leave(&channel, 0), Next::Unsubscribe);
        let mut waiting = wait(registry.enter(&channel, 1));
        assert_eq!(registry.unsubscribed(&channel), Next::Subscribe);
        assert!(waiting.try_recv().is_err());
        assert_eq!(registry.subscribed(&channel, true), Next::Nothing);
        assert_eq!(waiting.try_recv(), Ok(true));
    }
}
