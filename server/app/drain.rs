//! Ending connections at shutdown so slowly that other nodes can take them.

use crate::reactor::Reactor;
use crate::session::Close;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// How often some connections are ended.
const STEP: Duration = Duration::from_millis(100);

/// Largest shift of a step, as a share of it.
const JITTER: f64 = 0.25;

/// Most connections that go in one step, as a share of the usual.
const MOST_AT_ONCE: f64 = 1.15;

/// Part of the time granted within which the last connection is ended.
const SHARE_OF_TIME: f64 = 0.8;

/// Ends all connections with `close`, about `rate` each second, or as many more as are needed to be done within `time`.
/// When some go is left to chance a little, so that nodes that are restarted together do not send their clients away in
/// step.
pub async fn drain(reactor: &Reactor, close: Close, rate: usize, time: Duration) {
    let mut pace = Pace::new(rate, reactor.open_connections(), time);
    let began = Instant::now();
    let mut interval = tokio::time::interval(STEP);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while reactor.open_connections() > 0 {
        interval.tick().await;
        let count = pace.due(began.elapsed(), rand::random_range(-JITTER..JITTER));
        reactor.shed(&close, count);
    }
}

/// How many connections have to go by when.
struct Pace {
    per_second: f64,
    /// Ended so far.
    ended: f64,
}

impl Pace {
    fn new(rate: usize, connections: u64, time: Duration) -> Self {
        Self { per_second: pace(rate, connections, time), ended: 0.0 }
    }

    /// Connections to end now, `elapsed` after the beginning and shifted by `chance` steps. A thread that was late
    /// makes up for it slowly: others have to take these clients.
    fn due(&mut self, elapsed: Duration, chance: f64) -> usize {
        let step = self.per_second * STEP.as_secs_f64();
        let until = self.per_second * elapsed.as_secs_f64() + step * (1.0 + chance);
        let count = (until - self.ended).clamp(0.0, step * MOST_AT_ONCE).floor();
        self.ended += count;
        count as usize
    }
}

/// Connections to end each second.
fn pace(rate: usize, connections: u64, time: Duration) -> f64 {
    let least = connections as f64 / (time.as_secs_f64() * SHARE_OF_TIME).max(STEP.as_secs_f64());
    least.max(rate as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_rate_holds_unless_time_would_not_suffice() {
        let time = Duration::from_secs(10);
        assert_eq!(pace(100, 50, time), 100.0);
        assert_eq!(pace(100, 8_000, time), 1_000.0);
        assert_eq!(pace(1, 10, Duration::ZERO), 100.0);
    }

    #[test]
    fn no_second_ends_many_more_than_another() {
        let mut pace = Pace::new(500, 8_000, Duration::from_secs(30));
        // The worst that chance can do, and a second in which nothing could be done.
        let steps = (0..150_u32).filter(|step| !(50..60).contains(step));
        let ended: Vec<(Duration, usize)> = steps
            .map(|step| {
                let (elapsed, chance) = (STEP * step, if step % 20 < 10 { -JITTER } else { JITTER });
                (elapsed, pace.due(elapsed, chance))
            })
            .collect();
        for (from, _) in &ended {
            let second = ended.iter().filter(|(at, _)| at >= from && *at < *from + STEP * 10);
            let count: usize = second.map(|(_, count)| count).sum();
            assert!(count <= 600, "{count} from {from:?} on");
        }
        let before: usize = ended.iter().filter(|(at, _)| *at < STEP * 50).map(|(_, count)| count).sum();
        assert!((2400..=2525).contains(&before), "{before}");
        let all: usize = ended.iter().map(|(_, count)| count).sum();
        assert!((7400..=7525).contains(&all), "{all}");
    }
}
