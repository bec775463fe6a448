//! Recording: threads that leave a gate together, and the cache at rest between two histories.
//!
//! A batch is one cache and the same threads for many histories, one after another, so that epochs,
//! ages, tables and a migration that was left half done carry over from one to the next. Each
//! history begins and ends at rest; what is stored then is its first and its last state.

use super::plan::{KEYS_MAX, Plan, START, SuspendingClock};
use super::script::{self, Actor, LONG};
use super::stamp::Stopwatch;
use anyhow::{Result, anyhow};
use sessile::{Session, SessionCache};
use std::sync::Arc;
use std::thread;
use testkit::Gate;
use testkit::histories::{History, Log, Object, Rest};

/// Histories that are recorded on one cache.
pub(super) const HISTORIES_PER_CACHE: u64 = 64;

/// Calls of all threads together in one history.
const CALLS: usize = 48;

/// A thread numbers its sessions from here; the shared ones come first.
const NUMBERS_PER_THREAD: u32 = 1 << 24;

/// Records `count` histories on one cache, numbered from `first`.
pub(super) fn record(
    plan: Plan,
    seed: u64,
    first: u64,
    count: u64,
    watch: Stopwatch,
) -> Result<Batch> {
    let clock = Arc::new(SuspendingClock::new());
    let cache = plan.builder(&clock).on_removed(script::hook(watch)).build()?;
    let shared: Vec<_> = (0..count).map(|nth| shared_sessions(&plan, nth)).collect();
    let recorder =
        Recorder { plan: &plan, clock: &clock, cache: &cache, shared: &shared, seed, first, watch };
    let gate = Gate::new(plan.threads);
    let rest = || Rest::of(&cache, |session| **session);
    let mut rests = vec![rest()];
    let logs = thread::scope(|scope| {
        let (recorder, gate) = (&recorder, &gate);
        let others: Vec<_> = (1..plan.threads)
            .map(|thread| scope.spawn(move || recorder.run(gate, thread, || ())))
            .collect();
        let mut logs = vec![recorder.run(gate, 0, || rests.push(rest()))];
        for other in others {
            logs.push(other.join().map_err(|_| anyhow!("a recording thread panicked"))?);
        }
        anyhow::Ok(logs)
    })?;
    let histories = histories(&plan, rests, logs);
    Ok(Batch { plan, first, histories })
}

/// What was recorded on one cache.
pub(super) struct Batch {
    pub(super) plan: Plan,
    /// The number of the first history.
    pub(super) first: u64,
    pub(super) histories: Vec<History>,
}

/// One cache, and what is to be recorded on it.
pub(super) struct Recorder<'c> {
    pub(super) plan: &'c Plan,
    pub(super) clock: &'c SuspendingClock,
    pub(super) cache: &'c SessionCache<Object>,
    shared: &'c [Vec<Session<Object>>],
    seed: u64,
    first: u64,
    pub(super) watch: Stopwatch,
}

impl Recorder<'_> {
    /// One thread's part in all histories. `at_rest` is called after each of them, while nobody
    /// uses the cache.
    fn run(&self, gate: &Gate, thread: usize, mut at_rest: impl FnMut()) -> Vec<Log> {
        let mut next = (thread as u32 + 1) * NUMBERS_PER_THREAD;
        let mut logs = Vec::with_capacity(self.shared.len());
        let member = gate.member();
        for (nth, shared) in self.shared.iter().enumerate() {
            let seed = seed_of(self.seed, self.first + nth as u64, thread);
            let actor = Actor::new(self, seed, shared, next);
            if !member.meet(2 * nth) {
                break;
            }
            let (log, used) = actor.act(CALLS / self.plan.threads);
            if !member.meet(2 * nth + 1) {
                break;
            }
            next = used;
            logs.push(log);
            at_rest();
        }
        logs
    }
}

/// A seed of its own for each thread of each history, far from the one that it comes from.
fn seed_of(seed: u64, history: u64, thread: usize) -> u64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let unique = history << 8 | thread as u64;
    (seed ^ unique.wrapping_mul(GOLDEN)).wrapping_mul(GOLDEN).rotate_left(29) ^ GOLDEN
}

/// The sessions that all threads of a history may add, one a key.
fn shared_sessions(plan: &Plan, nth: u64) -> Vec<Session<Object>> {
    let number = |key: u8| nth as u32 * u32::from(KEYS_MAX) + u32::from(key);
    let object = |key: u8| Object { number: number(key), key, expires: START + LONG };
    (0..plan.keys).map(|key| plan.session(object(key), START)).collect()
}

/// Puts together what the threads brought, one list of logs each.
fn histories(plan: &Plan, rests: Vec<Rest>, logs: Vec<Vec<Log>>) -> Vec<History> {
    let mut threads: Vec<_> = logs.into_iter().map(Vec::into_iter).collect();
    let ends = rests.windows(2);
    ends.map(|ends| History {
        keys: plan.keys,
        threads: plan.threads,
        is_roomy: plan.is_roomy(),
        before: ends[0].clone(),
        logs: threads.iter_mut().filter_map(Iterator::next).collect(),
        after: ends[1].clone(),
    })
    .collect()
}
