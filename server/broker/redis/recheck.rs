//! After a loss or another doubt, compares streams with what was seen in them before.

use super::channels::Channels;
use super::inlet::Inlet;
use super::witness::Seen;
use futures_util::{StreamExt, stream};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// Pauses before comparisons. Once is not enough: a primary that was replaced takes publications until it learns of
/// it, and connections move at different times. They grow as what can be overtaken meanwhile does.
const PAUSES: [Duration; 7] = [
    Duration::ZERO,
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// Streams read at the same time.
const AT_ONCE: usize = 64;

/// The task that compares, ended when dropped.
pub(super) struct Recheck(AbortHandle);

impl Drop for Recheck {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Recheck {
    /// Waits for doubts of the witness.
    pub(super) fn start(channels: Arc<Channels>, inlet: Arc<Inlet>) -> Self {
        let task = async move {
            loop {
                channels.witness.doubted().await;
                rounds(&channels, &inlet).await;
                channels.witness.believe();
            }
        };
        Self(tokio::spawn(task).abort_handle())
    }
}

/// Compares again and again for a while; another doubt begins it anew.
async fn rounds(channels: &Channels, inlet: &Inlet) {
    let mut seen: HashSet<(Arc<str>, Seen)> = HashSet::new();
    let mut pauses = PAUSES.iter();
    while let Some(pause) = pauses.next() {
        tokio::select! {
            () = tokio::time::sleep(*pause) => {}
            () = channels.witness.doubted() => pauses = PAUSES.iter(),
        }
        seen.extend(channels.witness.take());
        let compared = stream::iter(std::mem::take(&mut seen)).map(|(channel, one)| async move {
            let went_back = channels.went_back(&channel, &one).await;
            (channel, one, went_back)
        });
        let mut compared = compared.buffer_unordered(AT_ONCE);
        let mut renewed = 0_u64;
        while let Some((channel, one, went_back)) = compared.next().await {
            if let Ok(true) = went_back {
                renewed += 1;
                channels.tails.forget(&channel);
                if let Some(receiver) = inlet.receiver.get() {
                    receiver.gap(&channel);
                }
            } else {
                // Also when Redis does not answer: it is asked again.
                seen.insert((channel, one));
            }
        }
        if renewed > 0 {
            let redis = &**channels.shard.name();
            tracing::warn!(
                redis,
                channels = renewed,
                "redis lost publications; clients are told to start over"
            );
        }
    }
}
