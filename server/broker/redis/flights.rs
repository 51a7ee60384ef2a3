//! Equal reads at the same time become one. Whoever asks while a read is under way waits for the next, which starts
//! after the question: what it returns is never older than the question.

use foldhash::quality::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::hash::Hash;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Reads that are under way, each with those who wait for the next one.
pub(super) struct Flights<K, V> {
    /// Held for one access.
    waiting: Mutex<HashMap<K, Vec<oneshot::Sender<V>>, RandomState>>,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self { waiting: Mutex::default() }
    }
}

/// Forgets a read that was given up; those who waited for it ask anew.
struct Leading<'a, K: Hash + Eq, V> {
    flights: &'a Flights<K, V>,
    key: Option<K>,
}

impl<K: Hash + Eq, V> Drop for Leading<'_, K, V> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.flights.waiting.lock().remove(&key);
        }
    }
}

impl<K, V> Flights<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + 'static,
{
    /// Reads, or shares a read that starts after this call.
    pub(super) async fn read<F>(self: &Arc<Self>, key: K, read: impl Fn() -> F + Send + 'static) -> V
    where
        F: Future<Output = V> + Send,
    {
        loop {
            let waiter = {
                let mut waiting = self.waiting.lock();
                match waiting.get_mut(&key) {
                    Some(others) => {
                        let (sender, receiver) = oneshot::channel();
                        others.push(sender);
                        Some(receiver)
                    }
                    None => {
                        waiting.insert(key.clone(), Vec::new());
                        None
                    }
                }
            };
            match waiter {
                Some(receiver) => {
                    if let Ok(value) = receiver.await {
                        return value;
                    }
                }
                None => {
                    let mut leading = Leading { flights: self, key: Some(key.clone()) };
                    let value = read().await;
                    leading.key = None;
                    self.land(key, read);
                    return value;
                }
            }
        }
    }

    /// Ends a read, or starts the next for those who came meanwhile.
    fn land<F>(self: &Arc<Self>, key: K, read: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = V> + Send,
    {
        let Some(mut others) = self.next(&key) else { return };
        let flights = self.clone();
        tokio::spawn(async move {
            loop {
                let mut leading = Leading { flights: &flights, key: Some(key.clone()) };
                let value = read().await;
                leading.key = None;
                for other in others {
                    let _ = other.send(value.clone());
                }
                match flights.next(&key) {
                    Some(next) => others = next,
                    None => return,
                }
            }
        });
    }

    fn next(&self, key: &K) -> Option<Vec<oneshot::Sender<V>>> {
        let mut waiting = self.waiting.lock();
        let others = std::mem::take(waiting.get_mut(key)?);
        if others.is_empty() {
            waiting.remove(key);
            return None;
        }
        Some(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Semaphore;

    struct Rig {
        flights: Arc<Flights<&'static str, u32>>,
        started: Arc<AtomicU32>,
        permits: Arc<Semaphore>,
    }

    impl Rig {
        fn new() -> Self {
            Self { flights: Arc::default(), started: Arc::default(), permits: Arc::new(Semaphore::new(0)) }
        }

        fn ask(&self) -> tokio::task::JoinHandle<u32> {
            let (flights, started, permits) =
                (self.flights.clone(), self.started.clone(), self.permits.clone());
            tokio::spawn(async move {
                let read = move || {
                    let number = started.fetch_add(1, Ordering::SeqCst) + 1;
                    let permits = permits.clone();
                    async move {
                        permits.acquire().await.expect("stays open").forget();
                        number
                    }
                };
                flights.read("key", read).await
            })
        }

        async fn until(&self, done: impl Fn(&Self) -> bool) {
            while !done(self) {
                tokio::task::yield_now().await;
            }
        }

        fn waiting(&self) -> Option<usize> {
            self.flights.waiting.lock().get("key").map(Vec::len)
        }
    }

    #[tokio::test]
    async fn whoever_asks_during_a_read_shares_the_next_one() {
        let rig = Rig::new();
        let first = rig.ask();
        rig.until(|rig| rig.started.load(Ordering::SeqCst) == 1).await;
        let others: Vec<_> = (0..10).map(|_| rig.ask()).collect();
        rig.until(|rig| rig.waiting() == Some(10)).await;
        rig.permits.add_permits(1);
        assert_eq!(first.await.expect("ends"), 1);
        rig.until(|rig| rig.started.load(Ordering::SeqCst) == 2).await;
        rig.permits.add_permits(1);
        for other in others {
            assert_eq!(other.await.expect("ends"), 2);
        }
        rig.until(|rig| rig.waiting().is_none()).await;
    }

    #[tokio::test]
    async fn a_read_given_up_leaves_nobody_waiting() {
        let rig = Rig::new();
        let first = rig.ask();
        rig.until(|rig| rig.started.load(Ordering::SeqCst) == 1).await;
        let other = rig.ask();
        rig.until(|rig| rig.waiting() == Some(1)).await;
        first.abort();
        rig.permits.add_permits(1);
        assert_eq!(other.await.expect("ends"), 2);
    }
}
