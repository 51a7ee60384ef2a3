//! A Redis Cluster: which node has which slot, and a connection to each node that is needed.

use super::error::RedisError;
use super::link::Link;
use super::resp::{Command, Value};
use super::route::Route;
use super::settings::{Address, Dial};
use super::slot_map::SlotMap;
use super::socket::Purpose;
use super::turns::Watchers;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hashbrown::HashMap;
use parking_lot::Mutex;
use rand::seq::{IndexedRandom, SliceRandom};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

/// The map is read anew this often even if nothing seems wrong.
const REFRESH_EVERY: Duration = Duration::from_secs(15);

/// Least time between two readings of the map.
const REFRESH_PAUSE: Duration = Duration::from_millis(100);

/// Nodes asked for the map at the same time.
const ASKED_AT_ONCE: usize = 3;

/// Pause before a command is sent again to a Cluster that is rearranging itself.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A Redis Cluster.
pub(super) struct Cluster {
    name: Arc<str>,
    seeds: Vec<Address>,
    dial: Dial,
    map: watch::Sender<Arc<SlotMap>>,
    /// The map that watchers were told of. Held while it is compared with the next.
    told: Mutex<Arc<SlotMap>>,
    watchers: Arc<Watchers>,
    /// Itself, for links that come back.
    me: Weak<Self>,
    /// Held for one access; links connect by themselves.
    links: Mutex<HashMap<(Address, bool), Arc<Link>>>,
    stale: Arc<Notify>,
    refresher: std::sync::OnceLock<AbortHandle>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(refresher) = self.refresher.get() {
            refresher.abort();
        }
    }
}

/// What an error of a node means for whoever asked.
enum Hint {
    Moved(u16, Address),
    Ask(Address),
    Later,
}

impl Cluster {
    /// Starts with the map that the seeds know.
    ///
    /// # Errors
    /// `Unreachable` when no seed answers within the connect timeout.
    pub(super) async fn start(
        name: &str,
        seeds: Vec<Address>,
        dial: Dial,
        watchers: Arc<Watchers>,
    ) -> Result<Arc<Self>, RedisError> {
        let cluster = Arc::new_cyclic(|me| Self {
            name: name.into(),
            seeds,
            dial,
            map: watch::Sender::default(),
            told: Mutex::default(),
            watchers,
            me: me.clone(),
            links: Mutex::default(),
            stale: Arc::default(),
            refresher: std::sync::OnceLock::new(),
        });
        cluster.refresh().await;
        if cluster.map.borrow().is_empty() {
            return Err(RedisError::unreachable(name, "no node tells the slots of the cluster"));
        }
        let refresher = tokio::spawn(keep_fresh(Arc::downgrade(&cluster), cluster.stale.clone()));
        let _ = cluster.refresher.set(refresher.abort_handle());
        Ok(cluster)
    }

    /// The map as it changes.
    pub(super) fn map(&self) -> watch::Receiver<Arc<SlotMap>> {
        self.map.subscribe()
    }

    /// Says that the map may be wrong.
    pub(super) fn doubt(&self) {
        self.stale.notify_one();
    }

    /// Asks the node that has `slot`, wherever that is by now.
    ///
    /// # Errors
    /// As for [`Link::request`]; what was surely not carried out is tried again for the connect timeout.
    pub(super) async fn request(&self, slot: u16, command: &Command) -> Result<Value, RedisError> {
        let mut deadline = None;
        let mut asked = None;
        loop {
            let result = match asked.take() {
                Some(address) => {
                    let asking = Command::new([&b"ASKING"[..]]);
                    self.link(&address, false).request(&[&asking, command]).await
                }
                None => match self.owner(slot) {
                    Some(link) => link.request(&[command]).await,
                    None => Err(RedisError::unreachable(&self.name, format!("nobody has slot {slot}"))),
                },
            };
            let hint = match &result {
                Ok(Value::Error(text)) => hint(text),
                Err(RedisError::Unreachable { .. }) => Some(Hint::Later),
                Err(_) => {
                    self.doubt();
                    None
                }
                Ok(_) => None,
            };
            let Some(hint) = hint else { return result };
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.dial.connect_timeout);
            if Instant::now() >= deadline {
                return result;
            }
            match hint {
                Hint::Moved(slot, address) => {
                    self.map.send_modify(|map| Arc::make_mut(map).set_owner(slot, &address));
                    self.doubt();
                }
                Hint::Ask(address) => asked = Some(address),
                Hint::Later => {
                    self.doubt();
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Asks a replica of the node that has `slot`, or that node when there is none.
    pub(super) async fn request_replica(&self, slot: u16, command: &Command) -> Result<Value, RedisError> {
        let replica = {
            let map = self.map.borrow();
            map.replicas_of(slot).choose(&mut rand::rng()).cloned()
        };
        if let Some(replica) = replica
            && let Ok(value) = self.link(&replica, true).request(&[command]).await
            && !matches!(value, Value::Error(_))
        {
            return Ok(value);
        }
        self.request(slot, command).await
    }

    fn owner(&self, slot: u16) -> Option<Arc<Link>> {
        let owner = self.map.borrow().owner(slot).cloned();
        owner.map(|address| self.link(&address, false))
    }

    fn link(&self, address: &Address, replica: bool) -> Arc<Link> {
        let mut links = self.links.lock();
        let link = links.entry((address.clone(), replica)).or_insert_with(|| {
            let purpose = if replica { Purpose::Replica } else { Purpose::Data };
            let route = Route::Fixed(vec![address.clone()]);
            let (cluster, back) = (self.me.clone(), address.clone());
            let returned = Box::new(move || {
                if let Some(cluster) = cluster.upgrade().filter(|_| !replica) {
                    cluster.returned(&back);
                }
            });
            Arc::new(Link::start_watched(address.as_str(), route, self.dial.clone(), purpose, returned))
        });
        link.clone()
    }

    /// A node is reached again: it may have been restarted meanwhile.
    fn returned(&self, address: &Address) {
        let map = self.map.borrow().clone();
        self.watchers.tell(&map.slots_of(address));
    }

    /// Tells whose slots have other owners than when it was told last.
    fn tell_turned(&self) {
        let map = self.map.borrow().clone();
        let mut told = self.told.lock();
        if *told == map {
            return;
        }
        let (turned, known) = told.turned(&map);
        *told = Arc::new(known);
        drop(told);
        self.watchers.tell(&turned);
    }

    /// Reads the map as most of a few nodes know it.
    async fn refresh(&self) {
        let mut nodes: Vec<Address> = self.map.borrow().primaries().to_vec();
        nodes.extend(self.seeds.iter().filter(|seed| !nodes.contains(seed)).cloned().collect::<Vec<_>>());
        nodes.shuffle(&mut rand::rng());
        // Nodes that can be asked at once come first.
        let is_up =
            |node: &Address| self.links.lock().get(&(node.clone(), false)).is_some_and(|link| link.is_up());
        nodes.sort_by_key(|node| !is_up(node));
        let command = &Command::new([&b"CLUSTER"[..], b"SLOTS"]);
        let mut answers: FuturesUnordered<_> = nodes
            .into_iter()
            .map(|node| async move {
                let request = timeout(self.dial.connect_timeout, async {
                    self.link(&node, false).request(&[command]).await
                });
                SlotMap::read(request.await.ok()?.ok()?, &node).filter(|map| !map.is_empty())
            })
            .collect();
        let mut maps: Vec<(SlotMap, usize)> = Vec::new();
        let mut count = 0;
        while let Some(answer) = answers.next().await {
            let Some(map) = answer else { continue };
            count += 1;
            match maps.iter_mut().find(|(known, _)| *known == map) {
                Some((_, votes)) => *votes += 1,
                None => maps.push((map, 1)),
            }
            if count == ASKED_AT_ONCE {
                break;
            }
        }
        drop(answers);
        let Some((map, _)) = maps.into_iter().max_by_key(|(_, votes)| *votes) else { return };
        self.links.lock().retain(|(address, _), _| map.knows(address) || self.seeds.contains(address));
        self.map.send_if_modified(|now| {
            let changed = **now != map;
            if changed {
                *now = Arc::new(map);
            }
            changed
        });
        self.tell_turned();
    }
}

async fn keep_fresh(cluster: Weak<Cluster>, stale: Arc<Notify>) {
    loop {
        let _ = timeout(REFRESH_EVERY, stale.notified()).await;
        let Some(cluster) = cluster.upgrade() else { return };
        cluster.refresh().await;
        drop(cluster);
        tokio::time::sleep(REFRESH_PAUSE).await;
    }
}

fn hint(error: &[u8]) -> Option<Hint> {
    let text = std::str::from_utf8(error).ok()?;
    let mut words = text.split(' ');
    match words.next()? {
        kind @ ("MOVED" | "ASK") => {
            let slot = words.next()?.parse().ok()?;
            let address = Address::tcp(words.next()?);
            // Without a host, the node does not know how it is reached itself.
            if address.as_str().starts_with(':') {
                return Some(Hint::Later);
            }
            Some(if kind == "MOVED" { Hint::Moved(slot, address) } else { Hint::Ask(address) })
        }
        "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "READONLY" => Some(Hint::Later),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_nodes_say_what_to_do() {
        assert!(matches!(hint(b"MOVED 12 h:1"), Some(Hint::Moved(12, address)) if address.as_str() == "h:1"));
        assert!(matches!(hint(b"ASK 12 h:1"), Some(Hint::Ask(_))));
        assert!(matches!(hint(b"CLUSTERDOWN Hash slot not served"), Some(Hint::Later)));
        assert!(hint(b"WRONGTYPE no").is_none());
    }
}
