//! Operations that end at a glance, and those that look again: a caller cannot tell which was
//! which.

use sessile::{Added, Clock, Context, Session, SessionCache, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use testkit::{START, assert_whole, id, race, scaled, session, store};

/// Lookups of every outcome on threads that change caches all the time: each is counted once, as
/// what it was.
#[test]
fn each_lookup_counts_once_whatever_path_it_took() {
    const ROUNDS: u64 = scaled(20_000, 2_000);
    const THREADS: usize = 4;
    let [one, other] = [(); 2].map(|()| SessionCache::<u64>::new(300).unwrap());
    let elsewhere = Context::from_bytes([7; 32]);
    race(THREADS, |thread| {
        for round in 0..ROUNDS {
            let n = round * 7 % 400;
            let cache = if round % 3 == thread as u64 % 3 { &one } else { &other };
            let _ = cache.add(session(n));
            let _ = match round % 4 {
                0 => cache.get(&id(n)).map(|found| *found),
                1 => cache.read(&id(n + 1), |found| **found),
                2 => cache.view(elsewhere).get(&id(n)).map(|found| *found),
                _ => cache.take(&id(n)).map(|found| *found),
            };
        }
    });
    let lookups = |cache: &SessionCache<u64>| {
        let stats = cache.stats();
        assert_whole(cache);
        stats.hits + stats.misses + stats.timeouts + stats.context_misses
    };
    assert_eq!(lookups(&one) + lookups(&other), ROUNDS * THREADS as u64);
}

/// An object that is stored is found identical while the table grows and shrinks, and while others
/// are added beside it.
#[test]
fn an_object_that_stays_is_identical_while_the_table_moves() {
    const ROUNDS: u64 = scaled(300, 30);
    let cache = SessionCache::new(4000).unwrap();
    let kept: Vec<_> = (0..200).map(session).collect();
    kept.iter().for_each(|one| store(&cache, one.clone()));
    let is_over = AtomicBool::new(false);
    race(2, |thread| {
        if thread == 0 {
            for round in 0..ROUNDS {
                cache.set_capacity(if round % 2 == 0 { 12_000 } else { 4000 }).unwrap();
            }
            return is_over.store(true, Ordering::Release);
        }
        while !is_over.load(Ordering::Acquire) {
            for one in &kept {
                assert!(matches!(cache.add(one.clone()), Ok(Added::Identical)));
                assert!(cache.get(&one.id()).is_some_and(|found| Session::ptr_eq(&found, one)));
            }
        }
    });
    assert_eq!(cache.len(), kept.len());
    assert_whole(&cache);
}

/// A clock that counts how often it is asked.
#[derive(Default)]
struct Asked(AtomicU64);

impl Clock for Asked {
    fn now(&self) -> Timestamp {
        self.0.fetch_add(1, Ordering::Relaxed);
        Timestamp::from(START)
    }
}

/// [`Clock`] promises one reading per operation.
#[test]
fn the_clock_is_read_once_per_operation() {
    let clock = Arc::new(Asked::default());
    let cache = SessionCache::builder().capacity(100).clock(Arc::clone(&clock)).build().unwrap();
    let readings = |operation: &dyn Fn()| {
        let before = clock.0.load(Ordering::Relaxed);
        operation();
        clock.0.load(Ordering::Relaxed) - before
    };
    let stored = session(1);
    assert_eq!(readings(&|| store(&cache, stored.clone())), 1, "insert");
    assert_eq!(
        readings(&|| assert!(!cache.add(stored.clone()).is_ok_and(|added| added.changed()))),
        1,
        "identical"
    );
    assert_eq!(readings(&|| assert!(cache.get(&id(1)).is_some())), 1, "hit");
    assert_eq!(readings(&|| assert!(cache.get(&id(2)).is_none())), 1, "miss");
    assert_eq!(readings(&|| assert!(cache.take(&id(2)).is_none())), 1, "take");
    let elsewhere = Context::from_bytes([7; 32]);
    assert_eq!(
        readings(&|| assert!(cache.view(elsewhere).get(&id(1)).is_none())),
        1,
        "context miss"
    );
    stored.set_not_resumable();
    assert_eq!(readings(&|| assert!(cache.get(&id(1)).is_none())), 1, "not resumable");
}
