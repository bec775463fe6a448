//! Filling, emptying and sweeping a store of its own.

use super::latency::Stopwatch;
use super::{SampleCounter, id_of, random, window_start};
use crate::ids::Id;
use crate::sample::{Job, Sample};
use crate::store::{Lifetime, Store, Value};
use rand::RngExt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Of the sessions that a sweep removes, and of those that it keeps.
const SHORT_SECONDS: u64 = 1_000;
const LONG_SECONDS: u64 = 1_000_000;
/// The sweep takes place so much later than the sessions were made, as far as it is told.
const SWEPT_AFTER_SECONDS: u64 = 10_000;

/// From empty to full; the time of each add is taken. The sessions are made beforehand.
pub(super) fn fill<S: Store>(store: &S, job: &Job, thread: u64) -> Sample {
    add_all(store, job, thread, |_| Lifetime::Unset)
}

/// The same with sessions of which the first half is short-lived. (In turns would be worse for
/// OpenSSL, which sorts by expiry and looks for the place from one end: tens of microseconds for
/// each of 20,000.)
pub(super) fn grow<S: Store>(store: &S, job: &Job, thread: u64) -> Sample {
    let created = now();
    add_all(store, job, thread, |index| {
        let seconds = if index < job.ops / 2 { SHORT_SECONDS } else { LONG_SECONDS };
        Lifetime::Of { created, seconds }
    })
}

fn add_all<S: Store>(
    store: &S,
    job: &Job,
    thread: u64,
    lifetime: impl Fn(u64) -> Lifetime,
) -> Sample {
    let make = |index| {
        let id = id_of(job, thread, index);
        (id, S::Value::make(&id, lifetime(index)))
    };
    let sessions: Vec<_> = (0..job.ops).map(make).collect();
    let mut stopwatch = Stopwatch::new();
    let counter = SampleCounter::begin();
    for (id, session) in sessions {
        stopwatch.time(|| store.add(&id, session));
    }
    let sample = counter.end(job.ops);
    let nanos = sample.nanos.saturating_sub(stopwatch.own_nanos() * job.ops);
    Sample { nanos, latency: Some(stopwatch.finish()), ..sample }
}

/// From full to empty, in another order than they came, half of them other threads' sessions.
pub(super) fn remove<S: Store>(store: &S, job: &Job, thread: u64) -> Sample {
    // Prime to every capacity.
    const STRIDE: u64 = 0xffff_fffb;
    let first = thread * job.ops;
    let mut counter = SampleCounter::begin();
    for nth in first..first + job.ops {
        counter.count(store.remove(&Id::of(nth * STRIDE % job.capacity)));
    }
    counter.end(job.ops)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The first thread rests, the others look sessions up.
pub(super) fn quiet<S: Store>(store: &S, job: &Job, thread: u64) -> Sample {
    if thread == 0 {
        return Sample { ops: 1, ..Sample::default() };
    }
    let mut left = job.ops;
    look_up(store, job, thread, || {
        left -= 1;
        left > 0
    })
}

/// The first thread sweeps, the others look sessions up meanwhile.
pub(super) fn flush<S: Store>(store: &S, job: &Job, thread: u64) -> Sample {
    if thread > 0 {
        return look_up(store, job, thread, || !job.throttle.is_over());
    }
    let counter = SampleCounter::begin();
    let flushed = store.flush(now() + SWEPT_AFTER_SECONDS);
    let sample = counter.end(job.capacity);
    job.throttle.end();
    assert!(flushed.is_some_and(|flushed| flushed > 0), "the sweep found nothing");
    sample
}

fn look_up<S: Store>(
    store: &S,
    job: &Job,
    thread: u64,
    mut goes_on: impl FnMut() -> bool,
) -> Sample {
    let start = window_start(job);
    let mut random = random(job, thread);
    let mut stopwatch = Stopwatch::new();
    let counter = SampleCounter::begin();
    let mut ops = 0;
    loop {
        let id = Id::of(start + u64::from(random.random_range(0..job.capacity as u32)));
        stopwatch.time(|| store.get(&id));
        ops += 1;
        if !goes_on() {
            return Sample { latency: Some(stopwatch.finish()), ..counter.end(ops) };
        }
    }
}
