//! The embedded engine for presence: this process's clients, gone when they leave.

use super::{PresenceError, PresenceStats, PresenceStore};
use crate::broker::{ClientInfo, MaybeReady};
use foldhash::quality::RandomState;
use hashbrown::hash_table::Entry;
use hashbrown::{HashMap, HashTable};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Stripes of the channel space: more than cores, so that clients of different channels rarely meet.
const STRIPES: usize = 64;

/// The embedded presence store.
///
/// Every call answers at once. Entries have no time to live: the node removes a client when it goes,
/// and no other node could vanish together with its clients. Counting costs the same for one client
/// and for a million.
pub struct MemoryPresence {
    /// Seeded at random: peers choose channels and users.
    hasher: RandomState,
    /// A lock is held for one map access, or for copying out one channel; two are never held together.
    stripes: Box<[Mutex<Channels>]>,
}

type Channels = HashMap<Arc<str>, Present, RandomState>;

/// Everyone in one channel; never empty.
#[derive(Default)]
struct Present {
    /// Keyed by the client identifier inside.
    clients: HashTable<Arc<ClientInfo>>,
    /// How many clients each user has; never zero.
    users: HashMap<Box<str>, u32, RandomState>,
}

impl MemoryPresence {
    /// Creates an empty store.
    pub fn new() -> Self {
        let hasher = RandomState::default();
        let stripes = (0..STRIPES).map(|_| Mutex::new(HashMap::with_hasher(hasher.clone()))).collect();
        Self { hasher, stripes }
    }

    /// Counts channels in which somebody is.
    pub fn channel_count(&self) -> usize {
        self.stripes.iter().map(|stripe| stripe.lock().len()).sum()
    }

    /// Tables inside a stripe use the lowest and highest bits of the hash, stripes those between.
    fn stripe(&self, channel: &str) -> &Mutex<Channels> {
        &self.stripes[(self.hasher.hash_one(channel) >> 40) as usize % STRIPES]
    }
}

impl Default for MemoryPresence {
    fn default() -> Self {
        Self::new()
    }
}

impl PresenceStore for MemoryPresence {
    fn add(&self, channel: &Arc<str>, info: Arc<ClientInfo>) -> MaybeReady<Result<(), PresenceError>> {
        self.stripe(channel).lock().entry(channel.clone()).or_default().add(&self.hasher, info);
        MaybeReady::ready(Ok(()))
    }

    fn remove(&self, channel: &Arc<str>, client: &str, _user: &str) -> MaybeReady<Result<(), PresenceError>> {
        let mut channels = self.stripe(channel).lock();
        if let Some(present) = channels.get_mut(channel) {
            present.remove(&self.hasher, client);
            if present.clients.is_empty() {
                channels.remove(channel);
            }
        }
        MaybeReady::ready(Ok(()))
    }

    fn get(
        &self,
        channel: &Arc<str>,
    ) -> MaybeReady<Result<BTreeMap<String, Arc<ClientInfo>>, PresenceError>> {
        let everyone: Vec<Arc<ClientInfo>> = match self.stripe(channel).lock().get(channel) {
            Some(present) => present.clients.iter().cloned().collect(),
            None => Vec::new(),
        };
        // Sorting waits until the lock is gone: a channel may hold very many.
        MaybeReady::ready(Ok(everyone.into_iter().map(|info| (info.client.clone(), info)).collect()))
    }

    fn stats(&self, channel: &Arc<str>) -> MaybeReady<Result<PresenceStats, PresenceError>> {
        let channels = self.stripe(channel).lock();
        MaybeReady::ready(Ok(channels.get(channel).map(Present::stats).unwrap_or_default()))
    }
}

impl Present {
    /// Adds a client, or replaces what is known of it.
    fn add(&mut self, hasher: &RandomState, info: Arc<ClientInfo>) {
        *self.users.entry_ref(info.user.as_str()).or_default() += 1;
        let hash = hasher.hash_one(info.client.as_str());
        let is_same = |known: &Arc<ClientInfo>| known.client == info.client;
        match self.clients.entry(hash, is_same, |known| hasher.hash_one(known.client.as_str())) {
            Entry::Occupied(mut entry) => {
                let before = std::mem::replace(entry.get_mut(), info);
                self.forget_user(&before.user);
            }
            Entry::Vacant(entry) => {
                entry.insert(info);
            }
        }
    }

    fn remove(&mut self, hasher: &RandomState, client: &str) {
        let hash = hasher.hash_one(client);
        if let Ok(entry) = self.clients.find_entry(hash, |known| known.client == client) {
            let (info, _) = entry.remove();
            self.forget_user(&info.user);
        }
    }

    /// Counts one client less for `user`.
    fn forget_user(&mut self, user: &str) {
        if let Some(clients) = self.users.get_mut(user) {
            *clients -= 1;
            if *clients == 0 {
                self.users.remove(user);
            }
        }
    }

    fn stats(&self) -> PresenceStats {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        PresenceStats { clients: count(self.clients.len()), users: count(self.users.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::contract_tests::{Bench, presence_contract};

    struct MemoryBench(Arc<MemoryPresence>);

    impl Bench for MemoryBench {
        async fn start() -> Self {
            Self(Arc::new(MemoryPresence::new()))
        }

        fn store(&self) -> Arc<dyn PresenceStore> {
            self.0.clone()
        }
    }

    presence_contract!(MemoryBench);

    fn info(client: &str, user: &str) -> Arc<ClientInfo> {
        Arc::new(ClientInfo { client: client.to_owned(), user: user.to_owned(), ..ClientInfo::default() })
    }

    #[tokio::test]
    async fn a_channel_everyone_left_takes_no_memory() -> Result<(), PresenceError> {
        let store = MemoryPresence::new();
        let channel: Arc<str> = "c".into();
        store.add(&channel, info("a", "")).await?;
        store.add(&channel, info("b", "")).await?;
        assert_eq!(store.channel_count(), 1);
        store.remove(&channel, "a", "").await?;
        store.remove(&channel, "b", "").await?;
        assert_eq!(store.channel_count(), 0);
        Ok(())
    }

    #[tokio::test]
    async fn a_client_added_as_another_user_is_counted_for_that_one() -> Result<(), PresenceError> {
        let store = MemoryPresence::new();
        let channel: Arc<str> = "c".into();
        store.add(&channel, info("a", "42")).await?;
        store.add(&channel, info("a", "43")).await?;
        assert_eq!(store.stats(&channel).await?, PresenceStats { clients: 1, users: 1 });
        Ok(())
    }
}
