//! A Redis Cluster: which node has which slot, and a connection to each node that is needed.

use super::error::RedisError;
use super::link::Link;
use super::place::SLOTS;
use super::resp::{Command, Value};
use super::route::Route;
use super::settings::{Address, Dial};
use super::socket::Purpose;
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

/// Which node has which slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SlotMap {
    primaries: Vec<Address>,
    /// For each primary.
    replicas: Vec<Vec<Address>>,
    /// Places in `primaries`, plus one; zero means nobody. Empty when nothing is known.
    owners: Vec<u16>,
}

impl SlotMap {
    pub(super) fn is_empty(&self) -> bool {
        self.primaries.is_empty()
    }

    pub(super) fn primaries(&self) -> &[Address] {
        &self.primaries
    }

    pub(super) fn replicas(&self) -> impl Iterator<Item = &Address> {
        self.replicas.iter().flatten()
    }

    pub(super) fn owner(&self, slot: u16) -> Option<&Address> {
        let place = self.owners.get(usize::from(slot)).copied().unwrap_or(0);
        self.primaries.get(usize::from(place).checked_sub(1)?)
    }

    fn replicas_of(&self, slot: u16) -> &[Address] {
        let place = self.owners.get(usize::from(slot)).copied().unwrap_or(0);
        usize::from(place).checked_sub(1).and_then(|at| self.replicas.get(at)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn knows(&self, address: &Address) -> bool {
        self.primaries.contains(address) || self.replicas().any(|replica| replica == address)
    }

    fn place(&mut self, address: &Address) -> u16 {
        let at = self.primaries.iter().position(|known| known == address).unwrap_or_else(|| {
            self.primaries.push(address.clone());
            self.replicas.push(Vec::new());
            self.primaries.len() - 1
        });
        at as u16 + 1
    }

    fn set_owner(&mut self, slot: u16, address: &Address) {
        let place = self.place(address);
        self.owners.resize(usize::from(SLOTS), 0);
        if let Some(owner) = self.owners.get_mut(usize::from(slot)) {
            *owner = place;
        }
    }

    /// Reads the answer to CLUSTER SLOTS; `asked` stands in for a host the node does not know of itself.
    fn read(answer: Value, asked: &Address) -> Option<Self> {
        let mut map = Self { owners: vec![0; usize::from(SLOTS)], ..Self::default() };
        for range in answer.into_list()? {
            let mut fields = range.into_list()?.into_iter();
            let first = usize::try_from(fields.next()?.as_integer()?).ok()?;
            let last = usize::try_from(fields.next()?.as_integer()?).ok()?;
            let Some(primary) = node(fields.next()?, asked) else { continue };
            let place = map.place(&primary);
            map.owners.get_mut(first..=last)?.fill(place);
            let replicas = &mut map.replicas[usize::from(place) - 1];
            for replica in fields.filter_map(|field| node(field, asked)) {
                if !replicas.contains(&replica) {
                    replicas.push(replica);
                }
            }
        }
        Some(map)
    }
}

fn node(fields: Value, asked: &Address) -> Option<Address> {
    let mut fields = fields.into_list()?.into_iter();
    let (host, port) = (fields.next()?, u16::try_from(fields.next()?.as_integer()?).ok()?);
    match host.as_str() {
        Some("?") => None,
        Some("") | None => {
            let host = asked.as_str().rsplit_once(':').map_or("", |(host, _)| host);
            Some(Address::tcp(format!("{host}:{port}")))
        }
        Some(host) => Some(Address::of(host, port)),
    }
}

/// A Redis Cluster.
pub(super) struct Cluster {
    name: Arc<str>,
    seeds: Vec<Address>,
    dial: Dial,
    map: watch::Sender<Arc<SlotMap>>,
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
    pub(super) async fn start(name: &str, seeds: Vec<Address>, dial: Dial) -> Result<Arc<Self>, RedisError> {
        let cluster = Arc::new(Self {
            name: name.into(),
            seeds,
            dial,
            map: watch::Sender::default(),
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
            Arc::new(Link::start(address.as_str(), route, self.dial.clone(), purpose))
        });
        link.clone()
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
    use bytes::Bytes;

    fn text(text: &'static str) -> Value {
        Value::Text(Bytes::from_static(text.as_bytes()))
    }

    fn range(first: i64, last: i64, nodes: &[(&'static str, i64)]) -> Value {
        let nodes = nodes.iter().map(|(host, port)| Value::List(vec![text(host), Value::Integer(*port)]));
        Value::List([Value::Integer(first), Value::Integer(last)].into_iter().chain(nodes).collect())
    }

    #[test]
    fn the_map_knows_owners_and_replicas() {
        let answer = Value::List(vec![
            range(0, 100, &[("10.0.0.1", 1), ("10.0.0.2", 2)]),
            range(101, 16_383, &[("", 3)]),
        ]);
        let map = SlotMap::read(answer, &Address::tcp("h:9")).expect("is a map");
        assert_eq!(map.owner(100), Some(&Address::tcp("10.0.0.1:1")));
        assert_eq!(map.owner(101), Some(&Address::tcp("h:3")));
        assert_eq!(map.replicas_of(7), [Address::tcp("10.0.0.2:2")]);
        let mut moved = map.clone();
        moved.set_owner(7, &Address::tcp("new:1"));
        assert_eq!(moved.owner(7), Some(&Address::tcp("new:1")));
        assert_eq!(moved.owner(8), map.owner(8));
    }

    #[test]
    fn ranges_beyond_the_slots_are_refused() {
        let answer = Value::List(vec![range(0, 16_384, &[("h", 1)])]);
        assert_eq!(SlotMap::read(answer, &Address::tcp("h:9")), None);
    }

    #[test]
    fn errors_of_nodes_say_what_to_do() {
        assert!(matches!(hint(b"MOVED 12 h:1"), Some(Hint::Moved(12, address)) if address.as_str() == "h:1"));
        assert!(matches!(hint(b"ASK 12 h:1"), Some(Hint::Ask(_))));
        assert!(matches!(hint(b"CLUSTERDOWN Hash slot not served"), Some(Hint::Later)));
        assert!(hint(b"WRONGTYPE no").is_none());
    }
}
