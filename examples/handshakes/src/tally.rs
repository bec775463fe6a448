//! What a worker counted, and in the end all of them.

use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use crate::backend::Kind;
use crate::figures::{Figures, LONGEST_NANOSECONDS, Timing};
use crate::report::{Latency, Run, StoreTime};
use crate::server::Tls;

/// One connection, as its client saw it.
pub(crate) struct Visit {
    pub(crate) handshake: Duration,
    pub(crate) resumed: bool,
}

/// The counters.
pub(crate) struct Tally {
    latency: Histogram<u64>,
    resumed: u64,
    full: u64,
    /// Of clients that came to another server than the time before, and of those that resumed.
    pub(crate) elsewhere: u64,
    pub(crate) resumed_elsewhere: u64,
    failed: u64,
    first_failure: Option<String>,
}

impl Tally {
    pub(crate) fn new() -> Result<Self> {
        let latency = Histogram::new_with_bounds(1, LONGEST_NANOSECONDS, 3).context("histogram")?;
        Ok(Self {
            latency,
            resumed: 0,
            full: 0,
            elsewhere: 0,
            resumed_elsewhere: 0,
            failed: 0,
            first_failure: None,
        })
    }

    pub(crate) fn count(&mut self, visit: Result<Visit>, is_elsewhere: bool) {
        match visit {
            Ok(visit) => {
                self.latency.saturating_record(
                    u64::try_from(visit.handshake.as_nanos()).unwrap_or(u64::MAX),
                );
                self.resumed += u64::from(visit.resumed);
                self.full += u64::from(!visit.resumed);
                self.elsewhere += u64::from(is_elsewhere);
                self.resumed_elsewhere += u64::from(is_elsewhere && visit.resumed);
            }
            Err(error) => {
                self.failed += 1;
                self.first_failure.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    /// Those that were completed.
    pub(crate) fn handshakes(&self) -> u64 {
        self.resumed + self.full
    }

    pub(crate) fn merge(&mut self, other: Self) -> Result<()> {
        self.latency.add(&other.latency).context("histograms of one kind add up")?;
        self.resumed += other.resumed;
        self.full += other.full;
        self.elsewhere += other.elsewhere;
        self.resumed_elsewhere += other.resumed_elsewhere;
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        Ok(())
    }

    /// The figures of a run that took so many seconds.
    pub(crate) fn into_run(
        self,
        (kind, tls): (Kind, Tls),
        seconds: f64,
        cache: Figures,
        timing: Timing,
    ) -> Run {
        let handshakes = self.handshakes();
        let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        let at = |quantile: f64| microseconds(self.latency.value_at_quantile(quantile));
        Run {
            store: kind,
            tls,
            handshakes,
            resumed: self.resumed,
            full: self.full,
            failed: self.failed,
            seconds,
            handshakes_per_second: handshakes as f64 / seconds,
            store_ns_per_handshake: timing.per_handshake,
            store_ns_per_handshake_alone: timing.alone,
            store_ns: StoreTime { p50: timing.p50, p99: timing.p99 },
            latency_us: Latency {
                p50: at(0.5),
                p99: at(0.99),
                p999: at(0.999),
                max: microseconds(self.latency.max()),
            },
            cache,
            first_failure: self.first_failure,
        }
    }
}
