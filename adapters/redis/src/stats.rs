//! What the tier has done so far.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sessile::{HistogramFigures, Metric, MetricKind};

use crate::refusal::Refusal;

/// A snapshot of the counters of a tier. All but `pending`, `arrivals` and the flags only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TierStats {
    /// Sessions written to the tier, those given back included.
    pub written: u64,
    /// Deletions that the tier confirmed.
    pub deleted: u64,
    /// Sessions that strict single use moved out of the cache.
    pub moved: u64,
    /// Sessions that were fetched, never asked for by a handshake, and given back.
    pub given_back: u64,
    /// Sessions that the tier refused to store, as a server without memory does.
    pub refused_writes: u64,
    /// Commands of which it is not known whether the tier received them.
    pub unanswered: u64,
    /// Changes that found the queue full. The cache's state is compared with the tier's afterwards.
    pub overflowed: u64,
    /// Comparisons of everything that this node holds or wrote.
    pub repairs: u64,
    /// How often the server was reached after it was not, the first time included.
    pub reconnects: u64,
    /// Keys that were asked of the tier.
    pub asked: u64,
    /// Sessions that the tier answered with, and that could be used.
    pub found: u64,
    /// Keys that were asked already when another caller wanted them.
    pub joined: u64,
    /// Keys that were not asked: the tier did not have them a moment ago.
    pub known_missing: u64,
    /// Keys that were not asked: this node decides on them, since it holds the session or has not
    /// deleted it in the tier yet.
    pub withheld: u64,
    /// Keys that were not asked: the tier cannot be reached or is late, or too much is under way.
    pub unavailable: u64,
    /// Sessions for one use that the tier handed out a second time, and that were not used.
    pub replayed: u64,
    /// Messages to other nodes: sessions for many uses, and removals.
    pub published: u64,
    /// Sessions that another node published, and that the cache took.
    pub received: u64,
    /// Sessions that another node removed, and that were removed here for that.
    pub withdrawn: u64,
    /// Values that are no sealed session of this version.
    pub malformed: u64,
    /// Values that no key of the ring sealed.
    pub unknown_key: u64,
    /// Values that were changed, or sealed for another place.
    pub forged: u64,
    /// Values whose session has expired.
    pub expired: u64,
    /// Values whose session is dated in the future.
    pub future: u64,
    /// Values whose payload cannot be decoded.
    pub undecodable: u64,
    /// Changes that are not written yet.
    pub pending: u64,
    /// Fetched sessions that no handshake has asked for yet.
    pub arrivals: u64,
    /// Whether the last command was answered.
    pub is_up: bool,
    /// Whether publications of other nodes are heard.
    pub is_listening: bool,
    /// How long answers took, those to several questions at once together.
    pub latency: HistogramFigures,
}

/// Upper bounds of the times that answers take.
pub(crate) const LATENCIES: &[Duration] = &[
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
];

impl TierStats {
    /// All numbers but the latency, for an exporter.
    pub fn metrics(&self) -> impl Iterator<Item = Metric> + use<> {
        let of = |kind| move |(name, help, value)| Metric::new(name, kind, help, value);
        let counters = self.writes().into_iter().chain(self.questions()).chain(self.refusals());
        let gauges = [
            ("pending", "Changes that are not written yet", self.pending),
            ("arrivals", "Fetched sessions that no handshake asked for yet", self.arrivals),
            ("up", "Whether the last command was answered", self.is_up.into()),
            ("listening", "Whether other nodes are heard", self.is_listening.into()),
        ];
        let counters = counters.map(of(MetricKind::Counter));
        counters.chain(gauges.into_iter().map(of(MetricKind::Gauge)))
    }

    fn writes(&self) -> [Row; 12] {
        [
            ("written", "Sessions written", self.written),
            ("deleted", "Deletions that the tier confirmed", self.deleted),
            ("moved", "Sessions moved out of the cache by strict single use", self.moved),
            ("given_back", "Fetched sessions that no handshake asked for", self.given_back),
            ("refused_writes", "Sessions that the tier refused to store", self.refused_writes),
            ("unanswered", "Commands whose answer was lost", self.unanswered),
            ("overflowed", "Changes that found the queue full", self.overflowed),
            ("repairs", "Comparisons of all that this node holds", self.repairs),
            ("reconnects", "Times that the server was reached anew", self.reconnects),
            ("published", "Messages to other nodes", self.published),
            ("received", "Sessions stored that another node published", self.received),
            ("withdrawn", "Sessions removed because another node did", self.withdrawn),
        ]
    }

    fn questions(&self) -> [Row; 7] {
        [
            ("asked", "Keys asked", self.asked),
            ("found", "Sessions that came and could be used", self.found),
            ("joined", "Keys that were being asked already", self.joined),
            ("known_missing", "Keys not asked: missing a moment ago", self.known_missing),
            ("withheld", "Keys not asked: this node decides on them", self.withheld),
            ("unavailable", "Keys not asked: the tier is down, late or busy", self.unavailable),
            ("replayed", "Sessions for one use that came twice", self.replayed),
        ]
    }

    fn refusals(&self) -> [Row; 6] {
        [
            ("malformed", "Values of no known version", self.malformed),
            ("unknown_key", "Values that no key of the ring sealed", self.unknown_key),
            ("forged", "Values that were changed or moved", self.forged),
            ("expired", "Values whose session has expired", self.expired),
            ("future", "Values dated in the future", self.future),
            ("undecodable", "Values whose payload cannot be decoded", self.undecodable),
        ]
    }
}

/// Name, help and value.
type Row = (&'static str, &'static str, u64);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Counter {
    Written,
    Deleted,
    Moved,
    GivenBack,
    RefusedWrites,
    Unanswered,
    Overflowed,
    Repairs,
    Reconnects,
    Asked,
    Found,
    Joined,
    KnownMissing,
    Withheld,
    Unavailable,
    Replayed,
    Published,
    Received,
    Withdrawn,
    /// The first of those of [`Refusal::ALL`].
    Refused,
}

const COUNTERS: usize = Counter::Refused as usize + Refusal::ALL.len();

/// The counters, each of which is one word.
#[derive(Debug, Default)]
pub(crate) struct Counters([AtomicU64; COUNTERS]);

impl Counters {
    pub(crate) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    pub(crate) fn add(&self, counter: Counter, number: u64) {
        // ORDERING: Relaxed: one word that publishes nothing, as everywhere in this file.
        self.0[counter as usize].fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn refuse(&self, refusal: Refusal) {
        let place = Refusal::ALL.iter().position(|one| *one == refusal).unwrap_or_default();
        self.0[Counter::Refused as usize + place].fetch_add(1, Ordering::Relaxed);
    }

    /// All counters; the sizes are the caller's to fill in.
    pub(crate) fn read(&self) -> TierStats {
        let get = |counter: Counter| self.0[counter as usize].load(Ordering::Relaxed);
        let first = Counter::Refused as usize;
        let refused = |place: usize| self.0[first + place].load(Ordering::Relaxed);
        TierStats {
            written: get(Counter::Written),
            deleted: get(Counter::Deleted),
            moved: get(Counter::Moved),
            given_back: get(Counter::GivenBack),
            refused_writes: get(Counter::RefusedWrites),
            unanswered: get(Counter::Unanswered),
            overflowed: get(Counter::Overflowed),
            repairs: get(Counter::Repairs),
            reconnects: get(Counter::Reconnects),
            asked: get(Counter::Asked),
            found: get(Counter::Found),
            joined: get(Counter::Joined),
            known_missing: get(Counter::KnownMissing),
            withheld: get(Counter::Withheld),
            unavailable: get(Counter::Unavailable),
            replayed: get(Counter::Replayed),
            published: get(Counter::Published),
            received: get(Counter::Received),
            withdrawn: get(Counter::Withdrawn),
            malformed: refused(0),
            unknown_key: refused(1),
            forged: refused(2),
            expired: refused(3),
            future: refused(4),
            undecodable: refused(5),
            ..TierStats::default()
        }
    }
}
