//! Migration of whole sets: members that lie in the bucket that is not their home, keys of both
//! homes, both buckets of a set in use, in the old table and in the new one.
//!
//! Guards: the closing of every home, the look at both buckets for a moved session, the mover's way
//! through all buckets.

#[cfg(sessile_loom)]
use loom_tests::id;
use loom_tests::{TestCache, model, replaced};

/// One set, and six buckets.
const SMALL: usize = 4;
const LARGE: usize = 6;

/// Keys by their sets in these tables, which `sets_are_as_said` checks.
const LOW: u8 = 2;
const LOW_TOO: u8 = 1;
const HIGH: u8 = 4;
const HIGH_TOO: u8 = 3;
#[cfg(sessile_loom)]
const SETS: [(u8, [usize; 2], [usize; 2]); 4] = [
    (LOW, [0, 1], [0, 4]),
    (LOW_TOO, [0, 1], [0, 1]),
    (HIGH, [1, 0], [3, 5]),
    (HIGH_TOO, [1, 0], [3, 0]),
];

#[cfg(sessile_loom)]
#[model(single_schedule("one thread looks up hashes"))]
fn sets_are_as_said() {
    let (small, large) = (TestCache::new(SMALL), TestCache::new(LARGE));
    let set = |test: &TestCache, key| sessile::internals::buckets_of(&test.cache, &id(key)).0;
    for (key, in_small, in_large) in SETS {
        assert_eq!((set(&small, key), set(&large, key)), (in_small, in_large), "key {key}");
    }
}

/// Demands that the session under a key lies in the other bucket of its set. Plain threads have
/// another hash.
fn assert_is_displaced(test: &TestCache, key: u8) {
    #[cfg(sessile_loom)]
    {
        let ([_, other], bucket) = sessile::internals::buckets_of(&test.cache, &id(key));
        assert_eq!(bucket, Some(other), "session {key} lies in its home");
    }
    #[cfg(not(sessile_loom))]
    let _ = (test, key);
}

/// A cache in which session 1 lies under `key` in the bucket that is not its home, and nothing else
/// is stored. `filler` is a key of the same home.
fn displaced(capacity: usize, key: u8, filler: u8) -> TestCache {
    let test = TestCache::new(capacity);
    test.insert(filler, 9);
    test.insert(key, 1);
    assert_eq!(test.take(filler), Some(9));
    assert_is_displaced(&test, key);
    test
}

/// A lookup, of a session of either home.
#[model(preemptions(2))]
fn displaced_and_get() {
    let test = displaced(SMALL, HIGH, HIGH_TOO);
    let seen = test.beside_resize(LARGE, |test| [test.get(HIGH), test.get(HIGH)]);
    assert_eq!(seen, [Some(1); 2], "a session that only moves is always found");
    test.assert_holds(&[1]);
    test.end();
}

#[model(preemptions(2))]
fn displaced_and_take() {
    let test = displaced(SMALL, LOW, LOW_TOO);
    let seen = test.beside_resize(LARGE, |test| [test.take(LOW), test.get(LOW)]);
    assert_eq!(seen, [Some(1), None], "a taken session came back");
    test.assert_holds(&[]);
}

#[model(preemptions(2))]
fn displaced_and_replace() {
    let test = displaced(SMALL, HIGH, HIGH_TOO);
    assert_eq!(test.beside_resize(LARGE, |test| replaced(test.add(HIGH, 2))), Some(1));
    test.assert_holds(&[2]);
    assert_eq!(test.get(HIGH), Some(2));
}

/// A cache in which both buckets of a set are in use.
fn both() -> TestCache {
    let test = TestCache::new(SMALL);
    test.insert(LOW_TOO, 1);
    test.insert(LOW, 2);
    assert_is_displaced(&test, LOW);
    test
}

/// Whoever looks meets both sessions, and a snapshot shows each once.
#[model(preemptions(2))]
fn both_and_snapshot() {
    let test = both();
    assert_eq!(test.beside_resize(LARGE, |test| test.numbers()), [1, 2]);
    test.assert_holds(&[1, 2]);
    assert_eq!([test.get(LOW_TOO), test.get(LOW)], [Some(1), Some(2)]);
}

#[model(preemptions(2))]
fn both_and_flush() {
    let test = both();
    assert_eq!(test.beside_resize(LARGE, |test| test.cache.clear()), 2);
    test.assert_holds(&[]);
}

/// An absent key of the second home is added, which the mover closes last: it is found from then
/// on, in either table.
#[model(preemptions(2))]
fn second_home_and_add() {
    let test = TestCache::new(SMALL);
    let seen = test.beside_resize(LARGE, |test| {
        test.insert(HIGH, 2);
        test.get(HIGH)
    });
    assert_eq!(seen, Some(2));
    assert_eq!(test.get(HIGH), Some(2), "what was added is where nobody looks");
    test.assert_holds(&[2]);
    test.end();
}

/// Two adders of one absent key of the second home, whose claims lie in the first bucket: one
/// inserts, the other replaces.
#[model(preemptions(1))]
fn displaced_and_add_twice() {
    let test = TestCache::new(SMALL);
    test.insert(HIGH_TOO, 3);
    let stays = test.add_twice_beside_resize(HIGH, LARGE);
    test.assert_holds(&[stays, 3]);
}

/// A displaced session that moves, is taken, and comes back under its key: the mover, in the middle
/// of its steps, takes neither for the other.
#[model(preemptions(1))]
fn displaced_and_renew() {
    let test = displaced(SMALL, HIGH, HIGH_TOO);
    test.beside_resize(LARGE, |test| {
        assert_eq!(test.take(HIGH), Some(1));
        test.cache.collect();
        test.insert(HIGH, 2);
    });
    assert_eq!(test.take(HIGH), Some(2));
    test.assert_holds(&[]);
}

/// The table shrinks: a session leaves a bucket that is not its home for a set in which it has
/// another home.
#[model(preemptions(1))]
fn displaced_and_shrink() {
    let test = displaced(LARGE, HIGH_TOO, HIGH);
    let seen = test.beside_resize(SMALL, |test| {
        let seen = test.get(HIGH_TOO);
        test.insert(LOW, 2);
        seen
    });
    assert_eq!(seen, Some(1));
    assert_eq!([test.get(HIGH_TOO), test.get(LOW)], [Some(1), Some(2)]);
    test.assert_holds(&[1, 2]);
    test.end();
}
