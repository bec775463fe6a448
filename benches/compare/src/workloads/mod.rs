//! What is done to a store. Each kernel is compiled for each store; nothing is virtual inside a
//! lap.

mod churn;
pub(crate) mod latency;
mod lifecycle;
mod lookups;
mod writes;

use crate::ids::Id;
use crate::machine;
use crate::stand::{Job, Lap};
use crate::store::{Lifetime, Store, Value};
use clap::ValueEnum;
use quanta::Instant;
use rand::SeedableRng;
use rand::rngs::{SmallRng, StdRng};
use rand_distr::{Distribution, Zipf};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What the tables are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Workload {
    /// Lookups of stored sessions, uniform.
    Hit,
    /// Lookups of ids that are not stored.
    Miss,
    /// `get` of one session by everybody.
    HotGet,
    /// The same, lent instead of counted.
    HotRead,
    /// A new object under an id that is stored.
    Replace,
    /// The very object that is stored.
    Readd,
    /// 90 % zipf lookups, 10 % new sessions, at capacity.
    Tls12,
    /// The lookups of `tls12`, one by one.
    Tail,
    /// One handshake: two tickets added, an older one taken, at capacity.
    Tls13,
    /// From empty to full, add by add; the capacity is known beforehand.
    Fill,
    /// The same in stores that are not told their capacity, where they need not be.
    Grow,
    /// From full to empty.
    Remove,
    /// A sweep that removes half of the sessions, while the other threads look sessions up.
    Flush,
}

/// One kind of lap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Fills an empty store with the window.
    Prefill,
    /// Adds at capacity, until what the prefill left behind is gone.
    Renew,
    /// The adds of `Tls13` alone.
    AddPairs,
    /// The lookups of `Flush` without a sweep.
    Quiet,
    Measured(Workload),
}

/// How a store must be prepared for a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preparation {
    /// Filled once, in order.
    Filled,
    /// Filled and renewed.
    Renewed,
    /// Brought to its steady state by the workload itself.
    ByItself,
    /// Its stores live for one round.
    Newborn,
}

impl Workload {
    pub(crate) fn preparation(self) -> Preparation {
        match self {
            Self::Hit | Self::Miss | Self::HotGet | Self::HotRead | Self::Replace | Self::Readd => {
                Preparation::Filled
            }
            Self::Tls12 | Self::Tail => Preparation::Renewed,
            Self::Tls13 => Preparation::ByItself,
            Self::Fill | Self::Grow | Self::Remove | Self::Flush => Preparation::Newborn,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value();
        f.write_str(name.as_ref().map_or("?", clap::builder::PossibleValue::get_name))
    }
}

impl Kernel {
    /// The operations must be a multiple of this.
    pub(crate) fn grain(self) -> u64 {
        match self {
            Self::Measured(Workload::Tls12 | Workload::Tail) => churn::OPS_PER_ADD,
            _ => 1,
        }
    }

    /// How many sessions (pairs, under `Tls13`) each lane adds in so many operations.
    pub(crate) fn advance(self, ops: u64) -> u64 {
        match self {
            Self::Measured(Workload::Tls12 | Workload::Tail) => ops / churn::OPS_PER_ADD,
            Self::Measured(Workload::Tls13) => ops,
            Self::Prefill
            | Self::Renew
            | Self::AddPairs
            | Self::Measured(Workload::Fill | Workload::Grow) => ops,
            Self::Quiet | Self::Measured(_) => 0,
        }
    }
}

/// Runs one lane of a job.
pub(crate) fn run<S: Store>(store: &S, job: &Job, lane: u64) -> Lap {
    match job.kernel {
        Kernel::Prefill => writes::prefill(store, job, lane),
        Kernel::Renew => churn::renew(store, job, lane),
        Kernel::AddPairs => churn::add_pairs(store, job, lane),
        Kernel::Quiet => lifecycle::quiet(store, job, lane),
        Kernel::Measured(workload) => match workload {
            Workload::Hit => lookups::hit(store, job, lane),
            Workload::Miss => lookups::miss(store, job, lane),
            Workload::HotGet => lookups::hot(job, |id| store.get(id)),
            Workload::HotRead => lookups::hot(job, |id| store.read(id)),
            Workload::Replace => writes::replace(store, job, lane),
            Workload::Readd => writes::readd(store, job, lane),
            Workload::Tls12 => churn::tls12(store, job, lane),
            Workload::Tail => churn::tail(store, job, lane),
            Workload::Tls13 => churn::tls13(store, job, lane),
            Workload::Fill => lifecycle::fill(store, job, lane),
            Workload::Grow => lifecycle::grow(store, job, lane),
            Workload::Remove => lifecycle::remove(store, job, lane),
            Workload::Flush => lifecycle::flush(store, job, lane),
        },
    }
}

/// Adds the sessions with the numbers below `capacity`.
pub(crate) fn fill<S: Store>(store: &S, capacity: u64) {
    for number in 0..capacity {
        let id = Id::of(number);
        store.add(&id, S::Value::make(&id, Lifetime::Unset));
    }
}

/// The tally and the clock of a lap.
struct Tally {
    start: Instant,
    /// Time that is not the store's.
    waited: Duration,
    delayed: Duration,
    lookups: u64,
    hits: u64,
}

impl Tally {
    fn begin() -> Self {
        let delayed = machine::time_delayed();
        Self { start: Instant::now(), waited: Duration::ZERO, delayed, lookups: 0, hits: 0 }
    }

    #[inline]
    fn count(&mut self, is_hit: bool) {
        self.lookups += 1;
        self.hits += u64::from(is_hit);
    }

    /// Lets lanes catch up that have added less than `added`, this lane's count; the wait does not
    /// count.
    #[inline]
    fn keep_pace(&mut self, job: &Job, lane: u64, added: u64) {
        if added.is_multiple_of(PACE) && job.lanes > 1 {
            self.waited += job.pace.wait(lane, added, LEAD);
        }
    }

    fn end(self, ops: u64) -> Lap {
        let elapsed = self.start.elapsed().saturating_sub(self.waited);
        // A wait for the others may have been a delay as well, and must not be subtracted twice.
        let delayed = machine::time_delayed()
            .saturating_sub(self.delayed)
            .saturating_sub(self.waited)
            .min(elapsed);
        let nanos = (elapsed - delayed).as_nanos().max(1) as u64;
        let delayed_nanos = delayed.as_nanos() as u64;
        Lap { nanos, delayed_nanos, ops, lookups: self.lookups, hits: self.hits, latency: None }
    }
}

/// After so many adds a lane looks whether it has run ahead, and by how many it may.
const PACE: u64 = 64;
const LEAD: u64 = 2 * PACE;

/// The random numbers of one lane in one lap.
fn random(job: &Job, lane: u64) -> SmallRng {
    SmallRng::seed_from_u64(job.seed.wrapping_mul(0x1_0001).wrapping_add(lane))
}

/// The oldest number of the window.
fn window_start(job: &Job) -> u64 {
    (job.first * job.lanes).saturating_sub(job.capacity)
}

/// The id of a lane's session.
#[inline]
fn id_of(job: &Job, lane: u64, index: u64) -> Id {
    Id::of(index.wrapping_mul(job.lanes).wrapping_add(lane))
}

/// The length of a popularity list.
const POPULARITY_LEN: usize = 1 << 20;
/// Bits of a popularity entry that hold the client's index within its lane.
const CLIENT_BITS: u32 = 28;

/// A list of clients drawn by zipf, for `Tls12`: lane and index of each, packed. Drawn beforehand,
/// because drawing costs as much as a lookup.
pub(crate) fn popularity(capacity: u64, lanes: u64) -> Arc<[u32]> {
    const EXPONENT: f64 = 0.9;
    let mut random = StdRng::seed_from_u64(capacity);
    let zipf = Zipf::new(capacity as f64, EXPONENT).expect("the parameters are valid");
    let draw = || {
        let rank = zipf.sample(&mut random) as u64 - 1;
        // A prime beyond every capacity: popular clients are spread over the window.
        let client = rank * 0xffff_fffb % capacity;
        (((client % lanes) << CLIENT_BITS) | (client / lanes)) as u32
    };
    std::iter::repeat_with(draw).take(POPULARITY_LEN).collect()
}

#[cfg(test)]
mod tests {
    use crate::measure::Stage;
    use crate::peers;
    use crate::stand::{Entrant, Role};
    use crate::workloads::{Preparation, Workload};

    const CAPACITY: u64 = 1 << 14;

    fn stores_of(lanes: usize, preparation: Preparation) -> Vec<(Entrant, usize)> {
        let is_exact = |entrant: &Entrant| {
            matches!(entrant.role, Role::Subject | Role::Peer | Role::Floor)
                && !entrant.name.starts_with("scc-cache")
        };
        let entrants: Vec<_> = peers::all().into_iter().filter(is_exact).collect();
        let mut stage = Stage::new(CAPACITY, lanes);
        stage.prepare(&entrants, preparation, &|| {});
        stage.stored().filter_map(|(entrant, stored)| Some((entrant, stored?))).collect()
    }

    #[test]
    fn every_store_is_full_and_no_fuller() {
        for lanes in [1, 2] {
            for preparation in [Preparation::Filled, Preparation::Renewed, Preparation::ByItself] {
                for (entrant, stored) in stores_of(lanes, preparation) {
                    let stored = stored as f64 / CAPACITY as f64;
                    let is_full = (0.93..=1.05).contains(&stored);
                    assert!(
                        is_full,
                        "{} holds {stored} of its capacity: {preparation:?}, {lanes}",
                        entrant.name
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_stored_is_found() {
        let entrants: Vec<_> = peers::all()
            .into_iter()
            .filter(|entrant| entrant.role == Role::Peer && !entrant.evicts)
            .collect();
        let effort = crate::measure::Effort {
            rounds: 1,
            lives: 1,
            lap: std::time::Duration::from_millis(1),
        };
        for (workload, expected) in [
            (Workload::Hit, 1.0),
            (Workload::Tls12, 1.0),
            (Workload::Tls13, 1.0),
            (Workload::Miss, 0.0),
        ] {
            let mut stage = Stage::new(CAPACITY, 1);
            stage.prepare(&entrants, workload.preparation(), &|| {});
            let table = stage
                .measure(workload, &entrants, effort, &|| {})
                .expect("nobody asks for the end");
            for record in &table.records {
                assert_eq!(
                    record.hit_ratio(),
                    Some(expected),
                    "{} under {workload}",
                    record.entrant.name
                );
            }
        }
    }
}
