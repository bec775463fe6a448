//! The checks can fail, and runs repeat.
#![forbid(unsafe_code)]

use schedules::scenario::{Scenario, Step};
use schedules::{Bytes, run, stage};
use sessile::{Session, SessionCache, SessionId};
use shuttle::scheduler::{RandomScheduler, UncontrolledNondeterminismCheckScheduler};
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::{Config, Runner, thread};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use testkit::Payload;

fn takes_and_adds() -> Scenario {
    let threads = [
        vec![Step::Take(0), Step::Get(0)],
        vec![Step::Add(0), Step::Get(0)],
        vec![Step::Add(1), Step::Resize],
        vec![Step::AddShared(0), Step::Snapshot],
    ];
    Scenario { capacity: 2, other_capacity: 6, real_epoch: false, stored: vec![0], threads }
}

/// Takes, but returns what it saw a moment before.
fn take_in_two_steps(cache: &SessionCache<Payload>, id: &SessionId) -> Option<Session<Payload>> {
    let seen = cache.get(id)?;
    cache.take(id).map(|_| seen)
}

/// Returns a session that stays.
fn take_without_removing(
    cache: &SessionCache<Payload>,
    id: &SessionId,
) -> Option<Session<Payload>> {
    cache.get(id)
}

fn is_found(taker: schedules::Taker) -> bool {
    let search = || run(takes_and_adds(), RandomScheduler::new_from_seed(1, 2_000), taker);
    catch_unwind(search).is_err()
}

#[test]
fn a_take_in_two_steps_is_found() {
    assert!(is_found(take_in_two_steps));
}

#[test]
fn a_take_that_removes_nothing_is_found() {
    assert!(is_found(take_without_removing));
}

#[test]
fn the_caches_own_take_passes_the_same_search() {
    assert!(!is_found(stage::take));
}

#[test]
fn nothing_but_the_scheduler_decides_what_happens() {
    for real_epoch in [false, true] {
        let scenario = Scenario { real_epoch, ..takes_and_adds() };
        let scheduler =
            UncontrolledNondeterminismCheckScheduler::new(RandomScheduler::new_from_seed(7, 100));
        assert!(run(scenario, scheduler, stage::take) >= 100);
    }
}

thread_local! {
    static TAKES: Cell<u64> = const { Cell::new(0) };
}

/// Takes, and notes what.
fn counted_take(cache: &SessionCache<Payload>, id: &SessionId) -> Option<Session<Payload>> {
    let taken = cache.take(id);
    let found = taken.as_ref().map_or(0, |taken| taken.number() + 1);
    TAKES.with(|takes| takes.set(takes.get() * 31 + found));
    taken
}

fn outcome(bytes: &[u8]) -> u64 {
    TAKES.with(|takes| takes.set(1));
    let threads =
        [vec![Step::Take(0)], vec![Step::Add(0)], vec![Step::Add(1)], vec![Step::Snapshot]];
    let scenario = Scenario { threads, ..takes_and_adds() };
    assert_eq!(run(scenario, Bytes::new(bytes), counted_take), 1, "one schedule");
    TAKES.with(Cell::get)
}

/// The thread that starts the others runs until it waits for them.
const START: u8 = 0xFC;

/// The thread at this place among those that can run, for as long as a byte can say.
const fn long(place: u8) -> u8 {
    0xFC | place
}

#[test]
fn bytes_choose_the_interleaving_and_repeat_it() {
    let take_first = [START, long(0), long(0), long(0), long(0), long(0)];
    let take_last = [START, long(1), long(1), long(1), long(1), long(1), long(1), long(1), long(1)];
    assert_ne!(outcome(&take_first), outcome(&take_last));
    assert_eq!(outcome(&take_first), outcome(&take_first));
    assert_eq!(outcome(&take_last), outcome(&take_last));
}

/// Two threads that each load a number and store the next one.
fn update_by_load_and_store() {
    let count = Arc::new(AtomicUsize::new(0));
    let threads = [(); 2].map(|()| {
        let count = Arc::clone(&count);
        thread::spawn(move || count.store(count.load(Ordering::SeqCst) + 1, Ordering::SeqCst))
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn bytes_find_a_lost_update() {
    let is_lost = |bytes: &[u8]| {
        let runner = Runner::new(Bytes::new(bytes), Config::new());
        catch_unwind(AssertUnwindSafe(|| runner.run(update_by_load_and_store))).is_err()
    };
    assert!(!is_lost(&[]), "one after the other");
    let after_points = (0..8).map(|points| is_lost(&[START, points << 2, long(1)]));
    assert_eq!(
        after_points.filter(|is_lost| *is_lost).count(),
        1,
        "between the load and the store"
    );
}
