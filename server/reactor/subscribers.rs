//! The subscribers of each channel on one shard, side by side in memory.

use super::connection::{Key, Wire};
use super::delivery::Delivery;
use super::pressure::Load;
use crate::broker::{Epoch, StreamPosition};
use crate::channel::filter::Filter;
use crate::session::{Delta, JoinFlags};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use slab::Slab;
use std::sync::Arc;
use std::time::Instant;

/// A channel of this shard.
pub(super) type ChannelIndex = u32;

/// Where one subscription stands: its channel, and its place among the subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) channel: ChannelIndex,
    pub(super) at: u32,
}

/// One subscriber, as small as delivery allows.
pub(super) struct Subscriber {
    pub(super) key: Key,
    pub(super) wire: Wire,
    pub(super) flags: JoinFlags,
    /// Deliveries are held back until the subscribe reply is queued.
    pub(super) holding: bool,
    /// Where its first delivery stands among those held back.
    held_from: u32,
    /// The client has a payload a delta can be applied to.
    pub(super) delta_ready: bool,
    pub(super) offset: u64,
    pub(super) epoch: Epoch,
    pub(super) filter: Option<Arc<Filter>>,
}

/// The subscribers of one channel.
pub(super) struct Channel {
    pub(super) name: Arc<str>,
    pub(super) subscribers: Vec<Subscriber>,
    /// Deliveries that came while some subscriber was holding, oldest first.
    held: Vec<Arc<Delivery>>,
    held_load: Load,
    /// How many subscribers are holding.
    holding: u32,
    /// When a publication came last.
    pub(super) last_delivery: Option<Instant>,
    /// When the position was last compared with the broker's.
    pub(super) checked: Option<Instant>,
}

/// The channels of one shard.
#[derive(Default)]
pub(super) struct Channels {
    by_name: HashMap<Arc<str>, ChannelIndex, RandomState>,
    channels: Slab<Channel>,
}

impl Channels {
    pub(super) fn find(&self, name: &str) -> Option<ChannelIndex> {
        self.by_name.get(name).copied()
    }

    pub(super) fn get(&self, index: ChannelIndex) -> &Channel {
        &self.channels[index as usize]
    }

    pub(super) fn get_mut(&mut self, index: ChannelIndex) -> &mut Channel {
        &mut self.channels[index as usize]
    }

    /// Adds a subscriber that holds publications back.
    pub(super) fn add(
        &mut self,
        name: &Arc<str>,
        key: Key,
        wire: Wire,
        flags: JoinFlags,
        filter: Option<Arc<Filter>>,
    ) -> Place {
        let index = match self.by_name.get(&**name) {
            Some(index) => *index,
            None => {
                let index = self.channels.insert(Channel {
                    name: name.clone(),
                    subscribers: Vec::with_capacity(1),
                    held: Vec::new(),
                    held_load: Load::default(),
                    holding: 0,
                    last_delivery: None,
                    checked: None,
                }) as ChannelIndex;
                self.by_name.insert(name.clone(), index);
                index
            }
        };
        let channel = &mut self.channels[index as usize];
        channel.holding += 1;
        let held_from = channel.held.len() as u32;
        channel.subscribers.push(Subscriber {
            key,
            wire,
            flags,
            holding: true,
            held_from,
            delta_ready: false,
            offset: 0,
            epoch: Epoch::none(),
            filter,
        });
        Place { channel: index, at: channel.subscribers.len() as u32 - 1 }
    }

    /// Lets publications flow to a subscriber; returns those held back that it must still get.
    pub(super) fn activate(
        &mut self,
        place: Place,
        position: StreamPosition,
        delta: Delta,
    ) -> Vec<Arc<Delivery>> {
        let channel = &mut self.channels[place.channel as usize];
        let subscriber = &mut channel.subscribers[place.at as usize];
        if !subscriber.holding {
            return Vec::new();
        }
        subscriber.holding = false;
        subscriber.offset = position.offset;
        subscriber.epoch = position.epoch;
        subscriber.delta_ready = delta == Delta::Ready;
        let held = channel.held[subscriber.held_from as usize..].to_vec();
        channel.stopped_holding();
        held
    }

    /// Removes a subscriber. Returns the key of the one that took its place, if any, which has to be told.
    pub(super) fn remove(&mut self, place: Place) -> Option<Key> {
        let channel = &mut self.channels[place.channel as usize];
        let removed = channel.subscribers.swap_remove(place.at as usize);
        if removed.holding {
            channel.stopped_holding();
        }
        let moved = channel.subscribers.get(place.at as usize).map(|subscriber| subscriber.key);
        if channel.subscribers.is_empty() {
            let channel = self.channels.remove(place.channel as usize);
            self.by_name.remove(&*channel.name);
        }
        moved
    }
}

impl Channel {
    /// Keeps a delivery for subscribers that are holding, if there are any.
    ///
    /// When the engine takes so long to answer them that too much waits, all of it is dropped. Their
    /// subscriptions have not begun yet, and a position tells those that have one of the gap.
    pub(super) fn hold(&mut self, delivery: &Arc<Delivery>) {
        if self.holding == 0 {
            return;
        }
        if self.held_load.is_high() {
            self.held.clear();
            self.held_load = Load::default();
            for subscriber in self.subscribers.iter_mut().filter(|subscriber| subscriber.holding) {
                subscriber.held_from = 0;
            }
        }
        self.held.push(delivery.clone());
        self.held_load += delivery.load();
    }

    fn stopped_holding(&mut self) {
        self.holding -= 1;
        if self.holding == 0 {
            self.held = Vec::new();
            self.held_load = Load::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::delivery::Kind;
    use super::*;
    use crate::broker::ClientInfo;

    #[test]
    fn what_is_held_back_is_bounded() {
        let mut channels = Channels::default();
        let name: Arc<str> = Arc::from("news");
        let delivery =
            Arc::new(Delivery { channel: name.clone(), kind: Kind::Join(Arc::new(ClientInfo::default())) });
        let key = |slot| Key { slot, generation: 1 };
        let mut add = |slot| channels.add(&name, key(slot), Wire::default(), JoinFlags::default(), None);
        let first = add(0);
        let second = add(1);
        let activate = |channels: &mut Channels, place, expected: usize| {
            let held = channels.activate(place, StreamPosition::default(), Delta::NeedsFull);
            assert_eq!(held.len(), expected);
        };
        for _ in 0..4096 {
            channels.get_mut(first.channel).hold(&delivery);
        }
        activate(&mut channels, first, 4096);
        for _ in 0..3 {
            channels.get_mut(first.channel).hold(&delivery);
        }
        activate(&mut channels, second, 3);
        channels.get_mut(first.channel).hold(&delivery);
        assert!(channels.get(first.channel).held.is_empty());
    }
}
