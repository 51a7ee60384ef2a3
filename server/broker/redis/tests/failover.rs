//! Nodes of a Redis Cluster that take over and know less than was acknowledged.

use super::healing::{PATIENCE, Watched, aside};
use super::*;
use crate::broker::StreamPosition;
use tokio::time::Instant;

impl Watched {
    /// A channel on a primary at which this broker does not listen.
    async fn unheard(cluster: &Arc<Cluster>) -> (Self, u16) {
        loop {
            let watched = Self::open(vec![by_nodes(cluster)], &settings()).await;
            let (asked, key) = (cluster.clone(), format!("{{{}}}", watched.channel));
            let pattern = format!("contract.client.*{}*", watched.channel);
            let owner = aside(move || {
                let owner = asked.owner(&key).expect("somebody has the slot").port;
                (!asked.is_heard(owner, &pattern)).then_some(owner)
            });
            if let Some(owner) = owner.await {
                return (watched, owner);
            }
        }
    }

    /// Where the stream is.
    async fn top(&self) -> Option<StreamPosition> {
        let nothing = HistoryFilter { limit: Some(0), ..HistoryFilter::default() };
        Some(self.broker.history(&self.channel, nothing, Duration::ZERO).await.ok()?.position)
    }

    /// The stream becomes another one, and subscribers are told to compare, though nobody publishes.
    async fn is_renewed(&mut self, before: &StreamPosition) {
        let deadline = Instant::now() + PATIENCE;
        while self.top().await.is_none_or(|top| top.epoch == before.epoch) || self.gaps() == 0 {
            assert!(Instant::now() < deadline, "nobody notices what is gone");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_primary_nobody_listens_to_forgets_is_noticed_without_another_publication() {
    let cluster = Arc::new(aside(Cluster::start).await);
    let (mut watched, owner) = Watched::unheard(&cluster).await;
    let kept = watched.delivers().await;
    let losing = cluster.clone();
    aside(move || losing.hold_back(owner)).await;
    let lost = watched.delivers().await;
    assert_eq!(lost.epoch, kept.epoch);
    let losing = cluster.clone();
    aside(move || {
        losing.at(owner).kill();
        losing.replaced(owner);
    })
    .await;
    watched.is_renewed(&lost).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_was_restarted_before_anybody_took_over_is_compared() {
    let cluster = Arc::new(aside(Cluster::start).await);
    let (mut watched, owner) = Watched::unheard(&cluster).await;
    let before = watched.delivers().await;
    let losing = cluster.clone();
    // Faster than the others miss it, and without what it knew.
    aside(move || losing.at(owner).restart()).await;
    watched.is_renewed(&before).await;
}
