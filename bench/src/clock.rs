//! Time as nanoseconds since the start of the program, small enough to travel in a payload.

use std::time::Instant;

/// A monotonic clock; copies share their origin.
#[derive(Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now_ns(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// An open-loop schedule: send times are fixed in advance, however late the sender or the server is.
pub struct Pacer {
    start_ns: u64,
    rate: f64,
    issued: u64,
    total: u64,
}

impl Pacer {
    /// Plans `total` sends at `rate` per second, the first one at `start_ns`.
    pub fn new(start_ns: u64, rate: f64, total: u64) -> Self {
        Self { start_ns, rate, issued: 0, total }
    }

    /// Returns the intended time of the next send if it is due.
    pub fn due(&mut self, now_ns: u64) -> Option<u64> {
        let intended = self.next_ns()?;
        if intended > now_ns {
            return None;
        }
        self.issued += 1;
        Some(intended)
    }

    /// Returns the intended time of the next send, or `None` after the last.
    pub fn next_ns(&self) -> Option<u64> {
        (!self.is_finished()).then(|| self.start_ns + (self.issued as f64 * 1e9 / self.rate) as u64)
    }

    pub fn is_finished(&self) -> bool {
        self.issued >= self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_sender_gets_the_times_it_missed() {
        let mut pacer = Pacer::new(1_000, 1e6, 3);
        assert_eq!(pacer.due(999), None);
        assert_eq!(pacer.due(5_000), Some(1_000));
        assert_eq!(pacer.due(5_000), Some(2_000));
        assert_eq!(pacer.due(5_000), Some(3_000));
        assert_eq!(pacer.due(9_000), None);
        assert!(pacer.is_finished());
    }
}
