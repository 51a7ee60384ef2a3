//! What is counted about calls to the application, per way of asking, event and proxy.

use super::instruments::{Counter, Gauge, Timing};

/// Calls of one event to one proxy.
#[derive(Debug)]
pub struct ProxyCalls {
    /// How long calls took that were made and whose answer was still wanted.
    pub durations: Timing,
    /// Calls without an answer.
    pub errors: Counter,
    pub(super) inflight: Gauge,
}

/// A call that is under way until this is dropped.
#[derive(Debug)]
pub struct CallUnderway<'c>(&'c Gauge);

impl ProxyCalls {
    pub(super) fn new(durations: Timing) -> Self {
        Self { durations, errors: Counter::default(), inflight: Gauge::default() }
    }

    /// Counts a call as under way.
    pub fn begin(&self) -> CallUnderway<'_> {
        self.inflight.add(1);
        CallUnderway(&self.inflight)
    }
}

impl Drop for CallUnderway<'_> {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}
