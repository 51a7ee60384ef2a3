//! When to come back, for peers that are refused or cut off.

use http::HeaderValue;
use std::time::Duration;

/// Shortest and longest pause, in milliseconds.
const PAUSES: std::ops::RangeInclusive<u64> = 1_000..=5_000;

/// A pause that is hardly the same for two peers, so that those who were cut off at the same moment do not all come
/// back at the next.
pub fn pause() -> Duration {
    Duration::from_millis(rand::random_range(PAUSES))
}

/// The value of `Retry-After`, in seconds.
///
/// Source: RFC 9110 section 10.2.3.
pub fn retry_after() -> HeaderValue {
    HeaderValue::from(pause().as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_spread_over_the_range() {
        let mut seconds: Vec<u64> = (0..1000).map(|_| pause().as_secs()).collect();
        seconds.sort_unstable();
        seconds.dedup();
        assert!(seconds.iter().all(|seconds| (1..=5).contains(seconds)), "{seconds:?}");
        assert!(seconds.len() >= 4, "{seconds:?}");
    }
}
