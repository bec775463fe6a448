//! Without a bound: nothing is evicted, the table grows, and a bound can come later.

use sessile::{Added, Capacity, Rejection, RemovalCause, SessionCache};
use testkit::{Ledger, Removals, assert_whole, id, race, scaled, session, store, watched};

fn unbounded() -> (SessionCache<u64>, Removals) {
    let removals = Removals::default();
    let builder = SessionCache::builder().capacity(Capacity::Unbounded);
    (builder.on_removed(removals.hook()).build().unwrap(), removals)
}

#[test]
fn everything_is_kept() {
    let (cache, removals) = unbounded();
    let many = scaled(300_000, 50_000);
    for n in 0..many {
        assert!(matches!(cache.add(session(n)), Ok(Added::Inserted)));
    }
    assert_eq!((cache.len() as u64, cache.capacity()), (many, usize::MAX));
    assert!((0..many).all(|n| cache.read(&id(n), |found| **found) == Some(n)));
    assert!(removals.take().is_empty());
    assert_eq!((cache.stats().cache_full, cache.snapshot().len() as u64), (0, many));
    assert_whole(&cache);
}

#[test]
fn growth_from_many_threads_loses_nobody() {
    let (cache, removals) = unbounded();
    let each = scaled(60_000, 10_000);
    let refused: u64 = race(4, |thread| {
        let mut refused = 0;
        for n in 0..each {
            let n = thread as u64 * each + n;
            loop {
                match cache.add(session(n)) {
                    Ok(Added::Inserted) => break,
                    // Every slot is another add's, or the mover was stalled: the caller may try
                    // again.
                    Err(rejected) if rejected.reason() == Rejection::Contention => refused += 1,
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(cache.read(&id(n), |found| **found), Some(n));
        }
        refused
    })
    .into_iter()
    .sum();
    assert_eq!(removals.take(), [], "nothing is evicted");
    assert_eq!(cache.len() as u64, 4 * each);
    assert!((0..4 * each).all(|n| cache.read(&id(n), |found| **found) == Some(n)));
    assert_eq!(cache.stats().rejected, refused);
    assert_whole(&cache);
}

#[test]
fn lookups_find_everything_while_the_table_grows() {
    let (cache, _removals) = unbounded();
    for n in 0..500 {
        store(&cache, session(n));
    }
    watched(
        || assert!((0..500).all(|n| cache.get(&id(n)).is_some_and(|found| *found == n))),
        || (500..scaled(200_000, 20_000)).for_each(|n| store(&cache, session(n))),
    );
    assert_whole(&cache);
}

#[test]
fn a_bound_that_comes_later_evicts_the_excess() {
    let (cache, removals) = unbounded();
    for n in 0..20_000 {
        store(&cache, session(n));
    }
    for bound in [10_000usize, 500, 14, 3] {
        let before = cache.len();
        cache.set_capacity(bound).unwrap();
        let gone = removals.take();
        assert_eq!(gone.len(), before - cache.len());
        assert!(gone.iter().all(|one| one.1 == RemovalCause::Evicted));
        assert!(cache.len() <= bound && cache.len() * 1000 >= bound * 999);
        store(&cache, session(100_000 + bound as u64));
        assert!(cache.len() <= bound);
        removals.take();
    }
    assert_eq!(cache.len(), 3);
    assert_whole(&cache);
}

#[test]
fn a_bound_that_is_lifted_evicts_nobody_any_more() {
    let cache = SessionCache::new(10).unwrap();
    for n in 0..20 {
        store(&cache, session(n));
    }
    cache.set_capacity(Capacity::Unbounded).unwrap();
    let evicted = cache.stats().evicted;
    for n in 20..20_000 {
        assert!(matches!(cache.add(session(n)), Ok(Added::Inserted)));
    }
    assert_eq!((cache.len(), cache.stats().evicted), (19_990, evicted));
    cache.set_capacity(12).unwrap();
    cache.set_capacity(Capacity::Unbounded).unwrap();
    assert_eq!(cache.len(), 12);
    assert_whole(&cache);
}

#[test]
fn taking_everything_leaves_an_empty_cache_that_works() {
    let (cache, removals) = unbounded();
    for round in 0..5 {
        let base = round * 10_000;
        for n in base..base + 10_000 {
            store(&cache, session(n));
        }
        for n in base..base + 10_000 {
            assert_eq!(*cache.take(&id(n)).unwrap(), n);
        }
        assert!(cache.is_empty());
        assert_eq!(removals.take().len(), 10_000);
    }
    assert_whole(&cache);
}

/// Wherever a migration stands, a cache that goes leaves nothing behind.
#[test]
fn a_cache_that_goes_while_it_grows_gives_up_both_tables() {
    for stored in (1400..1520).step_by(10) {
        let ledger = Ledger::new();
        let cache = SessionCache::new(Capacity::Unbounded).unwrap();
        (0..stored).for_each(|n| store(&cache, ledger.session(n)));
        drop(cache);
        assert_eq!(ledger.alive(), 0, "of {stored}");
    }
}
