//! Hooks that do what hooks may do: call every operation, end caches, be replaced while they run.
//!
//! That a hook may panic is the business of `panics`. The last handle of the cache whose hook runs
//! cannot be dropped by that hook: its caller borrows the cache. But a hook, or the closure of
//! `read`, may drop the last handle of every other cache, and the hook's own handle, which
//! `set_hooks` may drop while the hook runs.
#![forbid(unsafe_code)]

use super::outcome::{Figures, Outcome};
use super::support::{repeat, within};
use anyhow::{Context, Result, ensure};
use sessile::{Hooks, ManualClock, Mode, RemovalCause, Session, SessionCache};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::Duration;
use testkit::{Ledger, Payload, START, disturbed, ended, ensure_accounted, ensure_whole, id};

type Cache = SessionCache<Payload>;

const WATCHDOG: Duration = Duration::from_secs(10);
const CAPACITY: usize = 20;
const HOOKS: [&str; 3] = ["on_added", "on_removed", "on_miss"];

/// Every operation of a cache, on keys near `number`.
type Operation = (&'static str, Run);
type Run = fn(&Cache, &Arc<Ledger>, u64);

const OPERATIONS: [Operation; 17] = [
    ("add", |cache, ledger, number| drop(cache.add(ledger.session(number)))),
    ("get", |cache, _, number| drop(cache.get(&id(number)))),
    ("get of nothing", |cache, _, number| drop(cache.get(&id(1000 + number)))),
    ("read", |cache, _, number| _ = cache.read(&id(number), |found| found.number())),
    ("take", |cache, _, number| drop(cache.take(&id(number)))),
    ("remove", |cache, _, number| {
        drop(cache.get(&id(number)).inspect(|found| _ = cache.remove(found)))
    }),
    ("remove_id", |cache, _, number| _ = cache.remove_id(&id(number))),
    ("flush_expired", |cache, _, _| _ = cache.flush_expired_at(START + 1)),
    ("clear", |cache, _, _| _ = cache.clear()),
    // Sizes that are valid and small.
    ("set_capacity", |cache, _, number| _ = cache.set_capacity(CAPACITY + (number % 3) as usize)),
    ("len", |cache, _, _| _ = cache.len()),
    ("snapshot", |cache, _, _| drop(cache.snapshot())),
    ("view", |cache, ledger, number| {
        drop(cache.view(sessile::Context::NONE).add(ledger.session(number)))
    }),
    ("stats", |cache, _, _| _ = cache.stats()),
    ("collect", |cache, _, _| cache.collect()),
    ("set_mode", |cache, _, _| cache.set_mode(Mode::default())),
    ("set_timeout", |cache, _, _| cache.set_timeout(Duration::from_secs(7200))),
];

thread_local! {
    /// Hooks that this thread is inside of.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Hooks may call what calls hooks.
fn nested(depth_max: u32, f: impl FnOnce()) {
    let depth = DEPTH.get();
    if depth < depth_max {
        DEPTH.set(depth + 1);
        f();
        DEPTH.set(depth);
    }
}

pub(crate) fn run(time: Duration, figures: &mut Figures) -> Result<()> {
    figures.faults.push(reentering(time / 3));
    figures.faults.push(ending(time / 3));
    figures.faults.push(replaced(time / 3));
    Ok(())
}

fn reentering(time: Duration) -> Outcome {
    let mut outcome = Outcome::new("hooks: every operation from each");
    repeat(time, |_| {
        for hook in HOOKS {
            for (name, operation) in OPERATIONS {
                outcome.attempt(format_args!("{name} from {hook}"), || {
                    within(WATCHDOG, move || reenter(hook, operation))
                });
            }
        }
    });
    outcome
}

/// A cache whose one hook runs `act`, with the number of times that it ran.
fn hooked(
    hook: &str,
    act: impl Fn(u64) + Send + Sync + 'static,
) -> Result<(Cache, Arc<AtomicU64>)> {
    let calls = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&calls);
    let act = move |number: u64| {
        counter.fetch_add(1, Ordering::Relaxed);
        act(number);
    };
    let builder = SessionCache::builder().capacity(CAPACITY).clock(ManualClock::new(START));
    let builder = match hook {
        "on_added" => builder.on_added(move |one: &Session<Payload>| act(one.number())),
        "on_removed" => builder.on_removed(move |one: &Session<Payload>, _| act(one.number())),
        _ => builder.on_miss(move |asked, _| {
            act(u64::from(asked.as_bytes()[31]));
            None
        }),
    };
    Ok((builder.build()?, calls))
}

fn reenter(hook: &'static str, operation: fn(&Cache, &Arc<Ledger>, u64)) -> Result<()> {
    let ledger = Ledger::new();
    let own: Arc<OnceLock<Weak<Cache>>> = Arc::default();
    let (its, books) = (Arc::clone(&own), Arc::clone(&ledger));
    let (cache, calls) = hooked(hook, move |number| {
        if let Some(cache) = its.get().and_then(Weak::upgrade) {
            nested(2, || operation(&cache, &books, number + 1));
        }
    })?;
    let cache = Arc::new(cache);
    ensure!(own.set(Arc::downgrade(&cache)).is_ok(), "named once");
    let work = |seed: u64| {
        for number in 0..60 {
            drop(cache.add(ledger.session(seed + number % 30)));
            drop(cache.get(&id(number)));
            drop(cache.take(&id(2 * number)));
        }
    };
    thread::scope(|scope| ended(vec![scope.spawn(|| work(0)), scope.spawn(|| work(7))]));
    ensure!(calls.load(Ordering::Relaxed) > 0, "the hook was never called");
    ensure_accounted(&cache, &ledger)?;
    drop(cache);
    ledger.ensure_alive(0)
}

/// Hooks and readers that drop the last handle of another cache, or their own handle of this one.
fn ending(time: Duration) -> Outcome {
    let mut outcome = Outcome::new("hooks: a cache ends in one");
    repeat(time, |_| {
        for hook in HOOKS {
            outcome.attempt(format_args!("another cache in {hook}"), || {
                within(WATCHDOG, move || end_another(hook))
            });
            outcome.attempt(format_args!("its own handle in {hook}"), || {
                within(WATCHDOG, move || end_own(hook))
            });
        }
        outcome.attempt("another cache in the closure of read", || within(WATCHDOG, end_in_read));
        outcome.attempt("by the other thread that uses it", || within(WATCHDOG, end_by_two));
    });
    outcome
}

fn full(ledger: &Arc<Ledger>) -> Result<Cache> {
    let cache = SessionCache::new(CAPACITY)?;
    (0..50).for_each(|number| drop(cache.add(ledger.session(number))));
    Ok(cache)
}

/// Adds, misses and takes.
fn call_each_hook(cache: &Cache, ledger: &Arc<Ledger>) {
    drop(cache.add(ledger.session(1)));
    drop(cache.get(&id(2)));
    drop(cache.take(&id(1)));
}

fn end_another(hook: &'static str) -> Result<()> {
    let (outer, inner) = (Ledger::new(), Ledger::new());
    let victim = Mutex::new(Some(full(&inner)?));
    let (cache, _) = hooked(hook, move |_| {
        drop(victim.lock().unwrap_or_else(PoisonError::into_inner).take());
    })?;
    call_each_hook(&cache, &outer);
    inner.ensure_alive(0).context("the cache that the hook ended")?;
    ensure_whole(&cache)?;
    drop(cache);
    outer.ensure_alive(0)
}

/// The hook owns a handle of its own cache, a cycle that it breaks by replacing itself; then the
/// caller's is the last.
fn end_own(hook: &'static str) -> Result<()> {
    let ledger = Ledger::new();
    let own: Arc<Mutex<Option<Arc<Cache>>>> = Arc::default();
    let its = Arc::clone(&own);
    let (cache, calls) = hooked(hook, move |_| {
        let handle = its.lock().unwrap_or_else(PoisonError::into_inner).take();
        handle.inspect(|cache| cache.set_hooks(Hooks::new()));
    })?;
    let cache = Arc::new(cache);
    *own.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&cache));
    call_each_hook(&cache, &ledger);
    ensure!(calls.load(Ordering::Relaxed) == 1, "the hook that took itself off was called again");
    ensure!(Arc::strong_count(&cache) == 1, "the hook's handle is still there");
    ensure_whole(&cache)?;
    drop(cache);
    ledger.ensure_alive(0)
}

fn end_in_read() -> Result<()> {
    let (outer, inner) = (Ledger::new(), Ledger::new());
    let (cache, victim) = (full(&outer)?, full(&inner)?);
    drop(cache.add(outer.session(1)));
    let before = outer.alive();
    let read = cache.read(&id(1), move |found| {
        drop(victim);
        found.number()
    });
    ensure!(read == Some(1), "the reader did not read");
    ensure!(inner.alive() == 0 && outer.alive() == before, "too many or too few payloads went");
    ensure_whole(&cache)
}

/// Two threads use a cache and drop their handles; whichever is last ends it, perhaps in the middle
/// of its payloads' drops.
fn end_by_two() -> Result<()> {
    let ledger = Ledger::new();
    let cache = Arc::new(full(&ledger)?);
    let work = |cache: Arc<Cache>| {
        for number in 0..100 {
            drop(cache.add(ledger.session(number)));
        }
    };
    thread::scope(|scope| {
        let its = Arc::clone(&cache);
        ended(vec![scope.spawn(|| work(its)), scope.spawn(|| work(cache))])
    });
    ledger.ensure_alive(0)
}

/// Counts on behalf of one set of hooks, and is counted itself.
struct Shift {
    told: Arc<[AtomicU64; 3]>,
    on_duty: Arc<AtomicU64>,
}

impl Shift {
    fn begin(told: &Arc<[AtomicU64; 3]>, on_duty: &Arc<AtomicU64>) -> Hooks<Payload> {
        on_duty.fetch_add(1, Ordering::SeqCst);
        let shift = Arc::new(Self { told: Arc::clone(told), on_duty: Arc::clone(on_duty) });
        let (added, removed, missed) = (Arc::clone(&shift), Arc::clone(&shift), shift);
        Hooks::new()
            .on_added(move |_| added.count(0))
            .on_removed(move |_, cause| {
                if cause != RemovalCause::Replaced {
                    removed.count(1);
                }
            })
            .on_miss(move |_, _| {
                missed.count(2);
                None
            })
    }

    fn count(&self, event: usize) {
        self.told[event].fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Shift {
    fn drop(&mut self) {
        self.on_duty.fetch_sub(1, Ordering::SeqCst);
    }
}

/// All hooks are replaced over and over: each event is told once, to the old ones or to the new,
/// and the old ones go.
fn replaced(time: Duration) -> Outcome {
    let mut outcome = Outcome::new("hooks: replaced while they run");
    repeat(time, |_| outcome.attempt("replacement", try_replaced));
    outcome
}

fn try_replaced() -> Result<()> {
    let (told, on_duty) = (Arc::new([const { AtomicU64::new(0) }; 3]), Arc::new(AtomicU64::new(0)));
    let ledger = Ledger::new();
    let builder = SessionCache::builder().capacity(CAPACITY).hooks(Shift::begin(&told, &on_duty));
    let cache: Cache = builder.build()?;
    let use_it = |random: &mut fastrand::Rng| {
        let number = random.u64(..40);
        drop(cache.add(ledger.session(number)));
        drop(cache.take(&id(random.u64(..40))));
        drop(cache.get(&id(random.u64(..40))));
    };
    disturbed(2, use_it, || {
        let is_told = || told.iter().all(|count| count.load(Ordering::Relaxed) > 100);
        let mut rounds = 0;
        while (rounds < 1000 || !is_told()) && rounds < 1_000_000 {
            cache.set_hooks(Shift::begin(&told, &on_duty));
            rounds += 1;
        }
    });
    let stats = cache.stats();
    let left = stats.removed + stats.taken + stats.evicted + stats.expired + stats.flushed;
    let happened = [stats.added + stats.replaced, left, stats.misses];
    let heard: Vec<_> = told.iter().map(|count| count.load(Ordering::SeqCst)).collect();
    ensure!(heard == happened, "told {heard:?} of {happened:?}");
    ensure!(happened.iter().all(|&events| events > 0), "nothing happened: {happened:?}");
    ensure!(
        on_duty.load(Ordering::SeqCst) == 1,
        "{} sets of hooks live",
        on_duty.load(Ordering::SeqCst)
    );
    ensure_whole(&cache)?;
    drop(cache);
    ensure!(on_duty.load(Ordering::SeqCst) == 0, "hooks outlive their cache");
    Ok(())
}
