//! How far shards are behind with deliveries, and who waits until they have caught up.
//!
//! Publishers wait before they give a publication to the broker, never under its locks; readers of a remote
//! broker wait before they hand on what they read. Shards never wait, so no two can wait for each other.

use crate::broker::{BrokerError, MaybeReady};
use std::ops::{Add, AddAssign, SubAssign};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Deliveries that wait for one shard before publishers do.
const HIGH: Load = Load { deliveries: 4096, bytes: 16 << 20 };

/// What must be left of them before publishers go on: with more the shard would hardly notice the pause, and
/// with less it could run dry.
const LOW: Load = Load { deliveries: 1024, bytes: 4 << 20 };

/// How long a publisher waits. After it the publication is refused with a temporary error.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deliveries that wait for a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) deliveries: usize,
    /// Bytes of their payloads.
    pub(super) bytes: usize,
}

impl Load {
    pub(super) fn is_high(self) -> bool {
        self.deliveries >= HIGH.deliveries || self.bytes >= HIGH.bytes
    }

    pub(super) fn is_low(self) -> bool {
        self.deliveries <= LOW.deliveries && self.bytes <= LOW.bytes
    }
}

impl Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { deliveries: self.deliveries + other.deliveries, bytes: self.bytes + other.bytes }
    }
}

impl AddAssign for Load {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Load {
    fn sub_assign(&mut self, other: Self) {
        self.deliveries -= other.deliveries;
        self.bytes -= other.bytes;
    }
}

/// Connections did not take publications as fast as they came, for as long as a publisher waits.
#[derive(Debug, thiserror::Error)]
#[error("deliveries of this node are more than {} s behind", PATIENCE.as_secs())]
struct Behind;

/// Which shards are behind.
#[derive(Default)]
pub(super) struct Pressure {
    /// How many shards are.
    behind: AtomicUsize,
    relieved: Notify,
}

impl Pressure {
    /// A shard fell behind.
    pub(super) fn rise(&self) {
        self.behind.fetch_add(1, Ordering::SeqCst);
    }

    /// A shard has caught up.
    pub(super) fn fall(&self) {
        if self.behind.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.relieved.notify_waiters();
        }
    }

    /// Whether some shard is behind.
    pub(super) fn is_high(&self) -> bool {
        self.behind.load(Ordering::SeqCst) > 0
    }

    /// Waits until no shard is behind.
    pub(super) fn relief(self: &Arc<Self>) -> MaybeReady<()> {
        if !self.is_high() {
            return MaybeReady::ready(());
        }
        let pressure = self.clone();
        MaybeReady::later(async move {
            loop {
                // Made before the look, so that what falls in between is noticed.
                let relieved = pressure.relieved.notified();
                if !pressure.is_high() {
                    return;
                }
                relieved.await;
            }
        })
    }

    /// As [`Pressure::relief`], for as long as a publisher waits.
    pub(super) fn patient_relief(self: &Arc<Self>) -> MaybeReady<Result<(), BrokerError>> {
        match self.relief() {
            MaybeReady::Ready(_) => MaybeReady::ready(Ok(())),
            MaybeReady::Later(relief) => MaybeReady::later(async move {
                let waited = tokio::time::timeout(PATIENCE, relief).await;
                waited.map_err(|_| BrokerError::Unavailable(Box::new(Behind)))
            }),
        }
    }
}
