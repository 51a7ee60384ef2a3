//! One Redis, whatever it is made of: asked by key, it answers or says why not.

use super::cluster::Cluster;
use super::error::RedisError;
use super::link::Link;
use super::place::slot_of;
use super::resp::{Command, Value};
use super::route::Route;
use super::script::Script;
use super::sentinel::Sentinels;
use super::settings::{Dial, ShardSettings, Topology, settings};
use super::socket::{Purpose, Socket};
use super::turns::{Slots, Watcher, Watchers};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// Tries to reach a server at the start of the process before it gives up.
const START_TRIES: usize = 3;

/// Pause before a command is sent again to a server that cannot take it yet.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// One of the Redis between which channels are spread. Cheap to clone.
#[derive(Clone)]
pub struct Shard {
    shared: Arc<Shared>,
}

struct Shared {
    name: Arc<str>,
    dial: Dial,
    kind: Kind,
    watchers: Arc<Watchers>,
}

enum Kind {
    Single { link: Link, route: Route },
    Sentinel { link: Link, replica: Option<Link>, sentinels: Sentinels },
    Cluster { cluster: Arc<Cluster>, replicas: bool },
}

impl Shard {
    /// Connects. From then on connections are made anew by themselves.
    ///
    /// # Errors
    /// `Unreachable` when nobody answers within some tries; `Settings` when settings do not fit what answers.
    pub async fn connect(settings: ShardSettings) -> Result<Self, RedisError> {
        let ShardSettings { topology, dial, replicas } = settings;
        let watchers = Arc::<Watchers>::default();
        let (name, kind) = match topology {
            Topology::Single(addresses) => {
                let name = listed(&addresses);
                if probe(&addresses, &dial).await?.greeting.cluster {
                    (name.clone(), cluster(&name, addresses, &dial, replicas, &watchers).await?)
                } else if replicas {
                    return Err(settings_error("replicas are only known to sentinels and clusters"));
                } else {
                    let route = Route::Fixed(addresses);
                    let link = data_link(&name, route.clone(), &dial, &watchers);
                    (name, Kind::Single { link, route })
                }
            }
            Topology::Sentinel { addresses, primary, dial: sentinel_dial } => {
                let sentinels = Sentinels::start(&addresses, &primary, &sentinel_dial, replicas);
                let link = data_link(&primary, sentinels.primary(), &dial, &watchers);
                let replica = replicas.then(|| {
                    let name = format!("replica of {primary}");
                    Link::start(&name, sentinels.replica(), dial.clone(), Purpose::Replica)
                });
                (primary, Kind::Sentinel { link, replica, sentinels })
            }
            Topology::Cluster(seeds) => {
                let name = listed(&seeds);
                (name.clone(), cluster(&name, seeds, &dial, replicas, &watchers).await?)
            }
        };
        let shard = Self { shared: Arc::new(Shared { name: name.into(), dial, kind, watchers }) };
        shard.first_answer().await?;
        Ok(shard)
    }

    /// Waits until something answers.
    async fn first_answer(&self) -> Result<(), RedisError> {
        let ping = Command::new([&b"PING"[..]]);
        let mut answer = Ok(());
        for _ in 0..START_TRIES {
            answer = self.request(b"", &ping).await.map(drop);
            if answer.is_ok() {
                break;
            }
        }
        answer
    }

    /// Name for logs: addresses, or what Sentinels call it.
    pub fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    /// What it is: `standalone`, `sentinel` or `cluster`.
    pub fn mode(&self) -> &'static str {
        match self.shared.kind {
            Kind::Single { .. } => "standalone",
            Kind::Sentinel { .. } => "sentinel",
            Kind::Cluster { .. } => "cluster",
        }
    }

    /// Whether keys must name their slot.
    pub fn is_cluster(&self) -> bool {
        matches!(self.shared.kind, Kind::Cluster { .. })
    }

    /// How long a request waits for a connection to come up.
    pub fn patience(&self) -> Duration {
        self.shared.dial.connect_timeout
    }

    /// Tells `watcher` from now on which keys others may answer for, until it is dropped.
    pub fn watch(&self, watcher: Weak<dyn Watcher>) {
        self.shared.watchers.add(watcher);
    }

    /// How connections are made.
    pub(super) fn dial(&self) -> &Dial {
        &self.shared.dial
    }

    /// Asks the server that has `key`. While the connection stands, requests with equal keys are carried out in the
    /// order of their first polls.
    ///
    /// # Errors
    /// `Refused` with what Redis says; others as they are named.
    pub async fn request(&self, key: &[u8], command: &Command) -> Result<Value, RedisError> {
        let link = match &self.shared.kind {
            Kind::Cluster { cluster, .. } => return refused(cluster.request(slot_of(key), command).await?),
            Kind::Single { link, .. } | Kind::Sentinel { link, .. } => link,
        };
        let mut deadline = None;
        loop {
            let value = link.request(&[command]).await?;
            let Value::Error(text) = &value else { return Ok(value) };
            let demoted = text.starts_with(b"READONLY");
            if !demoted && !text.starts_with(b"LOADING") && !text.starts_with(b"MASTERDOWN") {
                return refused(value);
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.patience());
            if Instant::now() >= deadline {
                return refused(value);
            }
            if demoted {
                link.renew("it is no primary any more");
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// As [`request`](Self::request), for what may lag: a replica is asked where that is configured.
    ///
    /// # Errors
    /// As there.
    pub async fn request_lagging(&self, key: &[u8], command: &Command) -> Result<Value, RedisError> {
        match &self.shared.kind {
            Kind::Sentinel { replica: Some(replica), .. } => match replica.request(&[command]).await {
                Ok(value) if !matches!(value, Value::Error(_)) => Ok(value),
                _ => self.request(key, command).await,
            },
            Kind::Cluster { cluster, replicas: true } => {
                refused(cluster.request_replica(slot_of(key), command).await?)
            }
            _ => self.request(key, command).await,
        }
    }

    /// Runs a script; the first key says where.
    ///
    /// # Errors
    /// As for [`request`](Self::request).
    pub async fn run(
        &self,
        script: &Script,
        keys: &[&[u8]],
        arguments: &[&[u8]],
    ) -> Result<Value, RedisError> {
        let key = keys.first().copied().unwrap_or_default();
        match self.request(key, &script.by_hash(keys, arguments)).await {
            Err(RedisError::Refused(reason)) if reason.starts_with("NOSCRIPT") => {
                self.request(key, &script.in_full(keys, arguments)).await
            }
            result => result,
        }
    }

    /// The way to a server for subscriptions: any that hears all channels, or the one with `slot`.
    pub(super) fn subscriptions(&self, slot: Option<u16>) -> (Route, Purpose) {
        match &self.shared.kind {
            Kind::Single { route, .. } => (route.clone(), Purpose::Data),
            Kind::Sentinel { replica: Some(_), sentinels, .. } => (sentinels.replica(), Purpose::Replica),
            Kind::Sentinel { sentinels, .. } => (sentinels.primary(), Purpose::Data),
            Kind::Cluster { cluster, replicas } => match slot {
                Some(slot) => (Route::Slot(cluster.map(), slot), Purpose::Data),
                None if *replicas => (Route::AnyReplica(cluster.map()), Purpose::Data),
                None => (Route::AnyNode(cluster.map()), Purpose::Data),
            },
        }
    }

    /// Says that a server is not where it was.
    pub(super) fn doubt(&self) {
        if let Kind::Cluster { cluster, .. } = &self.shared.kind {
            cluster.doubt();
        }
    }
}

fn refused(value: Value) -> Result<Value, RedisError> {
    match value {
        Value::Error(text) => Err(RedisError::Refused(String::from_utf8_lossy(&text).as_ref().into())),
        value => Ok(value),
    }
}

/// The connection for requests to a server that has all keys.
fn data_link(name: &str, route: Route, dial: &Dial, watchers: &Arc<Watchers>) -> Link {
    let watchers = watchers.clone();
    let returned = Box::new(move || watchers.tell(&Slots::all()));
    Link::start_watched(name, route, dial.clone(), Purpose::Data, returned)
}

async fn cluster(
    name: &str,
    seeds: Vec<super::settings::Address>,
    dial: &Dial,
    replicas: bool,
    watchers: &Arc<Watchers>,
) -> Result<Kind, RedisError> {
    let mut result = Err(settings_error("no cluster address"));
    for _ in 0..START_TRIES {
        result = Cluster::start(name, seeds.clone(), dial.clone(), watchers.clone()).await;
        if result.is_ok() {
            break;
        }
    }
    Ok(Kind::Cluster { cluster: result?, replicas })
}

/// Asks the first server that answers what it is.
async fn probe(addresses: &[super::settings::Address], dial: &Dial) -> Result<Socket, RedisError> {
    let mut result = Err(settings_error("no redis address"));
    for at in 0..START_TRIES.max(addresses.len()) {
        if let Some(address) = addresses.get(at % addresses.len().max(1)) {
            result = Socket::open(address, dial, Purpose::Data).await;
        }
        if result.is_ok() {
            break;
        }
    }
    result
}

fn listed(addresses: &[super::settings::Address]) -> String {
    addresses.iter().map(super::settings::Address::as_str).collect::<Vec<_>>().join(",")
}

fn settings_error(text: &str) -> RedisError {
    settings(text)
}
