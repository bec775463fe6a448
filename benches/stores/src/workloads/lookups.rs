//! Lookups in a store that stands still.

use super::{Meter, SampleCounter, random, window_start};
use crate::ids::{Id, NEVER_STORED};
use crate::sample::{Job, Sample};
use crate::store::Store;
use rand::RngExt;

/// Uniform over the window.
pub(super) fn hit<S: Store>(store: &S, job: &Job, thread: u64, meter: &mut impl Meter) -> Sample {
    let start = window_start(job);
    let mut random = random(job, thread);
    let mut counter = SampleCounter::begin();
    for _ in 0..job.ops {
        let id = Id::of(start + u64::from(random.random_range(0..job.capacity as u32)));
        counter.count(meter.take(|| store.get(&id)));
    }
    counter.end(job.ops)
}

/// Ids that nobody stored.
pub(super) fn miss<S: Store>(store: &S, job: &Job, thread: u64, meter: &mut impl Meter) -> Sample {
    let mut random = random(job, thread);
    let mut counter = SampleCounter::begin();
    for _ in 0..job.ops {
        let id = Id::of(NEVER_STORED + u64::from(random.random::<u32>()));
        counter.count(meter.take(|| store.get(&id)));
    }
    counter.end(job.ops)
}

/// One session, looked up by everybody.
pub(super) fn hot(job: &Job, lookup: impl Fn(&Id) -> bool) -> Sample {
    let id = Id::of(window_start(job) + job.capacity / 2);
    let mut counter = SampleCounter::begin();
    for _ in 0..job.ops {
        counter.count(lookup(std::hint::black_box(&id)));
    }
    counter.end(job.ops)
}
