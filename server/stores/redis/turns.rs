//! Tells those who remember something of keys that others may answer for them from now on.
//!
//! Replication is asynchronous: whoever takes over from another, or comes back himself, may know less than was
//! acknowledged, and nothing in his answers shows it.

use super::place::SLOTS;
use parking_lot::Mutex;
use std::sync::Weak;

const WORDS: usize = SLOTS as usize / 64;

/// Slots of a Redis Cluster. What is no Cluster has one for all keys, which is in [`Slots::all`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    bits: Box<[u64; WORDS]>,
}

impl Default for Slots {
    fn default() -> Self {
        Self { bits: Box::new([0; WORDS]) }
    }
}

impl Slots {
    /// Every slot there is.
    pub fn all() -> Self {
        Self { bits: Box::new([u64::MAX; WORDS]) }
    }

    /// Whether `slot` is among them.
    pub fn has(&self, slot: u16) -> bool {
        self.bits.get(usize::from(slot / 64)).is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    /// Whether they are all there are.
    pub fn is_all(&self) -> bool {
        self.bits.iter().all(|word| *word == u64::MAX)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|word| *word == 0)
    }

    /// Adds those of another set.
    pub fn add(&mut self, others: &Self) {
        for (word, other) in self.bits.iter_mut().zip(others.bits.iter()) {
            *word |= other;
        }
    }
}

impl FromIterator<u16> for Slots {
    fn from_iter<T: IntoIterator<Item = u16>>(slots: T) -> Self {
        let mut set = Self::default();
        for slot in slots {
            if let Some(word) = set.bits.get_mut(usize::from(slot / 64)) {
                *word |= 1 << (slot % 64);
            }
        }
        set
    }
}

/// Who is told.
pub trait Watcher: Send + Sync + 'static {
    /// Keys of `slots` may be answered for by another server than before, or by one that was restarted.
    ///
    /// Order: when a connection comes back, before the first answer over it; when a Cluster changed, soon after
    /// that is known. Called on the task of a connection, so it must return at once.
    fn turned(&self, slots: &Slots);
}

/// All who are told about one shard.
#[derive(Default)]
pub(super) struct Watchers {
    /// Held for one access, never while anybody is told.
    list: Mutex<Vec<Weak<dyn Watcher>>>,
}

impl Watchers {
    pub(super) fn add(&self, watcher: Weak<dyn Watcher>) {
        self.list.lock().push(watcher);
    }

    pub(super) fn tell(&self, slots: &Slots) {
        if slots.is_empty() {
            return;
        }
        let mut list = self.list.lock();
        list.retain(|watcher| watcher.strong_count() > 0);
        let there: Vec<_> = list.iter().filter_map(Weak::upgrade).collect();
        drop(list);
        for watcher in there {
            watcher.turned(slots);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<Slots>>);

    impl Watcher for Recorder {
        fn turned(&self, slots: &Slots) {
            self.0.lock().push(slots.clone());
        }
    }

    #[test]
    fn sets_hold_what_was_put_into_them() {
        let mut set: Slots = [0, 63, 64, 16_383].into_iter().collect();
        assert!([0, 63, 64, 16_383].into_iter().all(|slot| set.has(slot)));
        assert!([1, 62, 65, 16_382].into_iter().all(|slot| !set.has(slot)));
        set.add(&[1].into_iter().collect());
        assert!(set.has(1) && set.has(0));
        assert!((0..SLOTS).all(|slot| Slots::all().has(slot)));
        assert!(!Slots::all().has(SLOTS), "there is no such slot");
    }

    #[test]
    fn those_who_are_there_are_told_and_nobody_of_nothing() {
        let (watchers, stays, goes) =
            (Watchers::default(), Arc::<Recorder>::default(), Arc::<Recorder>::default());
        let all: [Arc<dyn Watcher>; 2] = [stays.clone(), goes.clone()];
        all.iter().for_each(|watcher| watchers.add(Arc::downgrade(watcher)));
        drop((all, goes));
        let some: Slots = [7].into_iter().collect();
        watchers.tell(&some);
        watchers.tell(&Slots::default());
        assert_eq!(*stays.0.lock(), [some]);
        assert_eq!(watchers.list.lock().len(), 1, "who is gone is forgotten");
    }
}
