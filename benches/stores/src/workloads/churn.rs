//! Sessions come and go, at capacity.
//!
//! Each thread adds sessions of its own. Half of what it removes or looks up is another thread's,
//! so that no store profits from memory that always returns to the thread it came from. Stores that
//! do not evict are told whom to remove: the oldest, exactly one for each session by which they
//! would grow.

use super::latency::Stopwatch;
use super::{CLIENT_BITS, Meter, SampleCounter, Together, id_of};
use crate::ids::Id;
use crate::sample::{Job, Sample};
use crate::store::{Lifetime, Store, Value};

/// `Tls12`: one operation in so many adds a session.
pub(super) const OPS_PER_ADD: u64 = 10;

/// Adds a session and, where the store must be told, removes the one that is a window older.
#[inline]
fn add_at_capacity<S: Store>(store: &S, job: &Job, thread: u64, index: u64) {
    let id = id_of(job, thread, index);
    store.add(&id, S::Value::make(&id, Lifetime::Unset));
    if !S::EVICTS {
        let victim = index.wrapping_sub(job.capacity / job.threads);
        store.remove(&id_of(job, this_or_next(job, thread, index), victim));
    }
}

/// The thread itself for even indices, its neighbour for odd ones.
#[inline]
fn this_or_next(job: &Job, thread: u64, index: u64) -> u64 {
    let thread = thread + index % 2;
    if thread == job.threads { 0 } else { thread }
}

/// Adds only.
pub(super) fn renew<S: Store>(store: &S, job: &Job, thread: u64, meter: &mut impl Meter) -> Sample {
    let mut counter = SampleCounter::begin();
    for index in job.first..job.first + job.ops {
        counter.throttle(job, thread, index - job.first);
        meter.take(|| add_at_capacity(store, job, thread, index));
    }
    counter.end(job.ops)
}

/// Every client has one session at a time, which it renews once per window; lookups are of the
/// newest session of a client drawn by zipf.
pub(super) fn tls12<S: Store>(store: &S, job: &Job, thread: u64) -> Sample {
    resume_and_renew(store, job, thread, |id| store.get(id))
}

/// The same; the time of each lookup is taken.
pub(super) fn tail<S: Store>(store: &S, job: &Job, thread: u64) -> Sample {
    let mut stopwatch = Stopwatch::new();
    let sample = resume_and_renew(store, job, thread, |id| stopwatch.time(|| store.get(id)));
    Sample { latency: Some(stopwatch.finish()), ..sample }
}

#[inline]
fn resume_and_renew<S: Store>(
    store: &S,
    job: &Job,
    thread: u64,
    mut get: impl FnMut(&Id) -> bool,
) -> Sample {
    let mut clients = Clients::new(job, thread);
    let mut counter = SampleCounter::begin();
    for done in 0..job.ops / OPS_PER_ADD {
        counter.throttle(job, thread, done);
        for _ in 1..OPS_PER_ADD {
            counter.count(get(&clients.next()));
        }
        add_at_capacity(store, job, thread, clients.head);
        clients.renew_oldest();
    }
    counter.end(job.ops)
}

/// The clients of the zipf list and their newest sessions.
struct Clients<'j> {
    job: &'j Job,
    cursor: usize,
    /// Sessions added by this thread, and about as many by each other.
    head: u64,
    /// `head` modulo the window.
    offset: u64,
    window: u64,
}

impl<'j> Clients<'j> {
    fn new(job: &'j Job, thread: u64) -> Self {
        let window = job.capacity / job.threads;
        let len = job.popularity.len() as u64;
        let cursor = (thread * (len / job.threads) + job.first * (OPS_PER_ADD - 1)) % len;
        Self { job, cursor: cursor as usize, head: job.first, offset: job.first % window, window }
    }

    #[inline]
    fn next(&mut self) -> Id {
        let entry = self.job.popularity[self.cursor];
        self.cursor = (self.cursor + 1) & (self.job.popularity.len() - 1);
        let (thread, client) =
            (u64::from(entry >> CLIENT_BITS), u64::from(entry & ((1 << CLIENT_BITS) - 1)));
        let turn = self.head - self.offset;
        let newest = if client < self.offset {
            turn + client
        } else {
            (turn + client).wrapping_sub(self.window)
        };
        id_of(self.job, thread, newest)
    }

    #[inline]
    fn renew_oldest(&mut self) {
        self.head += 1;
        self.offset = if self.offset + 1 == self.window { 0 } else { self.offset + 1 };
    }
}

/// A handshake with two single-use tickets: both are added, and one of a pair that was added about
/// half a capacity before is taken, in another order than they came. The other one of a pair is
/// never used; it is what a store without eviction is told to remove, when the window has grown to
/// one and a half capacities, so that it holds as many as the others.
pub(super) fn tls13<S: Store>(store: &S, job: &Job, thread: u64, meter: &mut impl Meter) -> Sample {
    hand_out_and_take(store, job, thread, meter, &mut Together)
}

/// The same; only the taking is measured.
pub(super) fn take<S: Store>(store: &S, job: &Job, thread: u64, meter: &mut impl Meter) -> Sample {
    hand_out_and_take(store, job, thread, &mut Together, meter)
}

#[inline]
fn hand_out_and_take<S: Store>(
    store: &S,
    job: &Job,
    thread: u64,
    whole: &mut impl Meter,
    taking: &mut impl Meter,
) -> Sample {
    let taken_after = job.capacity / 4 / job.threads;
    let removed_after = job.capacity * 3 / 4 / job.threads;
    let shuffled = Shuffled::new(taken_after / 2);
    let mut counter = SampleCounter::begin();
    for pair in job.first..job.first + job.ops {
        counter.throttle(job, thread, pair - job.first);
        counter.count(whole.take(|| {
            add_pair(store, job, thread, pair);
            let client = this_or_next(job, thread, pair);
            let old = ticket(job, client, shuffled.of(pair.wrapping_sub(taken_after)), 1);
            let is_hit = taking.take(|| store.take(&old));
            if !S::EVICTS {
                let client = this_or_next(job, thread, pair / 2);
                store.remove(&ticket(job, client, pair.wrapping_sub(removed_after), 0));
            }
            is_hit
        }));
    }
    counter.end(job.ops)
}

/// The adds of `tls13` alone.
pub(super) fn add_pairs<S: Store>(store: &S, job: &Job, thread: u64) -> Sample {
    let mut counter = SampleCounter::begin();
    for pair in job.first..job.first + job.ops {
        counter.throttle(job, thread, pair - job.first);
        add_pair(store, job, thread, pair);
    }
    counter.end(job.ops)
}

#[inline]
fn add_pair<S: Store>(store: &S, job: &Job, thread: u64, pair: u64) {
    for nth in 0..2 {
        let id = ticket(job, thread, pair, nth);
        store.add(&id, S::Value::make(&id, Lifetime::Unset));
    }
}

#[inline]
fn ticket(job: &Job, thread: u64, pair: u64, nth: u64) -> Id {
    Id::of(pair.wrapping_mul(job.threads).wrapping_add(thread).wrapping_mul(2).wrapping_add(nth))
}

/// A permutation within blocks of the numbers.
struct Shuffled {
    mask: u64,
}

impl Shuffled {
    /// Blocks of at most `most`, which is not zero.
    fn new(most: u64) -> Self {
        Self { mask: (1 << most.max(1).ilog2()) - 1 }
    }

    #[inline]
    fn of(&self, number: u64) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        (number & !self.mask) | (number.wrapping_mul(ODD) & self.mask)
    }
}
