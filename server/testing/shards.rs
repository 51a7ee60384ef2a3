//! Ways to reach the Redis servers of tests, and servers that tests share.

use super::redis::{Cluster, SentinelSet, Server};
use crate::stores::redis::{Address, Credentials, Dial, Shard, ShardSettings, Topology, address_list};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

/// How any of them is dialled.
pub(crate) fn dial() -> Dial {
    Dial {
        credentials: Credentials::default(),
        tls: None,
        db: 0,
        force_resp2: false,
        connect_timeout: Duration::from_secs(5),
        io_timeout: Duration::from_secs(4),
    }
}

fn by(topology: Topology) -> ShardSettings {
    ShardSettings { topology, dial: dial(), replicas: false }
}

/// One server, by its address.
pub(crate) fn single(server: &Server) -> ShardSettings {
    by(Topology::Single(vec![Address::tcp(server.address())]))
}

/// The primary Sentinels name.
pub(crate) fn by_sentinels(set: &SentinelSet) -> ShardSettings {
    let addresses = address_list(&set.addresses(), "sentinel").expect("are addresses");
    by(Topology::Sentinel { addresses, primary: SentinelSet::NAME.to_owned(), dial: dial() })
}

/// A Cluster, by its nodes.
pub(crate) fn by_nodes(cluster: &Cluster) -> ShardSettings {
    by(Topology::Cluster(address_list(&cluster.addresses(), "cluster").expect("are addresses")))
}

/// Connects to all of them.
pub(crate) async fn connect(shards: Vec<ShardSettings>) -> Vec<Shard> {
    let mut connected = Vec::new();
    for shard in shards {
        connected.push(Shard::connect(shard).await.expect("redis is reached"));
    }
    connected
}

/// Servers that tests share, started by the first and ended with the last.
pub(crate) trait Shared: Sized + Send + Sync + 'static {
    /// Starts one more; blocks.
    fn start_own() -> Self;
    /// Where the shared one is known.
    fn known() -> &'static Mutex<Weak<Self>>;

    /// The shared one.
    fn shared() -> impl Future<Output = Arc<Self>> + Send {
        let get = || {
            let mut known = Self::known().lock().unwrap_or_else(PoisonError::into_inner);
            known.upgrade().unwrap_or_else(|| {
                let started = Arc::new(Self::start_own());
                *known = Arc::downgrade(&started);
                started
            })
        };
        async move { tokio::task::spawn_blocking(get).await.expect("servers start") }
    }
}

macro_rules! shared {
    ($servers:ty, $start:expr) => {
        impl Shared for $servers {
            fn start_own() -> Self {
                $start
            }
            fn known() -> &'static Mutex<Weak<Self>> {
                static KNOWN: LazyLock<Mutex<Weak<$servers>>> = LazyLock::new(Mutex::default);
                &KNOWN
            }
        }
    };
}

shared!(Server, Server::start(&[]));
shared!([Server; 2], [Server::start(&[]), Server::start(&[])]);
shared!(SentinelSet, SentinelSet::start());
shared!(Cluster, Cluster::start());
