//! Time as two readings taken together: a monotonic one to measure with, and the calendar one
//! that tokens and expirations speak of.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// Whole seconds since 1970-01-01 UTC, as token claims count them.
    pub fn seconds(self) -> i64 {
        (self.0 / 1000) as i64
    }
}

/// One moment, read once and passed down.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For durations and deadlines; never goes backwards.
    pub instant: Instant,
    /// For expirations that other machines agreed on.
    pub unix: UnixMillis,
}

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// Reads the current moment.
    fn now(&self) -> Now;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { instant: Instant::now(), unix: UnixMillis(unix.as_millis() as u64) }
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct VirtualClock {
    start: Instant,
    start_unix: u64,
    elapsed_millis: AtomicU64,
}

impl VirtualClock {
    /// Starts at `unix_millis` on the calendar.
    pub fn new(unix_millis: u64) -> Self {
        Self { start: Instant::now(), start_unix: unix_millis, elapsed_millis: AtomicU64::new(0) }
    }

    /// Moves time forward.
    pub fn advance(&self, by: Duration) {
        self.elapsed_millis.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Now {
        let elapsed = self.elapsed_millis.load(Ordering::SeqCst);
        Now {
            instant: self.start + Duration::from_millis(elapsed),
            unix: UnixMillis(self.start_unix + elapsed),
        }
    }
}
