//! What counts and measures. Readers see each value whole, and different values a moment apart.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A counter that any thread may add to.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Reads the total.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A counter that only one thread adds to: plain memory writes, no locked instruction.
///
/// Additions from two threads at once lose counts, nothing worse.
#[derive(Debug, Default)]
pub struct LocalCounter(AtomicU64);

impl LocalCounter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Reads the total.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down; any thread may change it.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Reads the value.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down; one thread writes it.
#[derive(Debug, Default)]
pub struct LocalGauge(AtomicI64);

impl LocalGauge {
    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Reads the value.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of histogram buckets, in nanoseconds or in counts, ascending.
pub type Bounds = &'static [u64];

/// Counts values by size.
#[derive(Debug)]
pub struct Histogram {
    bounds: Bounds,
    /// One more than `bounds`: the last takes what exceeds all of them.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// Makes an empty histogram over `bounds`.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            buckets: (0..=bounds.len()).map(|_| AtomicU64::default()).collect(),
            sum: AtomicU64::default(),
        }
    }

    /// Takes one value, in the unit of the bounds.
    pub fn observe(&self, value: u64) {
        let index = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[index].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// Adds this histogram to `total`, which must have been made for the same bounds.
    pub fn add_to(&self, total: &mut HistogramTotal) {
        for (sum, bucket) in total.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Relaxed);
        }
        total.sum += self.sum.load(Relaxed);
    }
}

/// Histograms of several threads added up.
#[derive(Clone, Debug)]
pub struct HistogramTotal {
    /// Upper bounds.
    pub bounds: Bounds,
    /// Values per bucket, not cumulative.
    pub buckets: Vec<u64>,
    /// Sum of all values.
    pub sum: u64,
}

impl HistogramTotal {
    /// Makes an empty total over `bounds`.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, buckets: vec![0; bounds.len() + 1], sum: 0 }
    }

    /// How many values were taken.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// Sub-buckets per power of two: values are known to about three percent.
const STEPS: u64 = 16;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Values of 2^40 nanoseconds, some 18 minutes, and more share the last bucket.
const TOP_BIT: u32 = 40;
const SUMMARY_BUCKETS: usize = ((TOP_BIT - STEP_BITS + 2) as usize) * STEPS as usize;
/// Windows a summary looks back over, and how long each is.
const WINDOWS: usize = 5;
const WINDOW: Duration = Duration::from_secs(120);

/// Quantiles of what was observed in the last ten minutes.
///
/// Units: durations, kept in logarithmic buckets; memory is 12 KiB.
#[derive(Debug)]
pub struct Summary {
    start: Instant,
    windows: [SummaryWindow; WINDOWS],
    count: AtomicU64,
    sum_nanos: AtomicU64,
}

#[derive(Debug)]
struct SummaryWindow {
    /// Which stretch of time since `start` the buckets hold.
    number: AtomicU64,
    buckets: Box<[AtomicU32]>,
}

impl Summary {
    /// Makes an empty summary; `start` is any moment not after the first observation.
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            windows: std::array::from_fn(|_| SummaryWindow {
                number: AtomicU64::default(),
                buckets: (0..SUMMARY_BUCKETS).map(|_| AtomicU32::default()).collect(),
            }),
            count: AtomicU64::default(),
            sum_nanos: AtomicU64::default(),
        }
    }

    /// Takes one duration that ended at `now`.
    pub fn observe(&self, took: Duration, now: Instant) {
        let nanos = took.as_nanos().min(u64::MAX.into()) as u64;
        let number = self.window_number(now);
        let window = &self.windows[number as usize % WINDOWS];
        let held = window.number.load(Relaxed);
        if held != number && window.number.compare_exchange(held, number, Relaxed, Relaxed).is_ok() {
            for bucket in &window.buckets {
                bucket.store(0, Relaxed);
            }
        }
        window.buckets[bucket_of(nanos)].fetch_add(1, Relaxed);
        self.count.fetch_add(1, Relaxed);
        self.sum_nanos.fetch_add(nanos, Relaxed);
    }

    /// Adds this summary to `total`.
    pub fn add_to(&self, total: &mut SummaryTotal, now: Instant) {
        let number = self.window_number(now);
        for window in &self.windows {
            let held = window.number.load(Relaxed);
            if held + WINDOWS as u64 <= number {
                continue;
            }
            for (sum, bucket) in total.buckets.iter_mut().zip(&window.buckets) {
                *sum += u64::from(bucket.load(Relaxed));
            }
        }
        total.count += self.count.load(Relaxed);
        total.sum_nanos += self.sum_nanos.load(Relaxed);
    }

    fn window_number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs() / WINDOW.as_secs()
    }
}

/// Summaries of several threads added up.
#[derive(Clone, Debug)]
pub struct SummaryTotal {
    buckets: Vec<u64>,
    /// How many values were ever taken.
    pub count: u64,
    /// Their sum in nanoseconds.
    pub sum_nanos: u64,
}

impl Default for SummaryTotal {
    fn default() -> Self {
        Self { buckets: vec![0; SUMMARY_BUCKETS], count: 0, sum_nanos: 0 }
    }
}

impl SummaryTotal {
    /// The value that `quantile` (0 to 1) of recent observations do not exceed, in seconds.
    /// Not a number when there are none.
    pub fn quantile(&self, quantile: f64) -> f64 {
        let recent: u64 = self.buckets.iter().sum();
        if recent == 0 {
            return f64::NAN;
        }
        let rank = ((quantile * recent as f64).ceil() as u64).clamp(1, recent);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle_of(index) / 1e9;
            }
        }
        f64::NAN
    }
}

fn bucket_of(nanos: u64) -> usize {
    if nanos < STEPS {
        return nanos as usize;
    }
    let bit = 63 - nanos.leading_zeros();
    if bit > TOP_BIT {
        return SUMMARY_BUCKETS - 1;
    }
    let step = (nanos >> (bit - STEP_BITS)) & (STEPS - 1);
    ((bit - STEP_BITS + 1) as usize) * STEPS as usize + step as usize
}

fn middle_of(bucket: usize) -> f64 {
    let (row, step) = ((bucket as u64) / STEPS, (bucket as u64) % STEPS);
    if row == 0 {
        return step as f64;
    }
    let width = 1u64 << (row - 1);
    ((STEPS + step) * width) as f64 + width as f64 / 2.0
}

/// A duration exposed both as summary and as histogram, as upstream does.
#[derive(Debug)]
pub struct Timing {
    /// For dashboards that query quantiles.
    pub summary: Summary,
    /// For everything else.
    pub histogram: Histogram,
}

impl Timing {
    /// Makes an empty timing; `bounds` are nanoseconds.
    pub fn new(bounds: Bounds, start: Instant) -> Self {
        Self { summary: Summary::new(start), histogram: Histogram::new(bounds) }
    }

    /// Takes one duration that ended at `now`.
    pub fn observe(&self, took: Duration, now: Instant) {
        self.histogram.observe(took.as_nanos().min(u64::MAX.into()) as u64);
        self.summary.observe(took, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_bounds_are_inclusive() {
        let histogram = Histogram::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21] {
            histogram.observe(value);
        }
        let mut total = HistogramTotal::new(&[10, 20]);
        histogram.add_to(&mut total);
        assert_eq!(total.buckets, [2, 2, 1]);
        assert_eq!((total.sum, total.count()), (62, 5));
    }

    #[test]
    fn summary_buckets_cover_every_duration_in_order() {
        let mut previous = 0;
        for bit in 0..64 {
            for step in 0..4u64 {
                let value = (1u64 << bit) | ((1u64 << bit) / 4 * step);
                let bucket = bucket_of(value);
                assert!(bucket >= previous && bucket < SUMMARY_BUCKETS, "{value}");
                previous = bucket;
                if bit < TOP_BIT {
                    let error = (middle_of(bucket) - value as f64).abs() / value as f64;
                    assert!(error <= 0.07, "{value}: {error}");
                }
            }
        }
    }

    #[test]
    fn summary_forgets_after_ten_minutes() {
        let start = Instant::now();
        let summary = Summary::new(start);
        for millis in 1..=100 {
            summary.observe(Duration::from_millis(millis), start);
        }
        let median = |at: Instant| {
            let mut total = SummaryTotal::default();
            summary.add_to(&mut total, at);
            (total.count, total.quantile(0.5))
        };
        let (count, value) = median(start + Duration::from_secs(500));
        assert_eq!(count, 100);
        assert!((value - 0.05).abs() < 0.003, "{value}");
        let (count, value) = median(start + Duration::from_secs(601));
        assert_eq!(count, 100);
        assert!(value.is_nan());

        summary.observe(Duration::from_secs(3), start + Duration::from_secs(601));
        let (_, value) = median(start + Duration::from_secs(601));
        assert!((value - 3.0).abs() < 0.2, "{value}");
    }
}
