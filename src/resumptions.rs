//! What clients offered to resume and what was found, for contexts that somebody looks at.
#![forbid(unsafe_code)]

use crate::histogram::{Histogram, HistogramFigures};
use crate::session::Protocol;
use crate::sync::untracked::{AtomicU64, Ordering};
use std::fmt;
use std::time::Duration;

/// Upper bounds of the ages of sessions at their resumption: a second to a week.
const AGES: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(6 * 3600),
    Duration::from_secs(24 * 3600),
    Duration::from_secs(7 * 24 * 3600),
];

/// Counts what clients offered to one context, or to some of them, by protocol, with the ages of
/// the sessions that were found.
///
/// A cache's own [`Stats`](crate::Stats) are of all contexts together and cost lookups nothing.
/// These are words that all threads write, a few additions for each offer: for contexts that are
/// few, and whose owner wants to see them apart. The adapters' stores are told where to count by
/// `count_in`.
///
/// ```
/// use sessile::{Protocol, Resumptions};
/// use std::time::Duration;
///
/// let site = Resumptions::new();
/// site.found(Protocol::TLS1_3, Duration::from_secs(30));
/// site.missed(Protocol::TLS1_3);
/// let figures = site.figures();
/// assert_eq!(figures.tls13.ratio(), Some(0.5));
/// assert_eq!(figures.tls12.ratio(), None);
/// assert_eq!(figures.ages.count(), 1);
/// ```
pub struct Resumptions {
    tls12: Counts,
    tls13: Counts,
    ages: Histogram,
}

#[derive(Default)]
struct Counts {
    found: AtomicU64,
    missed: AtomicU64,
}

impl Resumptions {
    /// Nothing was offered yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A client offered a session that was there, of this age.
    pub fn found(&self, protocol: Protocol, age: Duration) {
        // ORDERING: Relaxed: words that publish nothing, throughout.
        self.counts(protocol).found.fetch_add(1, Ordering::Relaxed);
        self.ages.record(age);
    }

    /// A client offered what was not there, or may not be used.
    pub fn missed(&self, protocol: Protocol) {
        self.counts(protocol).missed.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts so far.
    pub fn figures(&self) -> ResumptionFigures {
        ResumptionFigures {
            tls12: self.tls12.figures(),
            tls13: self.tls13.figures(),
            ages: self.ages.figures(),
        }
    }

    fn counts(&self, protocol: Protocol) -> &Counts {
        if protocol == Protocol::TLS1_3 { &self.tls13 } else { &self.tls12 }
    }
}

impl Counts {
    fn figures(&self) -> Offered {
        Offered {
            found: self.found.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
        }
    }
}

impl Default for Resumptions {
    fn default() -> Self {
        Self { tls12: Counts::default(), tls13: Counts::default(), ages: Histogram::new(AGES) }
    }
}

impl fmt::Debug for Resumptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.figures().fmt(f)
    }
}

/// What [`Resumptions`] have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ResumptionFigures {
    /// Session ids of TLS 1.2 and before. A client that knows TLS 1.3 as well sends an id of chance
    /// where it has no session (RFC 8446, appendix D.4): it counts as missed.
    pub tls12: Offered,
    /// Tickets of TLS 1.3. A client may offer several in one handshake.
    pub tls13: Offered,
    /// How old the sessions were that were found, since they were stored first.
    pub ages: HistogramFigures,
}

/// Offers of one protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Offered {
    /// Offers whose session was found.
    pub found: u64,
    /// Offers whose session was not there, or may not be used.
    pub missed: u64,
}

impl Offered {
    /// Those found of all, from 0 to 1; `None` before the first offer.
    pub fn ratio(&self) -> Option<f64> {
        let all = self.found + self.missed;
        (all > 0).then(|| self.found as f64 / all as f64)
    }
}
