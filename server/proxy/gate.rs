//! What stands before an application: it lets through as many calls as the application bears, and none for a
//! while when it bears none.

use crate::seams::Clock;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Calls that run at once.
pub(super) const RUNNING: usize = 1024;

/// Calls that wait for one of those to end.
const WAITING: usize = 8192;

/// Failures in a row after which the application is left alone.
const PATIENCE: u32 = 5;

/// How long it is left alone before one call finds out whether it is back.
const REST: Duration = Duration::from_secs(1);

/// The gate of one event and proxy.
pub(super) struct Gate {
    running: Semaphore,
    waiting: Semaphore,
    breaker: Mutex<Breaker>,
    clock: Arc<dyn Clock>,
}

/// What is believed of the application.
enum Breaker {
    /// It answers; this many calls in a row did not go well.
    Closed(u32),
    /// It does not; from this moment on one call may try.
    Open(Instant),
    /// One call tries.
    Probing,
}

/// What a verdict changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing worth telling.
    None,
    /// The application is left alone from now on.
    Opened,
    /// It is back.
    Closed,
}

/// The permission to ask. Dropping it without a verdict says nothing about the application.
pub(super) struct Pass<'g> {
    gate: &'g Gate,
    probe: bool,
    _running: SemaphorePermit<'g>,
}

impl Gate {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            running: Semaphore::new(RUNNING),
            waiting: Semaphore::new(WAITING),
            breaker: Mutex::new(Breaker::Closed(0)),
            clock,
        }
    }

    /// Waits for a place; none when the application is left alone or too many wait already.
    pub async fn enter(&self) -> Option<Pass<'_>> {
        let running = match self.running.try_acquire() {
            Ok(running) => running,
            Err(_) => {
                let _place = self.waiting.try_acquire().ok()?;
                self.running.acquire().await.ok()?
            }
        };
        let probe = self.admit()?;
        Some(Pass { gate: self, probe, _running: running })
    }

    /// Whether one more call may start, and whether it is the one that tries.
    fn admit(&self) -> Option<bool> {
        let mut breaker = self.breaker.lock();
        match *breaker {
            Breaker::Closed(_) => Some(false),
            Breaker::Open(until) if until <= self.clock.now().instant => {
                *breaker = Breaker::Probing;
                Some(true)
            }
            Breaker::Open(_) | Breaker::Probing => None,
        }
    }
}

impl Pass<'_> {
    /// Tells whether the application showed signs of life.
    pub fn judge(mut self, alive: bool) -> Turn {
        let mut breaker = self.gate.breaker.lock();
        let probe = std::mem::take(&mut self.probe);
        if alive {
            let was_closed = matches!(*breaker, Breaker::Closed(_));
            *breaker = Breaker::Closed(0);
            return if was_closed { Turn::None } else { Turn::Closed };
        }
        let until = self.gate.clock.now().instant + REST;
        match &mut *breaker {
            Breaker::Closed(failures) if *failures + 1 < PATIENCE => {
                *failures += 1;
                Turn::None
            }
            Breaker::Closed(_) => {
                *breaker = Breaker::Open(until);
                Turn::Opened
            }
            Breaker::Probing if probe => {
                *breaker = Breaker::Open(until);
                Turn::None
            }
            // Calls that began before it was opened.
            Breaker::Open(_) | Breaker::Probing => Turn::None,
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe {
            // Whoever wanted the answer is gone; the next call tries.
            *self.gate.breaker.lock() = Breaker::Open(self.gate.clock.now().instant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seams::VirtualClock;
    use futures_util::FutureExt as _;

    fn gate() -> (Gate, Arc<VirtualClock>) {
        let clock = Arc::new(VirtualClock::new(0));
        (Gate::new(clock.clone()), clock)
    }

    /// Enters without waiting: the outer `None` would have to wait.
    fn enter(gate: &Gate) -> Option<Option<Pass<'_>>> {
        gate.enter().now_or_never()
    }

    fn pass(gate: &Gate) -> Pass<'_> {
        enter(gate).flatten().expect("the gate is open")
    }

    fn break_open(gate: &Gate) {
        for _ in 1..PATIENCE {
            assert_eq!(pass(gate).judge(false), Turn::None);
        }
        assert_eq!(pass(gate).judge(false), Turn::Opened);
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_call_a_second_tries() {
        let (gate, clock) = gate();
        for _ in 1..PATIENCE {
            pass(&gate).judge(false);
        }
        pass(&gate).judge(true);
        break_open(&gate);
        assert!(enter(&gate).unwrap().is_none());

        clock.advance(REST);
        let probe = pass(&gate);
        assert!(enter(&gate).unwrap().is_none(), "one call tries, the others are refused");
        assert_eq!(probe.judge(false), Turn::None);
        assert!(enter(&gate).unwrap().is_none(), "it was no better");

        clock.advance(REST);
        assert_eq!(pass(&gate).judge(true), Turn::Closed);
        assert_eq!(pass(&gate).judge(false), Turn::None);
    }

    #[test]
    fn a_probe_nobody_waits_for_any_more_hands_its_task_on() {
        let (gate, clock) = gate();
        break_open(&gate);
        clock.advance(REST);
        drop(pass(&gate));
        assert_eq!(pass(&gate).judge(true), Turn::Closed);
    }

    #[test]
    fn calls_from_before_it_opened_do_not_count_as_the_probe() {
        let (gate, clock) = gate();
        let old = pass(&gate);
        break_open(&gate);
        clock.advance(REST);
        let probe = pass(&gate);
        old.judge(false);
        assert!(enter(&gate).unwrap().is_none());
        assert_eq!(probe.judge(true), Turn::Closed);
    }

    #[test]
    fn more_calls_wait_and_more_than_can_wait_are_refused() {
        let (gate, _) = gate();
        let mut running: Vec<_> = (0..RUNNING).map(|_| pass(&gate)).collect();
        let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(gate.enter())).collect();
        for call in &mut waiting {
            assert!(call.as_mut().now_or_never().is_none());
        }
        assert!(enter(&gate).unwrap().is_none());
        running.pop().unwrap().judge(true);
        assert!(waiting[0].as_mut().now_or_never().unwrap().is_some());
    }
}
