//! A reader that stalls inside `read` while others work: garbage stays within its limit, and
//! everything else goes on.
//!
//! For each workload the garbage is measured three ways: what the cache says, sampled all the time
//! by a thread of its own; what the cache says once the workers are at rest; and what the allocator
//! says then, which weighs the live blocks of the sessions' size and knows nothing of the cache. A
//! stalled reader frees nothing meanwhile, so what is there at rest is the most that there was.
#![forbid(unsafe_code)]

use super::outcome::{Figures, GarbageFigures, Outcome, WorkloadFigures};
use anyhow::{Context, Result, bail, ensure};
use sessile::{Rejection, Session, SessionCache};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use testkit::allocator::weigh;
use testkit::{ensure_reclaimed, ensure_whole, id, race, watched};

const LIMIT: usize = 16 << 20;

/// A little over 16 KiB, of a size that nothing else in this program has, and for which the slab
/// has no blocks: the allocator sees each of them.
type Bulk = [u64; WORDS];
const WORDS: usize = 2100;

type Cache = SessionCache<Bulk>;

/// The key of the session that the stalled reader looks at. No workload touches it.
const STALLED: u64 = u64::MAX;

struct Workload {
    name: &'static str,
    capacity: usize,
    /// Whether its adds must retire something, so that they are refused sooner or later.
    retires_by_adding: bool,
    /// Whether its capacity changes, so that sessions move between tables.
    moves: bool,
    step: Step,
}

type Step = fn(&Cache, &mut fastrand::Rng, &Seen);

/// One whose adds retire something.
const fn retiring(name: &'static str, capacity: usize, step: Step) -> Workload {
    Workload { name, capacity, retires_by_adding: true, moves: false, step }
}

/// One that retires by other operations.
const fn balanced(name: &'static str, step: Step) -> Workload {
    Workload { retires_by_adding: false, ..retiring(name, 200, step) }
}

/// One that resizes.
const fn moving(name: &'static str, step: Step) -> Workload {
    Workload { moves: true, ..retiring(name, 200, step) }
}

/// What the workers saw.
#[derive(Default)]
struct Seen {
    refused: AtomicU64,
    other_refusals: AtomicU64,
    hits_after_refusal: AtomicU64,
    takes: AtomicU64,
}

impl Seen {
    fn add(&self, cache: &Cache, number: u64) {
        match cache.add(bulk(number)) {
            Err(rejected) if rejected.reason() == Rejection::Garbage => {
                self.refused.fetch_add(1, Ordering::Relaxed)
            }
            Err(_) => self.other_refusals.fetch_add(1, Ordering::Relaxed),
            _ => return,
        };
    }

    fn get(&self, cache: &Cache, number: u64) {
        let is_hit = cache.get(&id(number)).is_some_and(|found| found[7] == number);
        if is_hit && self.refused.load(Ordering::Relaxed) > 0 {
            self.hits_after_refusal.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take(&self, cache: &Cache, number: u64) {
        self.takes.fetch_add(u64::from(cache.take(&id(number)).is_some()), Ordering::Relaxed);
    }
}

const WORKLOADS: [Workload; 7] = [
    retiring("replacing adds", 20, |cache, random, seen| {
        let number = random.u64(..10);
        seen.add(cache, number);
        seen.get(cache, number);
    }),
    retiring("evicting adds, one set", 10, |cache, random, seen| {
        seen.add(cache, random.u64(..1000));
        seen.get(cache, random.u64(..1000));
    }),
    retiring("evicting adds", 200, |cache, random, seen| {
        seen.add(cache, random.u64(..1000));
        seen.get(cache, random.u64(..1000));
    }),
    balanced("add and take", |cache, random, seen| {
        let number = random.u64(..100);
        seen.add(cache, number);
        seen.take(cache, number);
    }),
    balanced("add and remove", |cache, random, seen| {
        let number = random.u64(..100);
        seen.add(cache, number);
        cache.remove_id(&id(number));
    }),
    balanced("adds and flushes of a view", |cache, random, seen| {
        (0..8).for_each(|_| seen.add(cache, random.u64(..100)));
        // The stalled reader's session is in another context.
        cache.view(sessile::Context::NONE).clear();
    }),
    moving("adds and shrinking", |cache, random, seen| {
        (0..50).for_each(|_| seen.add(cache, random.u64(..1000)));
        // Both sizes are valid, and a table of this size finds memory.
        let _ = cache.set_capacity(if random.bool() { 200 } else { 100 });
    }),
];

fn bulk(number: u64) -> Session<Bulk> {
    Session::new(id(number), [number; WORDS])
}

fn stalled_context() -> sessile::Context {
    sessile::Context::from_bytes([0xAA; 32])
}

pub(crate) fn run(time: Duration, figures: &mut Figures) -> Result<()> {
    let block_bytes = footprint()?;
    let mut garbage = GarbageFigures { limit_bytes: LIMIT as u64, ..GarbageFigures::default() };
    let mut outcome = Outcome::new("stall: a reader stalls");
    let each = time / (2 * WORKLOADS.len() as u32);
    for workload in &WORKLOADS {
        for threads in [1, 8] {
            let mut most = 0;
            outcome.attempt(format_args!("{}, {threads} threads", workload.name), || {
                weigh(block_bytes..=block_bytes, |live| {
                    try_workload(workload, threads, each, block_bytes, live, &mut most)
                })
            });
            garbage.max_bytes_seen = garbage.max_bytes_seen.max(most);
            garbage.workloads.push(WorkloadFigures {
                name: workload.name.into(),
                threads,
                max_bytes_seen: most,
                block_bytes: block_bytes as u64,
            });
        }
    }
    figures.faults.push(outcome);
    figures.garbage = Some(garbage);
    Ok(())
}

/// What the cache says that one retired session weighs.
fn footprint() -> Result<usize> {
    let cache = SessionCache::new(10)?;
    ensure!(cache.add(bulk(1)).is_ok_and(|added| added.changed()) && cache.remove_id(&id(1)));
    let garbage = cache.stats().garbage;
    ensure!(garbage.sessions == 1, "one session was retired: {garbage:?}");
    Ok(garbage.bytes as usize)
}

fn try_workload(
    workload: &Workload,
    threads: usize,
    time: Duration,
    block_bytes: usize,
    live: &(dyn Fn() -> isize + Sync),
    most: &mut u64,
) -> Result<()> {
    let cache = SessionCache::builder().capacity(workload.capacity).garbage_limit(LIMIT).build()?;
    let held =
        Session::<Bulk>::builder(id(STALLED)).context(stalled_context()).build([STALLED; WORDS]);
    // The cache's LRU must not evict it for good; the reader holds it by the guard, whatever
    // becomes of it.
    ensure!(cache.add(held).is_ok_and(|added| added.changed()));
    let seen = Seen::default();
    while_a_reader_stalls(&cache, || -> Result<()> {
        let sampled = work(workload, threads, time, &cache, &seen);
        let at_rest = cache.stats().garbage.bytes;
        let weighed = live() as u64 - (cache.len() * block_bytes) as u64;
        *most = sampled.max(at_rest).max(weighed);
        // A session that left while it was being moved gave up a second count, which is garbage
        // that weighs nothing.
        let agrees = if workload.moves { at_rest >= weighed } else { at_rest == weighed };
        ensure!(agrees, "the cache says {at_rest} bytes, the allocator {weighed}");
        ensure!(cache.len() <= cache.capacity());
        check_seen(workload, &seen)?;
        ensure!(
            *most <= LIMIT as u64,
            "garbage reached {most} bytes of {LIMIT}, {}",
            excess(*most, block_bytes)
        );
        Ok(())
    })?;
    after_the_stall(&cache, block_bytes, live)
}

fn excess(most: u64, block_bytes: usize) -> String {
    format!("{} sessions too many", most.saturating_sub(LIMIT as u64).div_ceil(block_bytes as u64))
}

fn check_seen(workload: &Workload, seen: &Seen) -> Result<()> {
    let other_refusals = seen.other_refusals.load(Ordering::Relaxed);
    ensure!(other_refusals == 0, "adds were refused for another reason than garbage");
    unseen(workload, seen).map_or(Ok(()), |what| bail!(what))
}

/// What has to be seen in a workload, and was not yet.
fn unseen(workload: &Workload, seen: &Seen) -> Option<&'static str> {
    let is_none = |counter: &AtomicU64| counter.load(Ordering::Relaxed) == 0;
    // Only these two look up what they added.
    let looks_up = workload.name.contains("ing adds");
    if workload.retires_by_adding && is_none(&seen.refused) {
        Some("no add was refused")
    } else if looks_up && is_none(&seen.hits_after_refusal) {
        Some("no lookup hit once adds were refused")
    } else if workload.name.contains("take") && is_none(&seen.takes) {
        Some("nothing was taken")
    } else {
        None
    }
}

/// How much longer than it should a workload runs on a slow machine, until all was seen.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 60 });

/// Runs the workers, and returns the most garbage that a sampler saw meanwhile.
fn work(workload: &Workload, threads: usize, time: Duration, cache: &Cache, seen: &Seen) -> u64 {
    let most = AtomicU64::new(0);
    let sample = || {
        most.fetch_max(cache.stats().garbage.bytes, Ordering::Relaxed);
        // Leaves the two cores to the workers now and then.
        thread::yield_now();
    };
    let work = |seed| {
        let mut random = fastrand::Rng::with_seed(seed as u64);
        let end = Instant::now() + time;
        let goes_on = || match Instant::now() {
            now if now < end => true,
            now => now < end + PATIENCE && unseen(workload, seen).is_some(),
        };
        while goes_on() {
            (workload.step)(cache, &mut random, seen);
        }
    };
    watched(sample, || race(threads, work));
    most.into_inner()
}

/// Runs `work` while another thread stalls inside `read`.
fn while_a_reader_stalls<R>(cache: &Cache, work: impl FnOnce() -> Result<R>) -> Result<R> {
    let (enter, is_inside) = mpsc::channel();
    let (release, may_go) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            cache.view(stalled_context()).read(&id(STALLED), |session| {
                let entered = enter.send(());
                // The end of the channel, however it comes, ends the stall.
                let _ = may_go.recv();
                entered.is_ok() && session.iter().all(|&word| word == STALLED)
            })
        });
        is_inside.recv().context("the reader found nothing to read")?;
        let result = work();
        drop(release);
        let read = reader.join().ok().flatten();
        ensure!(read == Some(true), "what was read did not stay whole");
        result
    })
}

/// Everything goes, adds are welcome again, and the allocator agrees.
fn after_the_stall(
    cache: &Cache,
    block_bytes: usize,
    live: &(dyn Fn() -> isize + Sync),
) -> Result<()> {
    ensure_reclaimed(cache)?;
    let stored = (cache.len() * block_bytes) as isize;
    ensure!(live() == stored, "{} bytes live, {stored} stored", live());
    for number in 0..1000 {
        let added = cache.add(bulk(number));
        ensure!(
            added.as_ref().is_ok_and(|added| added.changed()),
            "an add after the stall: {added:?}, {:?}",
            cache.stats()
        );
    }
    ensure_whole(cache)
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, WORKLOADS, Workload, footprint, retiring, try_workload};
    use std::time::Duration;
    use testkit::allocator::weigh;

    fn attempt(workload: &Workload) -> (anyhow::Result<()>, u64) {
        let bytes = footprint().unwrap();
        let mut most = 0;
        let time = Duration::from_millis(100);
        let result =
            weigh(bytes..=bytes, |live| try_workload(workload, 1, time, bytes, live, &mut most));
        (result, most)
    }

    /// One thread that replaces one key can neither pass the limit nor stay far below it.
    #[test]
    fn a_workload_that_keeps_the_limit_holds() {
        let (result, most) = attempt(&WORKLOADS[0]);
        assert!(result.is_ok(), "{result:?}");
        assert!(most > LIMIT as u64 / 2, "{most} bytes");
    }

    #[test]
    fn a_workload_whose_adds_are_never_refused_is_found_out() {
        assert!(attempt(&retiring("nothing", 20, |_, _, _| ())).0.is_err());
    }
}
