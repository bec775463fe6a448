//! Threads that are gone, and threads that wait for a processor: neither costs the others anything.
//! A binary of its own, and one test after the other: those beside it would be in its times.
//!
//! The long forms are ignored: `cargo test --release --test former_threads -- --ignored --nocapture
//! --test-threads 1`.

use sessile::{Rejection, Session, SessionCache};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use testkit::{Ledger, add_patiently, id, scaled, session, store};

/// Held by each test.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> impl Drop {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work` on so many threads, which are all there at the same time, and waits until they are
/// gone.
fn on_threads(count: usize, work: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(count);
    std::thread::scope(|scope| {
        let spawn = |thread| {
            let (barrier, work) = (&barrier, &work);
            let run = move || {
                barrier.wait();
                work(thread);
                barrier.wait();
            };
            std::thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, run).unwrap()
        };
        let threads: Vec<_> = (0..count).map(spawn).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

const CAPACITY: u64 = 20_480;

/// Nanoseconds of an add, a get and a take in a full cache: the best of several rounds.
fn nanoseconds(cache: &SessionCache<u64>, next: &mut u64) -> [f64; 3] {
    const EACH: u64 = 2_000;
    let mut best = [f64::MAX; 3];
    for _ in 0..scaled(60, 15) {
        let from = *next;
        *next += EACH;
        let operations: [&dyn Fn(u64); 3] =
            [&|n| store(cache, session(n)), &|n| assert!(cache.get(&id(n)).is_some()), &|n| {
                assert!(cache.take(&id(n)).is_some())
            }];
        for (best, operation) in best.iter_mut().zip(operations) {
            let begin = Instant::now();
            (from..*next).for_each(operation);
            *best = best.min(begin.elapsed().as_nanos() as f64 / EACH as f64);
        }
        (from..from + EACH).for_each(|n| assert!(cache.add(session(n)).is_ok()));
    }
    best
}

/// By how much an operation is slower at the most after so many threads.
fn slower_after(threads: &[usize], garbage_limit: usize) -> f64 {
    let builder = SessionCache::builder().capacity(CAPACITY as usize).garbage_limit(garbage_limit);
    let cache = builder.build().unwrap();
    (0..2 * CAPACITY).for_each(|n| assert!(cache.add(session(n)).is_ok()));
    let mut next = 2 * CAPACITY;
    let alone = nanoseconds(&cache, &mut next);
    println!("limit {garbage_limit}, after 0 threads: {alone:.0?} ns");
    let slower = threads.iter().map(|&threads| {
        on_threads(threads, |thread| {
            let n = 1 << 40 | thread as u64;
            assert!(cache.add(session(n)).is_ok() && cache.get(&id(n)).is_some());
        });
        // What they left is worked off in passing.
        (next..next + CAPACITY).for_each(|n| assert!(cache.add(session(n)).is_ok()));
        next += CAPACITY;
        let now = nanoseconds(&cache, &mut next);
        println!("limit {garbage_limit}, after {threads} threads: {now:.0?} ns");
        now.iter().zip(alone).map(|(now, alone)| now / alone).fold(0.0, f64::max)
    });
    slower.fold(0.0, f64::max)
}

#[test]
fn operations_cost_the_same_after_many_threads() {
    let _alone = alone();
    for garbage_limit in [64 << 20, 1 << 20] {
        // Whatever else the machine does can be in one measurement, and hardly in three.
        let mut slower = (0..3).map(|_| slower_after(&[400], garbage_limit));
        assert!(slower.any(|slower| slower < 3.0), "operations take longer after 400 threads");
    }
}

#[test]
#[ignore = "a measurement"]
fn operations_cost_the_same_after_thousands_of_threads() {
    let _alone = alone();
    for garbage_limit in [64 << 20, 1 << 20] {
        let slower = slower_after(&[100, 1000, 3000], garbage_limit);
        assert!(slower < 1.2, "an operation takes {slower:.2} times as long after 3000 threads");
    }
}

fn one_collect_frees_behind(threads: usize, stalls: bool) {
    let ledger = Ledger::new();
    let cache = SessionCache::new(1000).unwrap();
    for n in 0..10 {
        store(&cache, ledger.session(n));
    }
    let (entered, is_inside) = mpsc::channel();
    let (release, may_go) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let cache = &cache;
        let reader = stalls.then(|| {
            scope.spawn(move || {
                cache.read(&id(1), |_| {
                    entered.send(()).unwrap();
                    let _ = may_go.recv();
                });
            })
        });
        reader.iter().for_each(|_| is_inside.recv().unwrap());
        on_threads(threads, |_| (0..10).for_each(|n| assert!(cache.get(&id(n)).is_some())));
        assert!(cache.remove_id(&id(0)));
        drop(release);
        reader.into_iter().for_each(|reader| reader.join().unwrap());
    });
    cache.collect();
    assert_eq!(ledger.alive(), 9, "behind {threads} threads");
}

#[test]
fn one_collect_frees_what_was_removed_behind_many_threads() {
    let _alone = alone();
    for stalls in [false, true] {
        [1, 24, 32, 256, 1000]
            .into_iter()
            .for_each(|threads| one_collect_frees_behind(threads, stalls));
    }
}

/// Threads keep spare permits. One that exits leaves them to all.
#[test]
fn permits_of_threads_that_exit_are_not_lost() {
    let _alone = alone();
    let capacity = 1 << 20;
    let cache = SessionCache::new(capacity as usize).unwrap();
    on_threads(64, |thread| {
        for n in 0..40 {
            store(&cache, session(thread as u64 * 100 + n));
        }
        (0..40).for_each(|n| assert!(cache.take(&id(thread as u64 * 100 + n)).is_some()));
    });
    assert_eq!(cache.len(), 0);
    cache.set_capacity(2000).unwrap();
    (0..2000).for_each(|n| store(&cache, session(n)));
    assert!(cache.stats().evicted <= 20, "{:?}", cache.stats());
}

/// How long an add waits at least for garbage that interrupted operations hold back.
const GARBAGE_WAIT: Duration = Duration::from_millis(100);

/// How many adds of sessions with this weight are refused as garbage, as garbage without having
/// waited, and as contention, though nobody is in `read`.
fn refused(threads: u64, weight: usize, adds: u64) -> [usize; 3] {
    let limit = 64 << 20;
    let builder = SessionCache::builder().capacity(limit / 2 / weight).garbage_limit(limit);
    let cache = builder.weigher(move |_: &Session<u64>| weight).build().unwrap();
    let refused = [const { AtomicUsize::new(0) }; 3];
    let count = |kind: usize| _ = refused[kind].fetch_add(1, Ordering::Relaxed);
    on_threads(threads as usize, |thread| {
        for n in 0..adds / threads {
            let key = thread as u64 * adds + n;
            let begin = Instant::now();
            match cache.add(session(key)).map_err(|rejected| rejected.reason()) {
                Ok(_) => {}
                Err(Rejection::Garbage) => {
                    count(0);
                    (begin.elapsed() < GARBAGE_WAIT).then(|| count(1));
                }
                Err(_) => count(2),
            }
        }
    });
    refused.map(AtomicUsize::into_inner)
}

/// On a machine that leaves a thread without a processor for longer, an add is refused after its
/// wait, as documented.
#[test]
fn an_interrupted_add_is_waited_for() {
    let _alone = alone();
    for kib in [16, 256] {
        assert_eq!(refused(8, kib << 10, scaled(20_000, 4_000))[1], 0, "{kib} KiB");
    }
}

#[test]
#[ignore = "a measurement"]
fn an_interrupted_add_is_no_stalled_reader_in_a_hundred_thousand() {
    let _alone = alone();
    for kib in [1, 16, 64, 256] {
        let begin = Instant::now();
        let refused = refused(8, kib << 10, 100_000);
        println!(
            "{kib} KiB: {refused:?} refused of 100 000 as garbage, unwaited, as contention; {:?}",
            begin.elapsed()
        );
        assert_eq!(refused[0], 0, "{kib} KiB");
    }
}

fn add_at_once(threads: usize, each: u64) {
    let cache = SessionCache::new(CAPACITY as usize).unwrap();
    let refused = AtomicUsize::new(0);
    let begin = Instant::now();
    on_threads(threads, |thread| {
        for n in 0..each {
            let begin = Instant::now();
            let added = add_patiently(&cache, session(thread as u64 * each + n));
            let waited = begin.elapsed() >= GARBAGE_WAIT;
            // Refused after its wait, as documented: a thread was without a processor for longer.
            if added.is_err_and(|one| one.reason() != Rejection::Garbage || !waited) {
                refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let (adds, refused) = (threads * each as usize, refused.into_inner());
    println!(
        "{threads} threads: {refused} refused of {adds} without a wait, {:?}",
        begin.elapsed()
    );
    assert!(refused <= adds / 10_000, "{refused} of {adds} are refused without a wait");
}

#[test]
fn more_threads_than_processors_add_at_once() {
    let _alone = alone();
    add_at_once(1200, scaled(100, 20));
}

#[test]
#[ignore = "a measurement"]
fn thousands_of_threads_add_at_once() {
    let _alone = alone();
    add_at_once(3000, 200);
}
