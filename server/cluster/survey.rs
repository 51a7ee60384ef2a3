//! Asking all nodes and waiting for their answers.

use super::outgoing::QueueFull;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// How an answer is meant; zero is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyCode(pub u32);

impl ReplyCode {
    /// The answer holds what was asked for.
    pub const OK: Self = Self(0);
    /// The node failed.
    pub const INTERNAL: Self = Self(1);
    /// The question cannot be understood.
    pub const INVALID: Self = Self(2);
    /// The node does not know the operation.
    pub const UNKNOWN: Self = Self(3);
}

/// What one node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// How it is meant.
    pub code: ReplyCode,
    /// What was asked for, encoded as the operation says.
    pub data: Bytes,
}

impl Reply {
    /// An answer that holds nothing but its code.
    pub fn code(code: ReplyCode) -> Self {
        Self { code, data: Bytes::new() }
    }

    /// What was asked for.
    pub fn data(data: impl Into<Bytes>) -> Self {
        Self { code: ReplyCode::OK, data: data.into() }
    }
}

/// Answers by node.
pub type Answers = BTreeMap<String, Reply>;

/// Why a survey has no result.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// No node with this identifier is there.
    #[error("there is no node {0:?}")]
    UnknownNode(String),
    /// These nodes did not answer in time: a retry may help.
    #[error("no answer from nodes {0:?}")]
    Timeout(Vec<String>),
    /// The question could not be sent: a retry may help.
    #[error(transparent)]
    Send(#[from] QueueFull),
}

/// Surveys that are under way.
#[derive(Default)]
pub(super) struct Surveys {
    next: AtomicU64,
    open: Arc<Mutex<HashMap<u64, Open>>>,
}

struct Open {
    /// Nodes that have not answered.
    missing: BTreeSet<String>,
    answers: Answers,
    /// Told when nobody is missing any more.
    done: Option<oneshot::Sender<()>>,
}

impl Open {
    fn settle(&mut self) {
        if self.missing.is_empty()
            && let Some(done) = self.done.take()
        {
            // The asker may have given up.
            let _ = done.send(());
        }
    }
}

impl Surveys {
    /// Begins to wait for `nodes`.
    pub(super) fn ask(&self, nodes: Vec<String>) -> Waiting {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let (done, settled) = oneshot::channel();
        let mut open =
            Open { missing: nodes.into_iter().collect(), answers: Answers::new(), done: Some(done) };
        open.settle();
        self.open.lock().insert(id, open);
        Waiting { id, settled, open: self.open.clone() }
    }

    /// Takes an answer. One that nobody waits for is dropped.
    pub(super) fn answered(&self, id: u64, node: String, reply: Reply) {
        let mut surveys = self.open.lock();
        if let Some(open) = surveys.get_mut(&id)
            && open.missing.remove(&node)
        {
            open.answers.insert(node, reply);
            open.settle();
        }
    }

    /// Stops waiting for a node that is gone.
    pub(super) fn gone(&self, node: &str) {
        for open in self.open.lock().values_mut() {
            open.missing.remove(node);
            open.settle();
        }
    }
}

/// A survey that is under way; dropping it ends it.
pub(super) struct Waiting {
    id: u64,
    settled: oneshot::Receiver<()>,
    open: Arc<Mutex<HashMap<u64, Open>>>,
}

impl Waiting {
    /// Number that answers bear.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Waits until all have answered or are gone.
    pub(super) async fn answers(mut self, timeout: Duration) -> Result<Answers, SurveyError> {
        let settled = tokio::time::timeout(timeout, &mut self.settled).await.is_ok();
        let Some(open) = self.open.lock().remove(&self.id) else { return Ok(Answers::new()) };
        if settled { Ok(open.answers) } else { Err(SurveyError::Timeout(open.missing.into_iter().collect())) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.open.lock().remove(&self.id);
    }
}
