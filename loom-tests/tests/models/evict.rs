//! Eviction: the victim leaves once, a claim in its place is not lost, and the capacity holds at
//! every moment.
//!
//! Guards: the exchange that puts a claim in a member's place, the withdrawal of a claim, the
//! permit that passes on.

use loom_tests::{COUNTERS, PERMITS, REGISTRY, TestCache, model, replaced};

fn evict_beside_get() {
    let test = TestCache::full(1);
    let reader = test.spawn(|test| assert!([None, Some(1)].contains(&test.get(1))));
    test.insert(2, 2);
    assert!(test.cache.len() <= 1);
    reader.join().unwrap();
    assert_eq!(test.get(1), None);
    test.assert_stored(&[2]);
    test.end();
}

/// A reader beside an eviction gets the victim, alive, or nothing.
#[model]
fn evict_and_get() {
    evict_beside_get();
}

/// The same on real crossbeam-epoch, whose order between two pins the contract reclaimer may
/// exceed.
#[model(tracks(&[REGISTRY]), real_epoch(), preemptions(1))]
fn evict_and_get_epoch() {
    evict_beside_get();
}

/// An eviction and a replacement of one slot: one of them has it.
#[model]
fn evict_and_replace() {
    let test = TestCache::full(1);
    let adder = test.spawn(|test| test.insert(2, 2));
    let old = replaced(test.add(1, 3));
    adder.join().unwrap();
    assert!(old.is_none_or(|old| old == 1));
    let stays = test.numbers();
    assert!(stays == [2] || stays == [3], "{stays:?}");
    test.assert_holds(&stays);
}

/// A taker and an evictor of one session: one of them ends its stay.
#[model]
fn evict_and_take() {
    let test = TestCache::full(1);
    let taker = test.spawn(|test| test.take(1));
    test.insert(2, 2);
    let taken = taker.join().unwrap();
    let stats = test.cache.stats();
    assert_eq!((stats.taken, stats.evicted), if taken.is_some() { (1, 0) } else { (0, 1) });
    test.assert_holds(&[2]);
}

/// A taker and an add that evicts for the sake of weight, which empties the slot instead of
/// claiming it.
#[model]
fn evict_by_weight_and_take() {
    let test = TestCache::built(|builder| builder.capacity(4).weigher(|_| 1).max_weight(1));
    test.insert(1, 1);
    let taker = test.spawn(|test| test.take(1));
    test.insert(2, 2);
    let taken = taker.join().unwrap();
    assert_eq!(test.cache.stats().evicted, u64::from(taken.is_none()));
    test.assert_holds(&[2]);
}

/// Two adders of one absent key each evict in place; the one that is not published withdraws, and
/// its permit is not lost.
#[model]
fn evict_and_withdraw() {
    let test = TestCache::full(2);
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
}

/// A cache of several sets: if it is full, the oldest of the newcomer's buckets and of some more
/// goes, whichever set it is in.
const SEVERAL_SETS: u8 = 5;

/// The oldest is taken beside a search for a victim: it leaves once, and no permit is lost.
#[model]
fn evict_by_age_and_take() {
    let test = TestCache::full(SEVERAL_SETS);
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
}

/// The oldest is replaced beside a search for a victim: then it is the youngest, or gone.
#[model]
fn evict_by_age_and_replace() {
    let test = TestCache::full(SEVERAL_SETS);
    let adder = test.spawn(|test| replaced(test.add(1, 11)));
    test.insert(6, 6);
    let old = adder.join().unwrap();
    assert!(old.is_none_or(|old| old == 1));
    let stays = test.numbers();
    assert!(stays.contains(&6) && !stays.contains(&1) && stays.len() <= 5, "{stays:?}");
    test.assert_holds(&stays);
}

/// Two adders of different keys look for a victim beside each other's claims, which may look like
/// the oldest: both are stored, and two leave.
#[model]
fn evict_by_age_beside_a_claim() {
    let test = TestCache::full(SEVERAL_SETS);
    let adder = test.spawn(|test| test.insert(6, 6));
    test.insert(7, 7);
    adder.join().unwrap();
    let stays = test.numbers();
    assert!(stays.contains(&6) && stays.contains(&7) && stays.len() <= 5, "{stays:?}");
    test.assert_holds(&stays);
}

/// Whoever looks, the cache never holds more than its capacity.
#[model]
fn capacity_bound() {
    let test = TestCache::new(1);
    let adders = [1, 2].map(|n| test.spawn(move |test| replaced(test.add(n, u64::from(n)))));
    assert!(test.cache.len() <= 1);
    adders.into_iter().for_each(|adder| assert_eq!(adder.join().unwrap(), None));
    let stays = test.numbers();
    assert_eq!(stays.len(), 1);
    test.assert_holds(&stays);
}

/// A thread that never used the cache before takes a session and another is stored in its stead,
/// while somebody counts.
#[model(tracks(&[REGISTRY, COUNTERS, PERMITS]), preemptions(2))]
fn capacity_newcomer() {
    let test = TestCache::full(1);
    let onlooker = test.spawn(|test| assert!(test.cache.len() <= 1));
    let newcomer = test.spawn(|test| test.take(1));
    test.insert(2, 2);
    onlooker.join().unwrap();
    newcomer.join().unwrap();
    assert_eq!(test.numbers(), [2]);
}

/// The capacity is lowered while an add is under way: the excess goes, by the one or the other.
#[model]
fn capacity_lowered() {
    let test = TestCache::new(2);
    test.insert(1, 1);
    let adder = test.spawn(|test| test.insert(2, 2));
    test.cache.set_capacity(1).unwrap();
    adder.join().unwrap();
    assert_eq!(test.cache.capacity(), 1);
    let stays = test.numbers();
    assert_eq!(stays.len(), 1);
    test.assert_holds(&stays);
}
