//! Where a connection should lead now, and whether one that stands still leads there.

use super::settings::Address;
use super::slot_map::SlotMap;
use rand::seq::IndexedRandom;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The way to one server, followed anew whenever it changes.
#[derive(Clone)]
pub(super) enum Route {
    /// Always the same; several are tried in turn.
    Fixed(Vec<Address>),
    /// What Sentinels name; none while they name nothing.
    Named(watch::Receiver<Option<Address>>),
    /// Any primary of a Cluster.
    AnyNode(watch::Receiver<Arc<SlotMap>>),
    /// Any replica of a Cluster, or a primary when there is none.
    AnyReplica(watch::Receiver<Arc<SlotMap>>),
    /// The primary of one slot.
    Slot(watch::Receiver<Arc<SlotMap>>, u16),
}

impl Route {
    /// Where it leads at the `attempt`-th try; none when nobody knows.
    pub(super) fn now(&mut self, attempt: usize) -> Option<Address> {
        let mut rng = rand::rng();
        match self {
            Self::Fixed(addresses) => addresses.get(attempt % addresses.len().max(1)).cloned(),
            Self::Named(named) => named.borrow_and_update().clone(),
            Self::AnyNode(map) => map.borrow_and_update().primaries().choose(&mut rng).cloned(),
            Self::AnyReplica(map) => {
                let map = map.borrow_and_update();
                let replicas: Vec<_> = map.replicas().collect();
                replicas.choose(&mut rng).copied().or_else(|| map.primaries().choose(&mut rng)).cloned()
            }
            Self::Slot(map, slot) => map.borrow_and_update().owner(*slot).cloned(),
        }
    }

    /// Waits until it may lead elsewhere.
    pub(super) async fn changed(&mut self) {
        let changed = match self {
            Self::Fixed(_) => return std::future::pending().await,
            Self::Named(named) => named.changed().await,
            Self::AnyNode(map) | Self::AnyReplica(map) | Self::Slot(map, _) => map.changed().await,
        };
        if changed.is_err() {
            // Whoever knew is gone, and with it soon the connection.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until it surely does not lead to `address` any more; knowing nothing is not knowing better.
    pub(super) async fn left(&mut self, address: &Address) {
        while self.leads_to(address) {
            self.changed().await;
        }
    }

    fn leads_to(&mut self, address: &Address) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Named(named) => named.borrow_and_update().as_ref().is_none_or(|now| now == address),
            Self::AnyNode(map) | Self::AnyReplica(map) => {
                let map = map.borrow_and_update();
                map.is_empty() || map.knows(address)
            }
            Self::Slot(map, slot) => map.borrow_and_update().owner(*slot).is_none_or(|now| now == address),
        }
    }
}

/// Pauses between tries: short at first, longer while nothing helps, never the same on two nodes.
#[derive(Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(25);
    const LONGEST: Duration = Duration::from_secs(1);

    /// How long to wait before the next try.
    pub(super) fn next(&mut self) -> Duration {
        let pause = (Self::FIRST * 2_u32.pow(self.tries.min(10))).min(Self::LONGEST);
        self.tries += 1;
        pause.mul_f64(rand::random_range(0.5..1.0))
    }

    /// Something helped.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }
}
