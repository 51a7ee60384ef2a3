//! Ways to nodes: which of them clients reach, and which a load balancer would choose.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// The nodes, as clients and backends see them.
pub struct Ways {
    ways: Vec<Way>,
    /// One bit for each node whose clients are cut off.
    cut: watch::Sender<u64>,
    /// Whether only nodes are chosen that say they are ready, while there are some.
    balanced: bool,
}

struct Way {
    name: Arc<str>,
    address: String,
    ready: AtomicBool,
}

impl Ways {
    pub fn new(nodes: impl IntoIterator<Item = (String, String)>, balanced: bool) -> Self {
        let way = |(name, address): (String, String)| Way { name: name.into(), address, ready: false.into() };
        Self { ways: nodes.into_iter().map(way).collect(), cut: watch::Sender::new(0), balanced }
    }

    pub fn name(&self, at: usize) -> Arc<str> {
        self.way(at).name.clone()
    }

    /// `host:port`.
    pub fn address(&self, at: usize) -> &str {
        &self.way(at).address
    }

    /// Addresses of all nodes, beginning with one of them.
    pub fn addresses_from(&self, first: usize) -> Vec<String> {
        (0..self.ways.len()).map(|step| self.address(first + step).to_owned()).collect()
    }

    fn way(&self, at: usize) -> &Way {
        &self.ways[at % self.ways.len()]
    }

    fn bit(&self, at: usize) -> u64 {
        1 << (at % self.ways.len())
    }

    pub fn set_ready(&self, at: usize, ready: bool) {
        self.way(at).ready.store(ready, Ordering::Relaxed);
    }

    fn is_chosen(&self, at: usize) -> bool {
        !self.balanced || self.way(at).ready.load(Ordering::Relaxed)
    }

    /// Resets all connections of clients to a node, and keeps them away from it.
    pub fn cut(&self, name: &str) {
        self.set_cut(name, true);
    }

    /// Lets clients go to a node again.
    pub fn heal(&self, name: &str) {
        self.set_cut(name, false);
    }

    fn set_cut(&self, name: &str, cut: bool) {
        let Some(at) = self.ways.iter().position(|way| &*way.name == name) else { return };
        self.cut.send_modify(|bits| if cut { *bits |= self.bit(at) } else { *bits &= !self.bit(at) });
    }

    /// The node a backend asks next, `at` or one after it.
    pub fn for_backend(&self, at: usize) -> usize {
        (at..at + self.ways.len()).find(|at| self.is_chosen(*at)).unwrap_or(at)
    }

    /// The node a client connects to next, `at` or one after it. Waits while it reaches none.
    pub async fn for_client(&self, at: usize) -> usize {
        let reached = |cut: u64| move |at: &usize| cut & self.bit(*at) == 0;
        let mut cuts = self.cut.subscribe();
        // The sender lives as long as this does.
        let cut = cuts.wait_for(|cut| (at..at + self.ways.len()).any(|at| reached(*cut)(&at))).await;
        let cut = cut.map_or(0, |cut| *cut);
        let all = || (at..at + self.ways.len()).filter(reached(cut));
        all().find(|at| self.is_chosen(*at)).or_else(|| all().next()).unwrap_or(at)
    }

    /// Waits until clients are cut off from a node.
    pub fn broken(&self, at: usize) -> impl Future<Output = ()> + Send + 'static {
        let (mut cuts, bit) = (self.cut.subscribe(), self.bit(at));
        async move {
            if cuts.wait_for(|cut| cut & bit != 0).await.is_err() {
                std::future::pending().await
            }
        }
    }
}
