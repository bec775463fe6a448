//! What was measured, and the medians, spreads and ratios that are made of it.

use crate::dyn_store::{Candidate, Role};
use crate::peers::Values;
use stores::workloads::{Operation, Workload};

/// A round trip below this is between neighbours that share a cache; above, between strangers.
const NEAR_NANOS: f64 = 200.0;

/// Of single operations, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) worst: f64,
}

/// One store in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    /// Nanoseconds per operation and thread; the median where the time of each is taken.
    pub(crate) nanos: f64,
    pub(crate) quantiles: Option<Quantiles>,
    /// Of lookups while there is no sweep.
    pub(crate) quiet_p99: Option<f64>,
}

/// One store in one table.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) candidate: Candidate,
    pub(crate) rounds: Vec<Round>,
    pub(crate) lookups: u64,
    pub(crate) hits: u64,
    /// Of all threads: at work, and kept from it.
    pub(crate) nanos: u64,
    pub(crate) delayed_nanos: u64,
}

/// One workload at one size and number of threads.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) workload: Workload,
    /// What the peers keep.
    pub(crate) values: Values,
    pub(crate) entries: u64,
    pub(crate) threads: u64,
    pub(crate) is_oversubscribed: bool,
    /// Line round trips between two threads, by round.
    pub(crate) round_trips: Vec<f64>,
    pub(crate) records: Vec<Record>,
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

/// The distance between the quartiles as a part of the median.
pub(crate) fn spread(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quarter = sorted.len() / 4;
    match (sorted.get(quarter), sorted.get(sorted.len().wrapping_sub(1 + quarter))) {
        (Some(low), Some(high)) => (high - low) / median(values),
        _ => f64::NAN,
    }
}

/// How far the two threads were apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    Near,
    Far,
}

impl Placement {
    pub(crate) fn of(round_trip: f64) -> Self {
        if round_trip < NEAR_NANOS { Self::Near } else { Self::Far }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Far => "far",
        }
    }
}

impl Record {
    pub(crate) fn new(candidate: Candidate) -> Self {
        Self { candidate, rounds: Vec::new(), lookups: 0, hits: 0, nanos: 0, delayed_nanos: 0 }
    }

    pub(crate) fn hit_ratio(&self) -> Option<f64> {
        (self.lookups > 0).then(|| self.hits as f64 / self.lookups as f64)
    }
}

impl Table {
    /// The placement of most rounds, if there are two threads to be apart.
    pub(crate) fn placement(&self) -> Option<Placement> {
        let near =
            self.round_trips.iter().filter(|&&trip| Placement::of(trip) == Placement::Near).count();
        let majority =
            if 2 * near >= self.round_trips.len() { Placement::Near } else { Placement::Far };
        (!self.round_trips.is_empty()).then_some(majority)
    }

    /// The part of the time in which other processes had the processors. It is not in the figures,
    /// but what they did to the caches is.
    pub(crate) fn part_delayed(&self) -> f64 {
        let delayed: u64 = self.records.iter().map(|record| record.delayed_nanos).sum();
        let worked: u64 = self.records.iter().map(|record| record.nanos).sum();
        delayed as f64 / (delayed + worked).max(1) as f64
    }

    /// The rounds of a record that count: those with the placement that most had.
    fn rounds<'t>(&'t self, record: &'t Record) -> impl Iterator<Item = &'t Round> {
        let placement = self.placement();
        let counts = move |round: usize| {
            self.round_trips.get(round).map(|&trip| Placement::of(trip)) == placement
        };
        record
            .rounds
            .iter()
            .enumerate()
            .filter(move |(round, _)| counts(*round))
            .map(|(_, round)| round)
    }

    fn figures(&self, record: &Record, figure: impl Fn(&Round) -> Option<f64>) -> Vec<f64> {
        self.rounds(record).filter_map(figure).collect()
    }

    pub(crate) fn nanos(&self, record: &Record) -> f64 {
        median(&self.figures(record, |round| Some(round.nanos)))
    }

    pub(crate) fn spread(&self, record: &Record) -> f64 {
        spread(&self.figures(record, |round| Some(round.nanos)))
    }

    /// The median over rounds of one of the quantiles.
    pub(crate) fn quantile(
        &self,
        record: &Record,
        which: impl Fn(&Quantiles) -> f64,
    ) -> Option<f64> {
        let figures = self.figures(record, |round| round.quantiles.as_ref().map(&which));
        (!figures.is_empty()).then(|| median(&figures))
    }

    /// The longest operation of the quietest round: what the store does in every round, without
    /// what befell one of them.
    pub(crate) fn worst(&self, record: &Record) -> Option<f64> {
        let figures =
            self.figures(record, |round| round.quantiles.map(|quantiles| quantiles.worst));
        figures.into_iter().min_by(f64::total_cmp)
    }

    pub(crate) fn quiet_p99(&self, record: &Record) -> Option<f64> {
        let figures = self.figures(record, |round| round.quiet_p99);
        (!figures.is_empty()).then(|| median(&figures))
    }

    /// What stores are compared by.
    fn score(&self, round: &Round) -> f64 {
        match (self.workload, round.quantiles) {
            (Workload::Tail, Some(quantiles)) => quantiles.p999,
            _ => round.nanos,
        }
    }

    /// Of the figures that stores are compared by: 99.9 % of the single operations of a tail take
    /// less, of other workloads the mean does.
    pub(crate) fn median_score(&self, record: &Record) -> f64 {
        median(&self.figures(record, |round| Some(self.score(round))))
    }

    /// How many times faster `record` is than `other`: the median of the ratios within rounds.
    pub(crate) fn ratio(&self, other: &Record, record: &Record) -> f64 {
        let pairs = self.rounds(other).zip(self.rounds(record));
        median(&pairs.map(|(other, own)| self.score(other) / self.score(own)).collect::<Vec<_>>())
    }

    fn fastest(&self, takes_part: impl Fn(&Record) -> bool) -> Option<&Record> {
        let candidates = self.records.iter().filter(|record| takes_part(record));
        candidates.min_by(|a, b| self.median_score(a).total_cmp(&self.median_score(b)))
    }

    /// Whether it found what it was asked for. A miss is none of the operation whose time is taken
    /// with cold caches; among the others, the hit ratio stands beside the time.
    fn does_the_work(&self, record: &Record) -> bool {
        const ENOUGH: f64 = 0.9;
        let is_found = || record.hit_ratio().is_none_or(|ratio| ratio >= ENOUGH);
        self.workload.cold().is_none_or(|operation| operation == Operation::Miss || is_found())
    }

    /// The fastest real store.
    pub(crate) fn best_peer(&self) -> Option<&Record> {
        self.fastest(|record| record.candidate.role == Role::Peer && self.does_the_work(record))
    }

    /// The fastest one that makes room by itself.
    pub(crate) fn best_cache(&self) -> Option<&Record> {
        let is_cache =
            |record: &Record| record.candidate.role == Role::Peer && record.candidate.evicts;
        self.fastest(|record| is_cache(record) && self.does_the_work(record))
    }

    /// The fastest floor that does what the workload asks for.
    pub(crate) fn best_floor(&self) -> Option<&Record> {
        let basis =
            if self.workload == Workload::HotRead { Role::UncountedFloor } else { Role::Floor };
        self.fastest(|record| record.candidate.role == basis)
    }
}
