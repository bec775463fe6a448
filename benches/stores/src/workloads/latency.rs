//! The time of single operations.

use hdrhistogram::Histogram;
use quanta::Clock;
use std::hint::black_box;
use std::sync::OnceLock;

/// Significant digits of the histograms: buckets of one per cent, few enough to stay out of the
/// stores' way.
const DIGITS: u8 = 2;
const LONGEST_NANOS: u64 = 60_000_000_000;

/// An empty one.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NANOS, DIGITS).expect("the bounds are valid")
}

/// Takes times and subtracts what taking them costs.
pub(crate) struct Stopwatch {
    clock: Clock,
    own_nanos: u64,
    histogram: Histogram<u64>,
}

impl Stopwatch {
    pub(crate) fn new() -> Self {
        let clock = Clock::new();
        Self { own_nanos: own_nanos(&clock), clock, histogram: histogram() }
    }

    #[inline]
    pub(crate) fn time<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let start = self.clock.raw();
        let result = black_box(work());
        let end = self.clock.raw();
        let nanos = self.clock.delta_as_nanos(start, end).saturating_sub(self.own_nanos);
        self.histogram.saturating_record(nanos);
        result
    }

    /// What taking one time costs.
    pub(super) fn own_nanos(&self) -> u64 {
        self.own_nanos
    }

    pub(crate) fn finish(self) -> Histogram<u64> {
        self.histogram
    }
}

/// The median of empty measurements.
fn own_nanos(clock: &Clock) -> u64 {
    static OWN: OnceLock<u64> = OnceLock::new();
    *OWN.get_or_init(|| {
        let measure = |_| {
            let start = clock.raw();
            clock.delta_as_nanos(start, clock.raw())
        };
        let mut samples: Vec<u64> = (0..10_001).map(measure).collect();
        samples.sort_unstable();
        samples[samples.len() / 2]
    })
}
