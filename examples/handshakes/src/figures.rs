//! What a store counted, and what its calls took.

use std::fmt;
use std::ops::AddAssign;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use sessile::Stats;

/// Longer calls are counted as this long in the quantiles.
pub(crate) const LONGEST_NANOSECONDS: u64 = 60_000_000_000;

/// The time of a store's calls, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timing {
    /// All calls together, for each handshake.
    pub(crate) per_handshake: f64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    /// `per_handshake` of one thread that makes all calls, where that was measured.
    pub(crate) alone: Option<f64>,
}

impl Timing {
    pub(crate) fn of(calls: &Histogram<u64>, total: u64, handshakes: u64) -> Self {
        let per_handshake = total as f64 / handshakes.max(1) as f64;
        Self {
            per_handshake,
            p50: calls.value_at_quantile(0.5),
            p99: calls.value_at_quantile(0.99),
            alone: None,
        }
    }
}

/// Counters of one run. Every store has the first five, the rest are there where a store has them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Figures {
    pub(crate) capacity: usize,
    pub(crate) puts: u64,
    pub(crate) refused: u64,
    pub(crate) lookups: u64,
    pub(crate) hits: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sessions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) taken: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) evicted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expired: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) context_misses: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accepted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accepted_good: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) garbage_sessions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) garbage_bytes: Option<u64>,
}

impl Figures {
    /// What Sessile counts by itself.
    pub(crate) fn of_sessile(stats: &Stats) -> Self {
        Self {
            puts: stats.added + stats.replaced + stats.rejected,
            refused: stats.rejected,
            lookups: stats.hits + stats.misses + stats.timeouts + stats.context_misses,
            hits: stats.hits,
            sessions: Some(stats.number),
            taken: Some(stats.taken),
            evicted: Some(stats.evicted),
            expired: Some(stats.expired),
            context_misses: Some(stats.context_misses),
            accepted: Some(stats.accept),
            accepted_good: Some(stats.accept_good),
            garbage_sessions: Some(stats.garbage.sessions),
            garbage_bytes: Some(stats.garbage.bytes),
            ..Self::default()
        }
    }
}

impl AddAssign for Figures {
    /// Figures of several stores together.
    fn add_assign(&mut self, other: Self) {
        let add = |one: &mut Option<u64>, other: Option<u64>| {
            *one = one.zip(other).map(|(one, other)| one + other).or(*one).or(other);
        };
        self.capacity += other.capacity;
        self.puts += other.puts;
        self.refused += other.refused;
        self.lookups += other.lookups;
        self.hits += other.hits;
        add(&mut self.sessions, other.sessions);
        add(&mut self.taken, other.taken);
        add(&mut self.evicted, other.evicted);
        add(&mut self.expired, other.expired);
        add(&mut self.context_misses, other.context_misses);
        add(&mut self.accepted, other.accepted);
        add(&mut self.accepted_good, other.accepted_good);
        add(&mut self.garbage_sessions, other.garbage_sessions);
        add(&mut self.garbage_bytes, other.garbage_bytes);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = [
            ("puts", Some(self.puts)),
            ("refused", Some(self.refused)),
            ("lookups", Some(self.lookups)),
            ("hits", Some(self.hits)),
            ("sessions", self.sessions),
            ("taken", self.taken),
            ("evicted", self.evicted),
            ("expired", self.expired),
            ("context misses", self.context_misses),
            ("accepted", self.accepted),
            ("accepted good", self.accepted_good),
            ("garbage sessions", self.garbage_sessions),
            ("garbage bytes", self.garbage_bytes),
        ];
        write!(f, "capacity {}", self.capacity)?;
        counted.iter().try_for_each(|(name, count)| match count {
            Some(count) => write!(f, ", {name} {count}"),
            None => Ok(()),
        })
    }
}
