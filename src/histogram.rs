//! Durations by upper bounds, as exporters want them.
#![forbid(unsafe_code)]

use crate::sync::untracked::{AtomicU64, Ordering};
use std::fmt;
use std::time::Duration;

/// Counts durations by upper bounds. To record one is two additions to shared words.
///
/// ```
/// use sessile::Histogram;
/// use std::time::Duration;
///
/// const BOUNDS: &[Duration] = &[Duration::from_secs(1), Duration::from_secs(60)];
/// let histogram = Histogram::new(BOUNDS);
/// for seconds in [1, 2, 3, 61] {
///     histogram.record(Duration::from_secs(seconds));
/// }
/// let figures = histogram.figures();
/// let cumulative: Vec<_> = figures.cumulative().map(|(_, count)| count).collect();
/// assert_eq!(cumulative, [1, 3, 4]);
/// assert_eq!((figures.count(), figures.sum()), (4, Duration::from_secs(67)));
/// ```
pub struct Histogram {
    bounds: &'static [Duration],
    /// One more than bounds: the last counts what is above all of them.
    counts: Box<[AtomicU64]>,
    sum_microseconds: AtomicU64,
}

impl Histogram {
    /// A histogram with these upper bounds, which rise.
    pub fn new(bounds: &'static [Duration]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum_microseconds: AtomicU64::new(0) }
    }

    /// Counts a duration. A bound counts what is equal to it.
    pub fn record(&self, duration: Duration) {
        let place = self.bounds.partition_point(|bound| *bound < duration);
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        // ORDERING: Relaxed: words that publish nothing, here and in `figures`.
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum_microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }

    /// What was recorded so far. A duration that is recorded at the same time may be in the counts
    /// and not yet in the sum.
    pub fn figures(&self) -> HistogramFigures {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let sum = Duration::from_micros(self.sum_microseconds.load(Ordering::Relaxed));
        HistogramFigures { bounds: self.bounds, counts, sum }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.figures().fmt(f)
    }
}

/// What a [`Histogram`] has recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct HistogramFigures {
    bounds: &'static [Duration],
    counts: Vec<u64>,
    sum: Duration,
}

impl HistogramFigures {
    /// For each upper bound how many were not above it, and for `None` how many there were: the
    /// buckets of Prometheus.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(&self.counts).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((bound, *sum))
        })
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        self.sum
    }
}
