//! The cache under a scheduler that does as it is told.
//!
//! A *scenario* is what a few threads do to a small cache: at most twelve operations on three keys.
//! A *schedule* is who runs when, at every access to an atomic. Both are decoded from bytes
//! ([`Scenario::decode`], [`Bytes`]), so that a fuzzer that follows the coverage searches for
//! interleavings, and a file repeats one exactly. [`stage`] runs a scenario and judges it: one
//! order must explain each key's history ([`testkit::histories`]), and every payload must be
//! dropped once.
//!
//! The cache itself is built on shuttle here, by the private cfg `sessile_shuttle`. All atomics are
//! sequentially consistent under it; orderings are the business of the loom models.
#![forbid(unsafe_code)]

#[cfg(not(sessile_shuttle))]
compile_error!("these runs need `--cfg sessile_shuttle`: see `fuzz/README.md`");

#[cfg(not(fuzzing))]
pub mod cli;
pub mod scenario;
pub mod schedule;
pub mod stage;

pub use scenario::Scenario;
pub use schedule::Bytes;
pub use stage::Taker;

use sessile::internals::{Search, Switches};
use shuttle::scheduler::Scheduler;
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};
use std::sync::atomic::{AtomicU64, Ordering};

/// More scheduling points than this in one run count as a livelock. The longest of a million runs
/// has a few thousand.
const STEPS_MAX: usize = 200_000;

/// Stack of one thread, in bytes: sanitizers need more than shuttle's default.
const STACK_BYTES: usize = 256 << 10;

/// Runs what the bytes say. Panics when something is wrong.
pub fn execute(data: &[u8]) {
    let (scenario, schedule) = Scenario::decode(data);
    run(scenario, Bytes::new(schedule), stage::take);
}

/// Runs a scenario under every schedule that the scheduler offers, and returns how many. Panics
/// when something is wrong.
pub fn run(scenario: Scenario, scheduler: impl Scheduler + 'static, taker: Taker) -> usize {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.failure_persistence = FailurePersistence::None;
    config.silence_warnings = true;
    let switches = Switches { real_epoch: scenario.real_epoch, ..Switches::default() };
    let _search = Search::begin(switches);
    Runner::new(scheduler, config).run(move || {
        RUNS.fetch_add(1, Ordering::Relaxed);
        stage::run(&scenario, taker);
    })
}

/// Schedules that were begun in this process.
pub fn runs() -> u64 {
    RUNS.load(Ordering::Relaxed)
}

static RUNS: AtomicU64 = AtomicU64::new(0);
