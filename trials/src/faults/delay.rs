//! How long a removed secret stays in memory: from the return of the removal to the wiping of the
//! payload.
//!
//! Three situations: threads that work on, a thread that goes idle after it removed while another
//! works on, and a cache that falls idle and is told to collect. The payload notes the time when
//! its drop has wiped it. A payload that was wiped before the removal returned waited for nothing.
#![forbid(unsafe_code)]

use super::outcome::{Delays, Figures, Outcome, WipeFigures};
use super::support::repeat;
use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use sessile::{Secret, Session, SessionCache};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};
use testkit::{disturbed, ended, id};

/// Longer than this is a failure, not a delay.
const PATIENCE: Duration = Duration::from_secs(60);

/// Of this many removals by a busy thread, one is sampled.
const REMOVALS_PER_SAMPLE: u64 = 64;

const THREADS: u64 = 2;
const IDLE_THREADS: usize = 8;

type Cache = SessionCache<Timed>;

/// Nanoseconds since the first call; never 0.
fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_nanos() as u64 + 1
}

/// When a session was removed and when it was wiped; 0 until then.
#[derive(Default)]
struct Times {
    removed: AtomicU64,
    wiped: AtomicU64,
}

impl Times {
    fn is_wiped(&self) -> bool {
        self.wiped.load(Ordering::Acquire) != 0
    }

    fn delay(&self) -> Option<Duration> {
        let wiped = Some(self.wiped.load(Ordering::Acquire)).filter(|&time| time != 0)?;
        Some(Duration::from_nanos(wiped.saturating_sub(self.removed.load(Ordering::Acquire))))
    }
}

/// A secret that says when it was wiped. Fields are dropped in their order: first wiped, then
/// noted.
struct Timed {
    _secret: Secret,
    _note: Note,
}

struct Note(Option<Arc<Times>>);

impl Drop for Note {
    fn drop(&mut self) {
        if let Some(times) = &self.0 {
            times.wiped.store(now(), Ordering::Release);
        }
    }
}

fn session(number: u64, times: Option<Arc<Times>>) -> Session<Timed> {
    let secret = Secret::from(&[0x5A; 200][..]);
    Session::new(id(number), Timed { _secret: secret, _note: Note(times) })
}

/// Adds a session and removes it, and notes when the removal returned.
fn remove_one(cache: &Cache, number: u64) -> Arc<Times> {
    let times = Arc::new(Times::default());
    drop(cache.add(session(number, Some(Arc::clone(&times)))));
    // If another thread evicted it, that was a removal of the same kind a moment earlier.
    cache.remove_id(&id(number));
    times.removed.store(now(), Ordering::Release);
    times
}

/// What keeps a cache busy: sessions come, are looked up, are taken.
fn work(cache: &Cache, random: &mut fastrand::Rng) {
    let number = random.u64(..2000);
    drop(cache.add(session(number, None)));
    drop(cache.get(&id(random.u64(..2000))));
    drop(cache.take(&id(random.u64(..2000))));
}

/// A situation: its key in the figures, its name, which part of the time it gets, and its samples.
type Situation = (&'static str, &'static str, u32, fn(Duration) -> Result<Vec<Arc<Times>>>);

const SITUATIONS: [Situation; 3] = [
    ("busy", "delay: busy", 3, busy),
    ("idle_thread", "delay: idle thread", 3, idle_threads),
    (COLLECTED, "delay: idle cache, collect()", 6, collected),
];

/// The situation that does not count among all delays: the program asks for the wiping.
const COLLECTED: &str = "collected";

pub(crate) fn run(time: Duration, figures: &mut Figures) -> Result<()> {
    let mut all = Histogram::new(3)?;
    let mut parts = BTreeMap::new();
    for (key, name, part, situation) in SITUATIONS {
        let mut outcome = Outcome::new(name);
        let mut delays = Histogram::new(3)?;
        for times in situation(time / part)? {
            outcome.attempt("a removed session", || {
                let delay = times.delay().context("not wiped before the cache went")?;
                // Recorded even if it is too long.
                delays.record(delay.as_nanos() as u64)?;
                ensure!(delay < PATIENCE, "wiped after {delay:?}");
                Ok(())
            });
        }
        if key != COLLECTED {
            all.add(&delays)?;
        }
        parts.insert(key, milliseconds(&delays));
        figures.faults.push(outcome);
    }
    figures.wipe_ms = Some(WipeFigures { all: milliseconds(&all), parts });
    Ok(())
}

fn milliseconds(delays: &Histogram<u64>) -> Delays {
    let at = |quantile| delays.value_at_quantile(quantile) as f64 / 1e6;
    Delays { p50: at(0.5), p99: at(0.99), max: delays.max() as f64 / 1e6, samples: delays.len() }
}

/// Threads that all work on; each samples its own removals.
fn busy(time: Duration) -> Result<Vec<Arc<Times>>> {
    let cache = SessionCache::new(1000)?;
    let sample = |seed: u64| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut samples = Vec::new();
        repeat(time, |round| {
            work(&cache, &mut random);
            if round % REMOVALS_PER_SAMPLE == 0 {
                samples.push(remove_one(&cache, 10_000 + seed));
            }
        });
        work_until_wiped(&cache, &mut random, &samples);
        samples
    };
    let samples = thread::scope(|scope| {
        let running: Vec<_> = (0..THREADS).map(|seed| scope.spawn(move || sample(seed))).collect();
        ended(running)
    });
    Ok(samples.into_iter().flatten().collect())
}

/// The situation is "busy", so it goes on until the last sample is wiped.
fn work_until_wiped(cache: &Cache, random: &mut fastrand::Rng, samples: &[Arc<Times>]) {
    let start = Instant::now();
    while start.elapsed() < PATIENCE && !samples.iter().rev().all(|one| one.is_wiped()) {
        (0..64).for_each(|_| work(cache, random));
    }
}

/// Several threads at a time that remove a few sessions and then do nothing, while one works on.
fn idle_threads(time: Duration) -> Result<Vec<Arc<Times>>> {
    let cache: Cache = SessionCache::new(1000)?;
    let mut samples = Vec::new();
    disturbed(
        1,
        |random| work(&cache, random),
        || {
            repeat(time, |_| {
                let removals = [1, 3, 10, 63, 64, 100, 200, 500];
                thread::scope(|scope| {
                    let idle = |nth: usize| {
                        let keys = 10_000 + 1000 * nth as u64..;
                        let mine: Vec<_> = keys
                            .take(removals[nth])
                            .map(|number| remove_one(&cache, number))
                            .collect();
                        let start = Instant::now();
                        while start.elapsed() < PATIENCE && !mine.iter().all(|one| one.is_wiped()) {
                            thread::sleep(Duration::from_micros(200));
                        }
                        mine
                    };
                    let running: Vec<_> =
                        (0..IDLE_THREADS).map(|nth| scope.spawn(move || idle(nth))).collect();
                    samples.extend(ended(running).into_iter().flatten());
                });
            });
        },
    );
    ensure!(!samples.is_empty(), "nothing was removed");
    Ok(samples)
}

/// A cache that nobody uses but by `collect`, right after a few removals.
fn collected(time: Duration) -> Result<Vec<Arc<Times>>> {
    let cache: Cache = SessionCache::new(1000)?;
    let mut samples = Vec::new();
    repeat(time, |round| {
        let mine: Vec<_> = (0..1 + round % 100).map(|number| remove_one(&cache, number)).collect();
        cache.collect();
        samples.extend(mine);
        // Idle, and no more samples than the other situations give.
        thread::sleep(Duration::from_millis(1));
    });
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::{Times, milliseconds, remove_one, session};
    use hdrhistogram::Histogram;
    use sessile::SessionCache;
    use std::sync::Arc;

    #[test]
    fn a_secret_that_is_held_is_not_wiped() {
        let cache = SessionCache::new(10).unwrap();
        let times = Arc::new(Times::default());
        let held = session(1, Some(Arc::clone(&times)));
        assert!(
            cache.add(held.clone()).is_ok_and(|added| added.changed())
                && cache.remove_id(&held.id())
        );
        cache.collect();
        assert_eq!(times.delay(), None);
        drop(held);
        assert!(times.delay().is_some());
    }

    #[test]
    fn a_removal_alone_waits_for_the_collect() {
        let cache = SessionCache::new(10).unwrap();
        let times = remove_one(&cache, 1);
        assert!(!times.is_wiped());
        cache.collect();
        assert!(times.is_wiped());
    }

    #[test]
    fn delays_are_told_in_milliseconds() {
        let mut delays = Histogram::new(3).unwrap();
        (1..=100).for_each(|n| delays.record(n * 1_000_000).unwrap());
        let told = milliseconds(&delays);
        assert!(
            (told.p50 - 50.0).abs() < 0.1 && (told.max - 100.0).abs() < 0.2 && told.samples == 100
        );
    }
}
