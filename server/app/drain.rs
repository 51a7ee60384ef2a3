//! Ending connections at shutdown, at once or so slowly that other nodes can take them.

use crate::reactor::Reactor;
use crate::session::Close;
use std::time::Duration;

/// How often some connections are ended.
const STEP: Duration = Duration::from_millis(100);

/// Part of the time granted within which the last connection is ended.
const SHARE_OF_TIME: f64 = 0.8;

/// Ends all connections with `close`: at once when `rate` is zero, else about `rate` each second, or as many more as
/// are needed to be done within `time`. How many go in one step is left to chance, so that nodes that are restarted
/// together do not send their clients away in step.
pub async fn drain(reactor: &Reactor, close: Close, rate: usize, time: Duration) {
    if rate == 0 {
        return reactor.drain(close);
    }
    let per_second = pace(rate, reactor.open_connections(), time);
    let mut owed = 0.0;
    let mut interval = tokio::time::interval(STEP);
    while reactor.open_connections() > 0 {
        interval.tick().await;
        owed += per_second * STEP.as_secs_f64() * rand::random_range(0.5..1.5);
        let count = owed as usize;
        owed -= count as f64;
        reactor.shed(&close, count);
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
}
