//! Threads that come and go: what they leave in limbo is freed by others, and their number leaves
//! no trace.
#![forbid(unsafe_code)]

use super::outcome::{Figures, Outcome};
use super::support::{median, repeat};
use anyhow::{Result, anyhow, ensure};
use sessile::SessionCache;
use std::cell::RefCell;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use testkit::allocator::{ALL_SIZES, weigh};
use testkit::{Ledger, Payload, ensure_accounted, ensure_whole, id};

type Cache = SessionCache<Payload>;

/// How long leftovers may stay while another thread works.
const PATIENCE: Duration = Duration::from_secs(60);

/// Threads in a wave, waves before memory is weighed for the first time, and waves in all.
const WAVE: u64 = 8;
const WAVES_BEFORE: u64 = 40;
const WAVES: u64 = 500;

/// Bytes that may be live more after a few thousand more threads: what the allocator of a queue may
/// have rounded up to, and a chunk of the slab, in which the last few sessions lie or do not.
const GROWTH_MAX: isize = 2 * (64 << 10);

pub(crate) fn run(time: Duration, figures: &mut Figures) -> Result<()> {
    figures.faults.push(leftovers(time / 3)?);
    figures.faults.push(short_lived()?);
    figures.faults.push(many_caches()?);
    figures.faults.push(teardown(time / 6)?);
    Ok(())
}

/// A thread retires a few sessions and exits; another thread works on.
fn leftovers(time: Duration) -> Result<Outcome> {
    let mut outcome = Outcome::new("threads: leftovers at exit");
    let cache = SessionCache::new(100)?;
    let mut waits = Vec::new();
    repeat(time, |round| {
        let left = [1, 2, 10, 63, 64, 65, 200, 1000][round as usize % 8];
        outcome.attempt(format_args!("{left} left behind"), || {
            let ledger = Ledger::new();
            join(|| {
                for number in 0..left {
                    drop(cache.add(ledger.session(number)));
                    cache.remove_id(&id(number));
                }
            })?;
            let waited = work_until_gone(&cache, &ledger)?;
            waits.push(waited.as_secs_f64() * 1e3);
            ensure_whole(&cache)
        });
    });
    let most = waits.iter().copied().fold(0.0, f64::max);
    outcome.note(format!(
        "freed by another thread's adds after {:.2} ms, at most {most:.2}",
        median(waits)
    ));
    Ok(outcome)
}

/// Replaces sessions of its own until those of `ledger` are gone.
fn work_until_gone(cache: &Cache, ledger: &Ledger) -> Result<Duration> {
    let own = Ledger::new();
    let start = Instant::now();
    for number in 0.. {
        if ledger.alive() == 0 {
            break;
        }
        ensure!(start.elapsed() < PATIENCE, "{} are alive after {PATIENCE:?}", ledger.alive());
        drop(cache.add(own.session(number % 10)));
    }
    Ok(start.elapsed())
}

fn join(work: impl FnOnce() + Send) -> Result<()> {
    thread::scope(|scope| scope.spawn(work).join()).map_err(|_| anyhow!("the thread died"))
}

/// Makes an attempt a round. Returns by how many bytes more are live after all rounds than after
/// the `early` one.
fn growth(
    outcome: &mut Outcome,
    rounds: u64,
    early: u64,
    mut round: impl FnMut(u64) -> Result<()>,
) -> isize {
    weigh(ALL_SIZES, |live| {
        let mut before = 0;
        for nth in 0..rounds {
            outcome.attempt(format_args!("round {nth}"), || round(nth));
            if nth == early {
                before = live();
            }
        }
        live() - before
    })
}

fn ensure_small(growth: isize) -> Result<()> {
    ensure!(growth <= GROWTH_MAX, "{growth} bytes more after further rounds");
    Ok(())
}

/// Thousands of threads, a few at a time: the records of those that are gone serve the next.
fn short_lived() -> Result<Outcome> {
    let mut outcome = Outcome::new("threads: thousands, short-lived");
    let cache = SessionCache::new(100)?;
    let ledger = Ledger::new();
    let grown = growth(&mut outcome, WAVES, WAVES_BEFORE, |wave| {
        run_wave(&cache, &ledger, wave)?;
        if wave % 50 == 0 {
            ensure_whole(&cache)?;
        }
        if wave == WAVES_BEFORE || wave == WAVES - 1 {
            cache.collect();
        }
        Ok(())
    });
    outcome.attempt("memory", || {
        ensure_small(grown)?;
        cache.clear();
        ensure_accounted(&cache, &ledger)
    });
    outcome.note(format!(
        "{} threads; {grown} bytes more live after all than after the first tenth",
        WAVE * WAVES
    ));
    Ok(outcome)
}

fn run_wave(cache: &Cache, ledger: &Arc<Ledger>, wave: u64) -> Result<()> {
    thread::scope(|scope| {
        let work = |thread: u64| {
            let number = (wave * WAVE + thread) % 300;
            drop(cache.add(ledger.session(number)));
            drop(cache.take(&id(number / 2)));
            drop(cache.add(ledger.session(number)));
        };
        let running: Vec<_> = (0..WAVE).map(|thread| scope.spawn(move || work(thread))).collect();
        running.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow!("a thread died")))
    })
}

/// One thread that uses thousands of caches, one after the other and some at a time.
fn many_caches() -> Result<Outcome> {
    let mut outcome = Outcome::new("threads: one with many caches");
    let ledger = Ledger::new();
    let use_one = |number: u64| -> Result<Cache> {
        let cache = SessionCache::new(3)?;
        for n in 0..10 {
            drop(cache.add(ledger.session(number + n)));
        }
        Ok(cache)
    };
    let grown = growth(&mut outcome, 2000, 200, |_| {
        let several = (0..3).map(use_one).collect::<Result<Vec<_>>>()?;
        several.iter().try_for_each(ensure_whole)
    });
    outcome.attempt("memory", || {
        ensure_small(grown)?;
        ledger.ensure_alive(0)
    });
    outcome
        .note(format!("6000 caches; {grown} bytes more live after all than after the first tenth"));
    Ok(outcome)
}

/// Uses a cache when it is dropped.
struct LastAct(Option<(Arc<Cache>, Arc<Ledger>)>);

impl Drop for LastAct {
    fn drop(&mut self) {
        if let Some((cache, ledger)) = self.0.take() {
            for number in 0..70 {
                drop(cache.add(ledger.session(number % 5)));
            }
            drop(cache.take(&id(1)));
            cache.collect();
        }
    }
}

thread_local! {
    static LAST_ACT: RefCell<LastAct> = const { RefCell::new(LastAct(None)) };
}

/// Threads whose destructors use the cache, before and after its own thread-local storage went, and
/// drop its last handle.
fn teardown(time: Duration) -> Result<Outcome> {
    let mut outcome = Outcome::new("threads: a cache used in teardown");
    repeat(time, |round| {
        let uses_first = round % 2 == 0;
        outcome.attempt(
            format_args!("cache used before the storage was made: {uses_first}"),
            || {
                let ledger = Ledger::new();
                let cache = Arc::new(SessionCache::new(3)?);
                let (its, last) = (Arc::clone(&ledger), Arc::clone(&cache));
                // Without it the thread's destructor drops the last handle of the cache.
                let kept = (round % 3 != 0).then_some(cache);
                join(move || leave_last_act(last, its, uses_first))?;
                if let Some(cache) = kept {
                    ensure_whole(&cache)?;
                    ensure!([2, 3].contains(&cache.len()), "{} stored", cache.len());
                }
                ledger.ensure_alive(0)?;
                ensure!(ledger.made() >= 70, "the last act was not played");
                Ok(())
            },
        );
    });
    Ok(outcome)
}

fn leave_last_act(cache: Arc<Cache>, ledger: Arc<Ledger>, uses_first: bool) {
    // Thread-local values are dropped in the order in which they were first used, or the reverse:
    // both are tried.
    if uses_first {
        drop(cache.add(ledger.session(0)));
    }
    LAST_ACT.with_borrow_mut(|act| act.0 = Some((Arc::clone(&cache), Arc::clone(&ledger))));
    drop(cache.add(ledger.session(1)));
}
