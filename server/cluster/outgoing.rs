//! Control messages on their way out.

use super::{Controller, To};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Messages that may wait for the controller. They are rare; so many wait only when nothing leaves.
const CAPACITY: usize = 4096;

/// Too many messages wait for the controller: a retry may help, API callers get code 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{CAPACITY} control messages wait to be sent")]
pub struct QueueFull;

/// A bounded queue in front of the controller, so that whoever tells others something never waits, and
/// messages keep their order.
pub(super) struct Outgoing {
    sender: mpsc::Sender<(To, Bytes)>,
    /// Taken by the one task that sends.
    receiver: Mutex<Option<mpsc::Receiver<(To, Bytes)>>>,
}

impl Default for Outgoing {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }
}

impl Outgoing {
    pub(super) fn push(&self, to: To, message: Bytes) -> Result<(), QueueFull> {
        self.sender.try_send((to, message)).map_err(|_| QueueFull)
    }

    /// Sends what comes, one after the other. Returns at once when another task does already.
    pub(super) async fn run(&self, controller: Arc<dyn Controller>) {
        let Some(mut receiver) = self.receiver.lock().take() else { return };
        while let Some((to, message)) = receiver.recv().await {
            if let Err(error) = controller.publish(to, message).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "other nodes were not told");
            }
        }
    }
}
