//! Adds that leave the set of ids as it is.

use super::{LapCounter, Meter, id_of, random, window_start};
use crate::ids::{IN_HAND, Id};
use crate::lap::{Job, Lap};
use crate::store::{Lifetime, Store, Value};
use rand::RngExt;

/// Sessions that a lane keeps handles of and adds again and again.
const HELD: u64 = 16;

/// Adds the lane's part of the window.
pub(super) fn prefill<S: Store>(store: &S, job: &Job, lane: u64) -> Lap {
    let counter = LapCounter::begin();
    for index in job.first..job.first + job.ops {
        let id = id_of(job, lane, index);
        store.add(&id, S::Value::make(&id, Lifetime::Unset));
    }
    counter.end(job.ops)
}

/// A new session under a stored id.
pub(super) fn replace<S: Store>(store: &S, job: &Job, lane: u64, meter: &mut impl Meter) -> Lap {
    let start = window_start(job);
    let mut random = random(job, lane);
    let counter = LapCounter::begin();
    for _ in 0..job.ops {
        let id = Id::of(start + u64::from(random.random_range(0..job.capacity as u32)));
        meter.take(|| store.add(&id, S::Value::make(&id, Lifetime::Unset)));
    }
    counter.end(job.ops)
}

/// The object that is stored already, from a handle that the lane has.
pub(super) fn readd<S: Store>(store: &S, job: &Job, lane: u64) -> Lap {
    let first = IN_HAND + lane * HELD;
    let held: Vec<_> = (first..first + HELD)
        .map(|number| {
            let id = Id::of(number);
            let session = S::Value::make(&id, Lifetime::Unset);
            store.add(&id, session.clone());
            (id, session)
        })
        .collect();
    let counter = LapCounter::begin();
    for op in 0..job.ops {
        let (id, session) = &held[(op % HELD) as usize];
        store.add(id, session.clone());
    }
    counter.end(job.ops)
}
