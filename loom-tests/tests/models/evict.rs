//! Eviction: the victim leaves once, a claim in its place is not lost, and the capacity holds at
//! every moment.
//!
//! Guards: the exchange that puts a claim in a member's place, the withdrawal of a claim, the
//! permit that passes on.

use loom_tests::{COUNTERS, Model, PERMITS, REGISTRY, TestCache, replaced};
use sessile::{Mode, SessionCache};
use std::sync::Arc;

fn evict_beside_get() {
    let test = TestCache::new(1);
    test.insert(1, 1);
    let reader = test.spawn(|test| assert!([None, Some(1)].contains(&test.get(1))));
    test.insert(2, 2);
    assert!(test.cache.len() <= 1);
    reader.join().unwrap();
    assert_eq!(test.get(1), None);
    test.assert_stored(&[2]);
    test.end();
}

/// A reader beside an eviction gets the victim, alive, or nothing.
#[test]
fn evict_and_get() {
    Model::new("evict_and_get").check(evict_beside_get);
}

/// The same on real crossbeam-epoch, whose order between two pins the contract reclaimer may
/// exceed.
#[test]
fn evict_and_get_epoch() {
    Model::new("evict_and_get_epoch")
        .tracks(&[REGISTRY])
        .real_epoch()
        .preemptions(1)
        .check(evict_beside_get);
}

/// An eviction and a replacement of one slot: one of them has it.
#[test]
fn evict_and_replace() {
    Model::new("evict_and_replace").check(|| {
        let test = TestCache::new(1);
        test.insert(1, 1);
        let adder = test.spawn(|test| test.insert(2, 2));
        let old = replaced(test.add(1, 3));
        adder.join().unwrap();
        assert!(old.is_none_or(|old| old == 1));
        let stays = test.numbers();
        assert!(stays == [2] || stays == [3], "{stays:?}");
        test.assert_holds(&stays);
    });
}

/// A taker and an evictor of one session: one of them ends its stay.
#[test]
fn evict_and_take() {
    Model::new("evict_and_take").check(|| {
        let test = TestCache::new(1);
        test.insert(1, 1);
        let taker = test.spawn(|test| test.take(1));
        test.insert(2, 2);
        let taken = taker.join().unwrap();
        let stats = test.cache.stats();
        assert_eq!((stats.taken, stats.evicted), if taken.is_some() { (1, 0) } else { (0, 1) });
        test.assert_holds(&[2]);
    });
}

/// A taker and an add that evicts for the sake of weight, which empties the slot instead of
/// claiming it.
#[test]
fn evict_by_weight_and_take() {
    Model::new("evict_by_weight_and_take").check(|| {
        let mode = Mode { auto_flush: false, ..Mode::default() };
        let builder = SessionCache::builder().capacity(4).mode(mode).weigher(|_| 1).max_weight(1);
        let test = TestCache::with_cache(Arc::new(builder.build().unwrap()));
        test.insert(1, 1);
        let taker = test.spawn(|test| test.take(1));
        test.insert(2, 2);
        let taken = taker.join().unwrap();
        assert_eq!(test.cache.stats().evicted, u64::from(taken.is_none()));
        test.assert_holds(&[2]);
    });
}

/// Two adders of one absent key each evict in place; the one that is not published withdraws, and
/// its permit is not lost.
#[test]
fn evict_and_withdraw() {
    Model::new("evict_and_withdraw").check(|| {
        let test = TestCache::new(2);
        test.insert(1, 1);
        test.insert(2, 2);
        let other = test.spawn(|test| replaced(test.add(3, 3)));
        let here = replaced(test.add(3, 4));
        let there = other.join().unwrap();
        assert!(here.is_none() ^ there.is_none(), "one inserts, the other replaces it");
        let stays = if here.is_none() { 3 } else { 4 };
        assert_eq!(test.get(3), Some(stays));
        assert!((1..=2).contains(&test.cache.len()));
        test.insert(5, 5);
        test.insert(6, 6);
        test.assert_holds(&[5, 6]);
    });
}

/// A full cache of several sets, where the oldest of the newcomer's buckets and of some more goes,
/// whichever set it is in.
fn full_of_five() -> TestCache {
    let mode = Mode { auto_flush: false, ..Mode::default() };
    let test = TestCache::with_cache(Arc::new(
        SessionCache::builder().capacity(5).mode(mode).build().unwrap(),
    ));
    (1..=5).for_each(|n| test.insert(n, n.into()));
    test
}

/// The oldest is taken beside a search for a victim: it leaves once, and no permit is lost.
#[test]
fn evict_by_age_and_take() {
    Model::new("evict_by_age_and_take").check(|| {
        let test = full_of_five();
        let taker = test.spawn(|test| test.take(1));
        test.insert(6, 6);
        assert!(test.cache.len() <= 5);
        let taken = taker.join().unwrap();
        let stats = test.cache.stats();
        assert_eq!(stats.taken, u64::from(taken.is_some()));
        assert!(stats.taken + stats.evicted <= 2 && stats.evicted <= 1);
        assert_eq!(test.get(6), Some(6));
        test.insert(7, 7);
        let stays = test.numbers();
        assert!(stays.len() >= 4 && !stays.contains(&1), "{stays:?}");
        test.assert_holds(&stays);
    });
}

/// The oldest is replaced beside a search for a victim: then it is the youngest, or gone.
#[test]
fn evict_by_age_and_replace() {
    Model::new("evict_by_age_and_replace").check(|| {
        let test = full_of_five();
        let adder = test.spawn(|test| replaced(test.add(1, 11)));
        test.insert(6, 6);
        let old = adder.join().unwrap();
        assert!(old.is_none_or(|old| old == 1));
        let stays = test.numbers();
        assert!(stays.contains(&6) && !stays.contains(&1) && stays.len() <= 5, "{stays:?}");
        test.assert_holds(&stays);
    });
}

/// Whoever looks, the cache never holds more than its capacity.
#[test]
fn capacity_bound() {
    Model::new("capacity_bound").check(|| {
        let test = TestCache::new(1);
        let adders = [1, 2].map(|n| test.spawn(move |test| replaced(test.add(n, u64::from(n)))));
        assert!(test.cache.len() <= 1);
        adders.into_iter().for_each(|adder| assert_eq!(adder.join().unwrap(), None));
        let stays = test.numbers();
        assert_eq!(stays.len(), 1);
        test.assert_holds(&stays);
    });
}

/// A thread that never used the cache before takes a session and another is stored in its stead,
/// while somebody counts.
#[test]
fn capacity_newcomer() {
    Model::new("capacity_newcomer").tracks(&[REGISTRY, COUNTERS, PERMITS]).preemptions(2).check(
        || {
            let test = TestCache::new(1);
            test.insert(1, 1);
            let onlooker = test.spawn(|test| assert!(test.cache.len() <= 1));
            let newcomer = test.spawn(|test| test.take(1));
            test.insert(2, 2);
            onlooker.join().unwrap();
            newcomer.join().unwrap();
            assert_eq!(test.numbers(), [2]);
        },
    );
}

/// The capacity is lowered while an add is under way: the excess goes, by the one or the other.
#[test]
fn capacity_lowered() {
    Model::new("capacity_lowered").check(|| {
        let test = TestCache::new(2);
        test.insert(1, 1);
        let adder = test.spawn(|test| test.insert(2, 2));
        test.cache.set_capacity(1).unwrap();
        adder.join().unwrap();
        assert_eq!(test.cache.capacity(), 1);
        let stays = test.numbers();
        assert_eq!(stays.len(), 1);
        test.assert_holds(&stays);
    });
}
