//! What an operator wants to see, as names and numbers.
#![forbid(unsafe_code)]

use crate::error::Rejection;
use crate::stats::Stats;

/// A cache's counters beside its limits, by [`SessionCache::status`](crate::SessionCache::status).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Status {
    /// All counters.
    pub stats: Stats,
    /// The largest number of sessions; `None` without a bound.
    pub capacity: Option<usize>,
    /// The weight of all stored sessions, in the weigher's bytes; `None` without a weigher.
    pub weight: Option<usize>,
    /// The largest weight of all sessions together; `None` without a bound.
    pub weight_limit: Option<usize>,
    /// The bytes of garbage near which adds are refused.
    pub garbage_limit: usize,
}

/// One number of a [`Status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Metric {
    /// In lower case and underscores, without a prefix.
    pub name: &'static str,
    /// Whether it can fall.
    pub kind: MetricKind,
    /// What it counts, in a sentence without a full stop.
    pub help: &'static str,
    /// Its value.
    pub value: u64,
}

impl Metric {
    /// A number of what stands beside a cache, such as a second tier.
    pub fn new(name: &'static str, kind: MetricKind, help: &'static str, value: u64) -> Self {
        Self { name, kind, help, value }
    }
}

/// What the values of a [`Metric`] do as time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum MetricKind {
    /// It only rises.
    Counter,
    /// It rises and falls.
    Gauge,
}

impl MetricKind {
    /// `counter` or `gauge`, the words of Prometheus and OpenMetrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

impl Status {
    /// All numbers, for an exporter. Limits that are not set are left out.
    ///
    /// ```
    /// use sessile::{Session, SessionCache, SessionId};
    ///
    /// let cache = SessionCache::new(100)?;
    /// cache.add(Session::new(SessionId::from([1; 32]), ()))?;
    /// for metric in cache.status().metrics() {
    ///     println!("# HELP sessile_{} {}", metric.name, metric.help);
    ///     println!("# TYPE sessile_{} {}", metric.name, metric.kind.name());
    ///     println!("sessile_{} {}", metric.name, metric.value);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn metrics(&self) -> impl Iterator<Item = Metric> + use<> {
        let metric = |kind| {
            move |(name, help, value): (&'static str, &'static str, u64)| Metric {
                name,
                kind,
                help,
                value,
            }
        };
        let counters = self.lookups().into_iter().chain(self.changes()).chain(self.handshakes());
        let counters: Vec<_> = counters.chain(self.rejections()).collect();
        let gauges: Vec<_> = self.gauges().into_iter().flatten().collect();
        let counters = counters.into_iter().map(metric(MetricKind::Counter));
        counters.chain(gauges.into_iter().map(metric(MetricKind::Gauge)))
    }

    fn lookups(&self) -> [Row; 5] {
        let stats = &self.stats;
        [
            ("hits", "Lookups that handed out a session", stats.hits),
            ("misses", "Lookups that found nothing usable", stats.misses),
            ("timeouts", "Lookups that found an expired session", stats.timeouts),
            ("context_misses", "Lookups of an id of other contexts", stats.context_misses),
            ("tier_hits", "Sessions that the miss hook supplied", stats.tier_hits),
        ]
    }

    fn changes(&self) -> [Row; 10] {
        let stats = &self.stats;
        [
            ("added", "Adds of an absent key", stats.added),
            ("replaced", "Adds that replaced another object", stats.replaced),
            ("identical", "Adds of the object that was stored", stats.identical),
            ("rejected", "Adds that were refused", stats.rejected),
            ("removed", "Sessions removed by call, or found unusable", stats.removed),
            ("taken", "Sessions taken", stats.taken),
            ("evicted", "Sessions evicted to make room", stats.evicted),
            ("expired", "Expired sessions removed by a lookup or an add", stats.expired),
            ("flushed", "Sessions removed by a flush or a clear", stats.flushed),
            ("drop_panics", "Payload drops that panicked", stats.drop_panics),
        ]
    }

    fn handshakes(&self) -> [Row; 7] {
        let stats = &self.stats;
        [
            ("connect", "Client handshakes started", stats.connect),
            ("connect_good", "Client handshakes completed", stats.connect_good),
            ("connect_renegotiate", "Client renegotiations", stats.connect_renegotiate),
            ("accept", "Server handshakes started", stats.accept),
            ("accept_good", "Server handshakes completed", stats.accept_good),
            ("accept_renegotiate", "Server renegotiations", stats.accept_renegotiate),
            ("resumed", "Handshakes that resumed a session", stats.resumed),
        ]
    }

    fn rejections(&self) -> impl Iterator<Item = Row> {
        self.stats.rejections.iter().map(|(reason, count)| {
            let (name, help) = named(reason);
            (name, help, count)
        })
    }

    fn gauges(&self) -> [Option<Row>; 7] {
        let garbage = self.stats.garbage;
        let limit = |name, help, limit: Option<usize>| Some((name, help, limit? as u64));
        [
            Some(("sessions", "Sessions stored", self.stats.number)),
            limit("capacity", "Sessions that may be stored", self.capacity),
            limit("weight_bytes", "Weight of all sessions", self.weight),
            limit("weight_limit_bytes", "Weight that all sessions may have", self.weight_limit),
            Some(("garbage_sessions", "Retired sessions not yet freed", garbage.sessions)),
            Some(("garbage_bytes", "Bytes of retired sessions not yet freed", garbage.bytes)),
            limit(
                "garbage_limit_bytes",
                "Garbage near which adds are refused",
                Some(self.garbage_limit),
            ),
        ]
    }
}

/// Name, help and value.
type Row = (&'static str, &'static str, u64);

fn named(reason: Rejection) -> (&'static str, &'static str) {
    match reason {
        Rejection::Expired => ("rejected_expired", "Refused: expired"),
        Rejection::OverWeight => ("rejected_over_weight", "Refused: too heavy"),
        Rejection::NotResumable => ("rejected_not_resumable", "Refused: not resumable"),
        Rejection::Garbage => ("rejected_garbage", "Refused: a reader stalls, memory waits"),
        Rejection::Context => ("rejected_context", "Refused: of another context or protocol"),
        Rejection::StoreDisabled => ("rejected_store_disabled", "Refused: storing is off"),
        Rejection::Contention => ("rejected_contention", "Refused: no slot after 64 attempts"),
        Rejection::Allocation => ("rejected_allocation", "Refused: no memory"),
        Rejection::Address => ("rejected_address", "Refused: an address above 48 bits"),
        Rejection::Revoked => ("rejected_revoked", "Refused: the context was revoked"),
        Rejection::Recursion => ("rejected_recursion", "Refused: hooks nested too deep"),
    }
}
