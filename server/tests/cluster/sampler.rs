//! Looks at nodes all the time: whether they say that they are ready, and how much memory they use.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::log::{Event, Log};
use crate::node::Node;
use crate::publisher::Api;
use crate::ways::Ways;

/// How often nodes are looked at.
const EVERY: Duration = Duration::from_millis(50);

/// Looks for readiness between two looks at memory.
const MEMORY_EVERY: u32 = 4;

/// Longest wait for `/ready`.
const PATIENCE: Duration = Duration::from_millis(500);

/// Who looks.
#[derive(Clone)]
pub struct Sampler {
    pub api: Api,
    pub log: Arc<Log>,
    pub ways: Arc<Ways>,
}

impl Sampler {
    /// Looks at a node until the set is dropped.
    pub fn watch(&self, tasks: &mut JoinSet<()>, beside: &Handle, at: usize, node: Arc<Node>) {
        let sampler = self.clone();
        let task = async move {
            let mut interval = interval(EVERY);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut before = None;
            for look in 0_u32.. {
                interval.tick().await;
                sampler.readiness(at, &node, &mut before).await;
                if look % MEMORY_EVERY == 0
                    && let Some(rss) = node.memory()
                {
                    sampler.log.write(Event::Memory { node: sampler.ways.name(at), rss });
                }
            }
        };
        tasks.spawn_on(task, beside);
    }

    async fn readiness(&self, at: usize, node: &Node, before: &mut Option<bool>) {
        let status = timeout(PATIENCE, self.api.status(self.ways.address(at), node.ready_path())).await;
        let status = status.ok().flatten();
        self.ways.set_ready(at, status == Some(200));
        // No answer is none: the process may not be there.
        let Some(ready) = status.map(|status| status == 200) else { return };
        if before.replace(ready) != Some(ready) {
            self.log.write(Event::Readiness { node: self.ways.name(at), ready });
        }
    }
}
