//! Adds that leave the set of ids as it is.

use super::{Meter, SampleCounter, id_of, random, window_start};
use crate::ids::{IN_HAND, Id};
use crate::sample::{Job, Sample};
use crate::store::{Lifetime, Store, Value};
use rand::RngExt;

/// Sessions that a thread keeps handles of and adds again and again.
const HELD: u64 = 16;

/// Adds the thread's part of the window.
pub(super) fn prefill<S: Store>(store: &S, job: &Job, thread: u64) -> Sample {
    let counter = SampleCounter::begin();
    for index in job.first..job.first + job.ops {
        let id = id_of(job, thread, index);
        store.add(&id, S::Value::make(&id, Lifetime::Unset));
    }
    counter.end(job.ops)
}

/// A new session under a stored id.
pub(super) fn replace<S: Store>(
    store: &S,
    job: &Job,
    thread: u64,
    meter: &mut impl Meter,
) -> Sample {
    let start = window_start(job);
    let mut random = random(job, thread);
    let counter = SampleCounter::begin();
    for _ in 0..job.ops {
        let id = Id::of(start + u64::from(random.random_range(0..job.capacity as u32)));
        meter.take(|| store.add(&id, S::Value::make(&id, Lifetime::Unset)));
    }
    counter.end(job.ops)
}

/// The object that is stored already, from a handle that the thread has.
pub(super) fn readd<S: Store>(store: &S, job: &Job, thread: u64) -> Sample {
    let first = IN_HAND + thread * HELD;
    let held: Vec<_> = (first..first + HELD)
        .map(|number| {
            let id = Id::of(number);
            let session = S::Value::make(&id, Lifetime::Unset);
            store.add(&id, session.clone());
            (id, session)
        })
        .collect();
    let counter = SampleCounter::begin();
    for op in 0..job.ops {
        let (id, session) = &held[(op % HELD) as usize];
        store.add(id, session.clone());
    }
    counter.end(job.ops)
}
