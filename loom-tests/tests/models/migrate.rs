//! Migration: a session that is stored throughout is found throughout, and nothing removed comes
//! back.
//!
//! Guards: the link of the new table, the closing of homes, the shadow's three steps, the root, the
//! right to move.

use loom_tests::{PERMITS, REGISTRY, TestCache, id, model, replaced};
use sessile::{Capacity, Session};

/// One set, and three buckets or more.
const SMALL: usize = 4;
const LARGE: usize = 6;

#[model]
fn migrate_and_get() {
    let test = TestCache::stored();
    let seen = test.beside_resize(LARGE, |test| test.get(1));
    assert_eq!(seen, Some(1), "a session that only moves is always found");
    test.assert_holds(&[1]);
    test.end();
}

#[model]
fn migrate_and_take() {
    let test = TestCache::stored();
    let seen = test.beside_resize(LARGE, |test| [test.take(1), test.get(1)]);
    assert_eq!(seen, [Some(1), None], "a taken session came back");
    assert_eq!(test.get(1), None, "a taken session came back");
    test.assert_holds(&[]);
}

#[model]
fn migrate_and_remove() {
    let (test, session) = TestCache::with_handle();
    assert!(test.beside_resize(LARGE, move |test| test.cache.remove(&session)));
    test.assert_holds(&[]);
}

#[model]
fn migrate_and_replace() {
    let test = TestCache::stored();
    assert_eq!(test.beside_resize(LARGE, |test| replaced(test.add(1, 2))), Some(1));
    test.assert_holds(&[2]);
}

/// An absent key that is added while homes close and tables change is stored once.
#[model(preemptions(2))]
fn migrate_and_add() {
    let test = TestCache::stored();
    test.beside_resize(LARGE, |test| test.insert(2, 2));
    test.assert_holds(&[1, 2]);
    test.end();
}

/// Two adders of one absent key, one in the old table and one in the new: one inserts, the other
/// replaces.
#[model(preemptions(2))]
fn migrate_and_add_twice() {
    let test = TestCache::new(SMALL);
    let stays = test.add_twice_beside_resize(1, LARGE);
    test.assert_holds(&[stays]);
}

/// A session that moves, is taken, and whose memory another session of its key may be given: the
/// mover, in the middle of its steps, takes neither for the other.
#[model(preemptions(2))]
fn migrate_and_renew() {
    let test = TestCache::stored();
    test.beside_resize(LARGE, |test| {
        assert_eq!(test.take(1), Some(1));
        test.cache.collect();
        test.insert(1, 2);
    });
    test.assert_holds(&[2]);
    assert_eq!(test.take(1), Some(2));
    test.assert_holds(&[]);
}

/// A session that moves is taken, and a reader that begins after that may still meet its shadow.
#[model(tracks(&[REGISTRY]), preemptions(2), at_night(3))]
fn migrate_and_late_reader() {
    let test = TestCache::stored();
    let seen = test.beside_resize(LARGE, |test| {
        [test.take_and_collect(1), test.cache.read(&id(1), |session| session.number())]
    });
    assert_eq!(seen, [Some(1), None]);
    test.assert_holds(&[]);
}

/// The same with a reader that begins whenever it likes.
#[model(tracks(&[REGISTRY]), preemptions(1), at_night(2))]
fn migrate_and_late_reader_beside() {
    let test = TestCache::stored();
    let taker = test.spawn(|test| test.take_and_collect(1));
    let reader = test.spawn(|test| test.cache.read(&id(1), |session| session.number()));
    test.cache.set_capacity(LARGE).unwrap();
    assert_eq!(taker.join().unwrap(), Some(1));
    assert!([None, Some(1)].contains(&reader.join().unwrap()));
    test.assert_holds(&[]);
}

/// A snapshot beside the mover shows a session that stays exactly once.
#[model]
fn migrate_and_snapshot() {
    let test = TestCache::stored();
    assert_eq!(test.beside_resize(LARGE, |test| test.numbers()), [1]);
    test.assert_holds(&[1]);
}

/// A flush beside the mover removes what is stored throughout, once.
#[model]
fn migrate_and_flush() {
    let test = TestCache::stored();
    assert_eq!(test.beside_resize(LARGE, |test| test.cache.clear()), 1);
    test.assert_holds(&[]);
}

/// Two threads want different sizes: one of them moves, both sizes are looked at, and the last
/// limit is the size.
#[model(tracks(&[PERMITS, REGISTRY]), preemptions(2))]
fn migrate_two_sizes() {
    let test = TestCache::stored();
    test.beside_resize(LARGE, |test| test.cache.set_capacity(LARGE + 4).unwrap());
    assert!([LARGE, LARGE + 4].contains(&test.cache.capacity()));
    #[cfg(sessile_loom)]
    {
        let wanted = TestCache::new(test.cache.capacity());
        let slots = |test: &TestCache| sessile::internals::slots(&test.cache);
        assert_eq!(slots(&test), slots(&wanted), "a resize was lost");
    }
    test.assert_holds(&[1]);
    test.end();
}

/// A handle taken out of a table that is moving stays whole when the cache goes.
#[model]
fn migrate_and_drop() {
    let test = TestCache::stored();
    let held = test.beside_resize(LARGE, |test| test.cache.get(&id(1)));
    drop(test);
    let held = held.expect("a session that only moves");
    assert_eq!((held.number(), Session::handle_count(&held)), (1, 1));
}

/// A mover that sleeps while others fill the table that it moves to: a third is added, and each
/// session is in one of the three.
#[model(preemptions(1))]
fn migrate_beside_a_sleeping_mover() {
    let test = TestCache::built(|builder| builder.capacity(Capacity::Unbounded));
    (1..=2).for_each(|n| test.insert(n, n.into()));
    let mover = test.spawn(|test| test.insert(3, 3));
    (4..=9).for_each(|n| test.insert(n, n.into()));
    assert_eq!(test.take(1), Some(1));
    assert_eq!(replaced(test.add(2, 12)), Some(2));
    mover.join().unwrap();
    test.assert_holds(&[3, 4, 5, 6, 7, 8, 9, 12]);
    assert_eq!(test.cache.stats().evicted, 0);
}
