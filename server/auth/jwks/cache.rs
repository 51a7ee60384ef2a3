//! When a published key may be used and when its endpoint may be asked again. No I/O and no clock.

use super::super::algorithm::Algorithm;
use super::super::keys::PublicKey;
use std::collections::HashMap;
use std::sync::Arc;

/// How long a key stays after it was last used, and how long it is used without being confirmed.
const KEY_LIFETIME: u64 = 60 * 60 * 1000;

/// Shortest time between two fetches that follow a successful one. Tokens with made-up key identifiers
/// cause no more than this, and a new key is found after it at the latest.
const FETCH_INTERVAL: u64 = 60 * 1000;

/// Shortest time between a failed fetch and the next.
const RETRY_INTERVAL: u64 = 1000;

/// A key as its endpoint describes it.
pub(super) struct PublishedKey {
    pub id: String,
    pub key: PublicKey,
    /// Algorithms the key is for.
    pub algorithms: Vec<Algorithm>,
}

/// The keys of one endpoint. Times are milliseconds.
#[derive(Default)]
pub(super) struct KeyCache {
    /// Several keys may share an identifier when they are for different algorithms.
    keys: HashMap<String, Vec<Entry>>,
    fetched: bool,
    last_refetch: Option<u64>,
    last_failure: Option<u64>,
}

struct Entry {
    key: Arc<PublicKey>,
    algorithms: Vec<Algorithm>,
    used: u64,
    confirmed: u64,
}

/// What the cache knows about a key.
pub(super) enum Found {
    /// It may be used; `confirm` asks to fetch again in the background.
    Key { key: Arc<PublicKey>, confirm: bool },
    /// There is a key of this name for other algorithms: asking again would not help.
    WrongAlgorithm,
    /// It is not known, or has not been used for too long.
    Nothing,
}

impl KeyCache {
    /// Looks a key up and marks it as used.
    pub fn find(&mut self, key_id: &str, algorithm: Algorithm, now: u64) -> Found {
        let Some(entries) = self.keys.get_mut(key_id) else { return Found::Nothing };
        entries.retain(|entry| now.saturating_sub(entry.used) < KEY_LIFETIME);
        if entries.is_empty() {
            return Found::Nothing;
        }
        match entries.iter_mut().find(|entry| entry.algorithms.contains(&algorithm)) {
            Some(entry) => {
                entry.used = now;
                let confirm = now.saturating_sub(entry.confirmed) >= KEY_LIFETIME;
                Found::Key { key: entry.key.clone(), confirm }
            }
            None => Found::WrongAlgorithm,
        }
    }

    /// Tells whether the endpoint may be asked now. The first answer is not counted, so a key that is
    /// rotated in right after the start is found at once.
    pub fn may_fetch(&self, now: u64) -> bool {
        let passed = |since: Option<u64>, interval| since.is_none_or(|at| now.saturating_sub(at) >= interval);
        passed(self.last_failure, RETRY_INTERVAL) && passed(self.last_refetch, FETCH_INTERVAL)
    }

    /// Tells whether the latest fetch failed.
    pub fn is_failing(&self) -> bool {
        self.last_failure.is_some()
    }

    /// Notes that a fetch begins.
    pub fn fetch_started(&mut self, now: u64) {
        if self.fetched {
            self.last_refetch = Some(now);
        }
    }

    /// Notes that a fetch failed; keys stay as they are.
    pub fn fetch_failed(&mut self, now: u64) {
        self.last_failure = Some(now);
        self.last_refetch = None;
    }

    /// Takes the endpoint's answer. Keys that it does not list any more end an hour after they were last
    /// listed, however much they are used.
    pub fn store(&mut self, keys: Vec<PublishedKey>, now: u64) {
        self.fetched = true;
        self.last_failure = None;
        for published in &keys {
            if let Some(entries) = self.keys.get_mut(&published.id) {
                entries
                    .retain(|entry| entry.algorithms.iter().all(|old| !published.algorithms.contains(old)));
            }
        }
        for PublishedKey { id, key, algorithms } in keys {
            let entry = Entry { key: Arc::new(key), algorithms, used: now, confirmed: now };
            self.keys.entry(id).or_default().push(entry);
        }
        self.keys.retain(|_, entries| {
            entries.retain(|entry| now.saturating_sub(entry.confirmed) < KEY_LIFETIME);
            !entries.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

    fn published(id: &str) -> PublishedKey {
        let pair = Ed25519KeyPair::generate().unwrap();
        let key = PublicKey::from_bytes(&[Algorithm::EdDsa], pair.public_key().as_ref()).unwrap();
        PublishedKey { id: id.to_owned(), key, algorithms: vec![Algorithm::EdDsa] }
    }

    fn has(cache: &mut KeyCache, id: &str, now: u64) -> bool {
        matches!(cache.find(id, Algorithm::EdDsa, now), Found::Key { .. })
    }

    #[test]
    fn a_key_lives_as_long_as_it_is_used() {
        let mut cache = KeyCache::default();
        cache.store(vec![published("a"), published("b")], 0);
        assert!(has(&mut cache, "a", KEY_LIFETIME - 1));
        assert!(has(&mut cache, "a", KEY_LIFETIME + 1));
        assert!(!has(&mut cache, "b", KEY_LIFETIME + 1));
    }

    #[test]
    fn an_old_key_is_confirmed_and_ends_when_it_is_not() {
        let mut cache = KeyCache::default();
        cache.store(vec![published("a")], 0);
        assert!(has(&mut cache, "a", KEY_LIFETIME - 1));
        assert!(matches!(
            cache.find("a", Algorithm::EdDsa, KEY_LIFETIME + 5),
            Found::Key { confirm: true, .. }
        ));
        cache.store(vec![published("b")], KEY_LIFETIME + 6);
        assert!(!has(&mut cache, "a", KEY_LIFETIME + 7));
    }

    #[test]
    fn a_key_that_is_no_longer_listed_stays_for_its_hour() {
        let mut cache = KeyCache::default();
        cache.store(vec![published("a")], 0);
        cache.store(vec![published("b")], 1000);
        assert!(has(&mut cache, "a", 2000));
    }

    #[test]
    fn unknown_keys_cause_one_fetch_a_minute() {
        let mut cache = KeyCache::default();
        assert!(cache.may_fetch(0));
        cache.fetch_started(0);
        cache.store(vec![published("a")], 1);
        assert!(cache.may_fetch(2), "a rotation right after the start is found");
        cache.fetch_started(2);
        cache.store(vec![published("a")], 3);
        let fetches = (4..FETCH_INTERVAL).filter(|now| cache.may_fetch(*now)).count();
        assert_eq!(fetches, 0);
        assert!(cache.may_fetch(2 + FETCH_INTERVAL));
    }

    #[test]
    fn a_failing_endpoint_is_asked_once_a_second() {
        let mut cache = KeyCache::default();
        cache.fetch_started(0);
        cache.fetch_failed(0);
        assert!(cache.is_failing());
        assert!(!cache.may_fetch(RETRY_INTERVAL - 1));
        assert!(cache.may_fetch(RETRY_INTERVAL));
        cache.store(vec![published("a")], RETRY_INTERVAL);
        assert!(!cache.is_failing());
    }

    #[test]
    fn another_algorithm_is_no_reason_to_fetch() {
        let mut cache = KeyCache::default();
        cache.store(vec![published("a")], 0);
        assert!(matches!(cache.find("a", Algorithm::Rs256, 1), Found::WrongAlgorithm));
        assert!(matches!(cache.find("b", Algorithm::Rs256, 1), Found::Nothing));
    }
}
