//! What is done to a store. Each kernel is compiled for each store; nothing is virtual inside a
//! run.

mod churn;
pub mod cold;
pub mod latency;
mod lifecycle;
mod lookups;
mod meter;
mod operation;
mod ticks;
mod walk;
mod writes;

pub use meter::Meter;
pub use operation::Operation;

use crate::ids::Id;
use crate::sample::{Job, Sample, time_delayed};
use crate::store::{Lifetime, Store, Value};
use clap::ValueEnum;
use meter::Together;
use quanta::Instant;
use rand::SeedableRng;
use rand::rngs::{SmallRng, StdRng};
use rand_distr::{Distribution, Zipf};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What the tables are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Workload {
    /// Lookups of stored sessions; before each the thread runs through data and code, as it does
    /// before each operation of the following.
    ColdGet,
    /// Lookups of ids that are not stored.
    ColdMiss,
    /// A new object under an id that is stored.
    ColdReplace,
    /// New sessions, at capacity.
    ColdAdd,
    /// Tickets are taken; those that are added meanwhile are not measured.
    ColdTake,
    /// Two tickets added, an older one taken, at capacity.
    ColdTls13,
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

/// One kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Fills an empty store with the window.
    Prefill,
    /// Adds at capacity, until what the prefill left behind is gone.
    Renew,
    /// The adds of `Tls13` alone.
    AddPairs,
    /// The lookups of `Flush` without a sweep.
    Quiet,
    /// A run of a table.
    Measured(Workload),
}

/// How a store must be prepared for a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// Filled once, in order.
    Filled,
    /// Filled and renewed.
    Renewed,
    /// Brought to its steady state by the workload itself.
    ByItself,
    /// Its stores live for one round.
    Newborn,
}

impl Preparation {
    /// The runs that bring a new store there, and how many operations each thread does in them,
    /// which has a `share` of the capacity. `searches` is that of the store.
    pub fn runs(self, searches: bool, share: u64) -> Vec<(Kernel, u64)> {
        match self {
            Self::Filled => vec![(Kernel::Prefill, share)],
            Self::Renewed => vec![(Kernel::Prefill, share), (Kernel::Renew, share)],
            // Until the window of one and a half capacities is full and has moved on by a capacity.
            Self::ByItself if searches => vec![(Kernel::AddPairs, share * 5 / 4)],
            Self::ByItself => vec![(Kernel::Measured(Workload::Tls13), share * 5 / 4)],
            Self::Newborn => Vec::new(),
        }
    }
}

impl Workload {
    /// What a store must be for it.
    pub fn preparation(self) -> Preparation {
        if let Some(operation) = self.cold() {
            return operation.preparation();
        }
        match self {
            Self::Hit | Self::Miss | Self::HotGet | Self::HotRead | Self::Replace | Self::Readd => {
                Preparation::Filled
            }
            Self::Tls12 | Self::Tail => Preparation::Renewed,
            Self::Tls13 => Preparation::ByItself,
            _ => Preparation::Newborn,
        }
    }

    /// What is done with cold caches, if that is what it is about.
    pub fn cold(self) -> Option<Operation> {
        match self {
            Self::ColdGet => Some(Operation::Get),
            Self::ColdMiss => Some(Operation::Miss),
            Self::ColdReplace => Some(Operation::Replace),
            Self::ColdAdd => Some(Operation::Add),
            Self::ColdTake => Some(Operation::Take),
            Self::ColdTls13 => Some(Operation::Tls13),
            _ => None,
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
    pub fn grain(self) -> u64 {
        match self {
            Self::Measured(Workload::Tls12 | Workload::Tail) => churn::OPS_PER_ADD,
            _ => 1,
        }
    }

    /// How many sessions (pairs, under `Tls13`) each thread adds in so many operations.
    pub fn advance(self, ops: u64) -> u64 {
        match self {
            Self::Prefill | Self::Renew | Self::AddPairs => ops,
            Self::Quiet => 0,
            Self::Measured(workload) => match workload {
                Workload::Tls12 | Workload::Tail => ops / churn::OPS_PER_ADD,
                Workload::Tls13 | Workload::Fill | Workload::Grow => ops,
                _ if workload.cold().is_some_and(Operation::adds) => ops,
                _ => 0,
            },
        }
    }
}

/// Runs one thread of a job.
pub fn run<S: Store>(store: &S, job: &Job, thread: u64) -> Sample {
    let hot = |operation: Operation| operation.run(store, job, thread, &mut Together);
    let cold = |operation: Operation| cold::run(store, job, thread, operation);
    match job.kernel {
        Kernel::Prefill => writes::prefill(store, job, thread),
        Kernel::Renew => hot(Operation::Add),
        Kernel::AddPairs => churn::add_pairs(store, job, thread),
        Kernel::Quiet => lifecycle::quiet(store, job, thread),
        Kernel::Measured(workload) => match workload {
            Workload::ColdGet => cold(Operation::Get),
            Workload::ColdMiss => cold(Operation::Miss),
            Workload::ColdReplace => cold(Operation::Replace),
            Workload::ColdAdd => cold(Operation::Add),
            Workload::ColdTake => cold(Operation::Take),
            Workload::ColdTls13 => cold(Operation::Tls13),
            Workload::Hit => hot(Operation::Get),
            Workload::Miss => hot(Operation::Miss),
            Workload::HotGet => lookups::hot(job, |id| store.get(id)),
            Workload::HotRead => lookups::hot(job, |id| store.read(id)),
            Workload::Replace => hot(Operation::Replace),
            Workload::Readd => writes::readd(store, job, thread),
            Workload::Tls12 => churn::tls12(store, job, thread),
            Workload::Tail => churn::tail(store, job, thread),
            Workload::Tls13 => hot(Operation::Tls13),
            Workload::Fill => lifecycle::fill(store, job, thread),
            Workload::Grow => lifecycle::grow(store, job, thread),
            Workload::Remove => lifecycle::remove(store, job, thread),
            Workload::Flush => lifecycle::flush(store, job, thread),
        },
    }
}

/// Adds the sessions with the numbers below `capacity`.
pub fn fill<S: Store>(store: &S, capacity: u64) {
    for number in 0..capacity {
        let id = Id::of(number);
        store.add(&id, S::Value::make(&id, Lifetime::Unset));
    }
}

/// The counter and the clock of a run.
struct SampleCounter {
    start: Instant,
    /// Time that is not the store's.
    waited: Duration,
    delayed: Duration,
    lookups: u64,
    hits: u64,
}

impl SampleCounter {
    fn begin() -> Self {
        let delayed = time_delayed();
        Self { start: Instant::now(), waited: Duration::ZERO, delayed, lookups: 0, hits: 0 }
    }

    #[inline]
    fn count(&mut self, is_hit: bool) {
        self.lookups += 1;
        self.hits += u64::from(is_hit);
    }

    /// Lets threads catch up that have added less than `added`, this thread's count; the wait does
    /// not count.
    #[inline]
    fn throttle(&mut self, job: &Job, thread: u64, added: u64) {
        if added.is_multiple_of(ADDS_PER_LOOK) && job.threads > 1 {
            self.waited += job.throttle.wait(thread, added, LEAD);
        }
    }

    fn end(self, ops: u64) -> Sample {
        let elapsed = self.start.elapsed().saturating_sub(self.waited);
        // A wait for the others may have been a delay as well, and must not be subtracted twice.
        let delayed =
            time_delayed().saturating_sub(self.delayed).saturating_sub(self.waited).min(elapsed);
        let nanos = (elapsed - delayed).as_nanos().max(1) as u64;
        let delayed_nanos = delayed.as_nanos() as u64;
        Sample { nanos, delayed_nanos, ops, lookups: self.lookups, hits: self.hits, latency: None }
    }
}

/// After so many adds a thread looks whether it has run ahead, and by how many it may.
const ADDS_PER_LOOK: u64 = 64;
const LEAD: u64 = 2 * ADDS_PER_LOOK;

/// The random numbers of one thread in one run.
fn random(job: &Job, thread: u64) -> SmallRng {
    SmallRng::seed_from_u64(job.seed.wrapping_mul(0x1_0001).wrapping_add(thread))
}

/// The oldest number of the window.
fn window_start(job: &Job) -> u64 {
    (job.first * job.threads).saturating_sub(job.capacity)
}

/// The id of a thread's session.
#[inline]
fn id_of(job: &Job, thread: u64, index: u64) -> Id {
    Id::of(index.wrapping_mul(job.threads).wrapping_add(thread))
}

/// The length of a popularity list.
const POPULARITY_LEN: usize = 1 << 20;
/// Bits of a popularity entry that hold the client's index within its thread.
const CLIENT_BITS: u32 = 28;

/// A list of clients drawn by zipf, for `Tls12`: thread and index of each, packed. Drawn
/// beforehand, because drawing costs as much as a lookup.
pub fn popularity(capacity: u64, threads: u64) -> Arc<[u32]> {
    const EXPONENT: f64 = 0.9;
    let mut random = StdRng::seed_from_u64(capacity);
    let zipf = Zipf::new(capacity as f64, EXPONENT).expect("the parameters are valid");
    let draw = || {
        let rank = zipf.sample(&mut random) as u64 - 1;
        // A prime beyond every capacity: popular clients are spread over the window.
        let client = rank * 0xffff_fffb % capacity;
        (((client % threads) << CLIENT_BITS) | (client / threads)) as u32
    };
    std::iter::repeat_with(draw).take(POPULARITY_LEN).collect()
}
