//! Which shards have subscribers of a channel.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Most shards of one node; a channel's shards are the bits of one word.
pub(super) const MAX_SHARDS: usize = 64;

const STRIPES: usize = 64;

/// Subscribers of one channel, by shard.
struct Holders {
    counts: Box<[u32]>,
    shards: u64,
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

    /// Counts a subscriber; true when it is the first of this node.
    pub(super) fn enter(&self, channel: &Arc<str>, shard: usize) -> bool {
        let mut stripe = self.stripe(channel).write();
        let holders = stripe
            .entry(channel.clone())
            .or_insert_with(|| Holders { counts: vec![0; self.shards].into_boxed_slice(), shards: 0 });
        let first = holders.shards == 0;
        holders.counts[shard] += 1;
        holders.shards |= 1 << shard;
        first
    }

    /// Uncounts a subscriber; true when it was the last of this node.
    pub(super) fn leave(&self, channel: &str, shard: usize) -> bool {
        let mut stripe = self.stripe(channel).write();
        let Some(holders) = stripe.get_mut(channel) else { return false };
        holders.counts[shard] -= 1;
        if holders.counts[shard] == 0 {
            holders.shards &= !(1 << shard);
        }
        let last = holders.shards == 0;
        if last {
            stripe.remove(channel);
        }
        last
    }

    /// One bit for each shard with subscribers.
    pub(super) fn shards(&self, channel: &str) -> u64 {
        self.stripe(channel).read().get(channel).map_or(0, |holders| holders.shards)
    }

    /// All channels with how many subscribers each has.
    pub(super) fn channels(&self) -> Vec<(Arc<str>, u32)> {
        let mut all = Vec::new();
        for stripe in &self.stripes {
            all.extend(
                stripe.read().iter().map(|(channel, holders)| (channel.clone(), holders.counts.iter().sum())),
            );
        }
        all
    }

    /// Channels and subscriptions.
    pub(super) fn totals(&self) -> (u32, u32) {
        let (mut channels, mut subscriptions) = (0, 0);
        for stripe in &self.stripes {
            let stripe = stripe.read();
            channels += stripe.len() as u32;
            subscriptions += stripe.values().flat_map(|holders| holders.counts.iter()).sum::<u32>();
        }
        (channels, subscriptions)
    }
}
