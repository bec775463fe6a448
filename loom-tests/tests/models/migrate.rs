//! Migration: a session that is stored throughout is found throughout, and nothing removed comes
//! back.
//!
//! Guards: the link of the new table, the closing of homes, the shadow's three steps, the root, the
//! right to move.

use loom_tests::{Model, PERMITS, REGISTRY, TestCache, id, replaced};
use sessile::{Capacity, Mode, Session, SessionCache};
use std::sync::Arc;

/// One set, and three buckets or more.
const SMALL: usize = 4;
const LARGE: usize = 6;

/// The cache grows while another thread does `f`.
fn beside_growth<R: Send + 'static>(
    test: &TestCache,
    f: impl FnOnce(TestCache) -> R + Send + 'static,
) -> R {
    let other = test.spawn(f);
    test.cache.set_capacity(LARGE).unwrap();
    other.join().unwrap()
}

#[test]
fn migrate_and_get() {
    Model::new("migrate_and_get").check(|| {
        let test = TestCache::stored();
        let seen = beside_growth(&test, |test| test.get(1));
        assert_eq!(seen, Some(1), "a session that only moves is always found");
        test.assert_holds(&[1]);
        test.end();
    });
}

#[test]
fn migrate_and_take() {
    Model::new("migrate_and_take").check(|| {
        let test = TestCache::stored();
        let seen = beside_growth(&test, |test| [test.take(1), test.get(1)]);
        assert_eq!(seen, [Some(1), None], "a taken session came back");
        assert_eq!(test.get(1), None, "a taken session came back");
        test.assert_holds(&[]);
    });
}

#[test]
fn migrate_and_remove() {
    Model::new("migrate_and_remove").check(|| {
        let test = TestCache::new(SMALL);
        let session = test.session(1, 1);
        assert!(test.cache.add(session.clone()).is_ok_and(|added| added.changed()));
        assert!(beside_growth(&test, move |test| test.cache.remove(&session)));
        test.assert_holds(&[]);
    });
}

#[test]
fn migrate_and_replace() {
    Model::new("migrate_and_replace").check(|| {
        let test = TestCache::stored();
        assert_eq!(beside_growth(&test, |test| replaced(test.add(1, 2))), Some(1));
        test.assert_holds(&[2]);
    });
}

/// An absent key that is added while homes close and tables change is stored once.
#[test]
fn migrate_and_add() {
    Model::new("migrate_and_add").preemptions(2).check(|| {
        let test = TestCache::stored();
        beside_growth(&test, |test| test.insert(2, 2));
        test.assert_holds(&[1, 2]);
        test.end();
    });
}

/// Two adders of one absent key, one in the old table and one in the new: one inserts, the other
/// replaces.
#[test]
fn migrate_and_add_twice() {
    Model::new("migrate_and_add_twice").preemptions(2).check(|| {
        let test = TestCache::new(SMALL);
        let other = test.spawn(|test| replaced(test.add(1, 2)));
        test.cache.set_capacity(LARGE).unwrap();
        let here = replaced(test.add(1, 1));
        let there = other.join().unwrap();
        assert!(here.is_none() ^ there.is_none(), "{here:?} and {there:?}");
        test.assert_holds(&[if here.is_none() { 2 } else { 1 }]);
    });
}

/// A session that moves, is taken, and whose memory another session of its key may be given: the
/// mover, in the middle of its steps, takes neither for the other.
#[test]
fn migrate_and_renew() {
    Model::new("migrate_and_renew").preemptions(2).check(|| {
        let test = TestCache::stored();
        beside_growth(&test, |test| {
            assert_eq!(test.take(1), Some(1));
            test.cache.collect();
            test.insert(1, 2);
        });
        test.assert_holds(&[2]);
        assert_eq!(test.take(1), Some(2));
        test.assert_holds(&[]);
    });
}

/// A session that moves is taken, and a reader that begins after that may still meet its shadow.
#[test]
fn migrate_and_late_reader() {
    let model = Model::new("migrate_and_late_reader").tracks(&[REGISTRY]);
    model.preemptions(2).at_night(3).check(|| {
        let test = TestCache::stored();
        let seen = beside_growth(&test, |test| {
            let taken = test.take(1);
            test.cache.collect();
            [taken, test.cache.read(&id(1), |session| session.number())]
        });
        assert_eq!(seen, [Some(1), None]);
        test.assert_holds(&[]);
    });
}

/// The same with a reader that begins whenever it likes.
#[test]
fn migrate_and_late_reader_beside() {
    let model = Model::new("migrate_and_late_reader_beside").tracks(&[REGISTRY]);
    model.preemptions(1).at_night(2).check(|| {
        let test = TestCache::stored();
        let taker = test.spawn(|test| {
            let taken = test.take(1);
            test.cache.collect();
            taken
        });
        let reader = test.spawn(|test| test.cache.read(&id(1), |session| session.number()));
        test.cache.set_capacity(LARGE).unwrap();
        assert_eq!(taker.join().unwrap(), Some(1));
        assert!([None, Some(1)].contains(&reader.join().unwrap()));
        test.assert_holds(&[]);
    });
}

/// A snapshot beside the mover shows a session that stays exactly once.
#[test]
fn migrate_and_snapshot() {
    Model::new("migrate_and_snapshot").check(|| {
        let test = TestCache::stored();
        assert_eq!(beside_growth(&test, |test| test.numbers()), [1]);
        test.assert_holds(&[1]);
    });
}

/// A flush beside the mover removes what is stored throughout, once.
#[test]
fn migrate_and_flush() {
    Model::new("migrate_and_flush").check(|| {
        let test = TestCache::stored();
        assert_eq!(beside_growth(&test, |test| test.cache.clear()), 1);
        test.assert_holds(&[]);
    });
}

/// Two threads want different sizes: one of them moves, both sizes are looked at, and the last
/// limit is the size.
#[test]
fn migrate_two_sizes() {
    Model::new("migrate_two_sizes").tracks(&[PERMITS, REGISTRY]).preemptions(2).check(|| {
        let test = TestCache::stored();
        beside_growth(&test, |test| test.cache.set_capacity(LARGE + 4).unwrap());
        assert!([LARGE, LARGE + 4].contains(&test.cache.capacity()));
        #[cfg(sessile_loom)]
        {
            let wanted = TestCache::new(test.cache.capacity());
            let slots = |test: &TestCache| sessile::internals::slots(&test.cache);
            assert_eq!(slots(&test), slots(&wanted), "a resize was lost");
        }
        test.assert_holds(&[1]);
        test.end();
    });
}

/// A handle taken out of a table that is moving stays whole when the cache goes.
#[test]
fn migrate_and_drop() {
    Model::new("migrate_and_drop").check(|| {
        let test = TestCache::stored();
        let held = beside_growth(&test, |test| test.cache.get(&id(1)));
        drop(test);
        let held = held.expect("a session that only moves");
        assert_eq!((held.number(), Session::handle_count(&held)), (1, 1));
    });
}

/// A mover that sleeps while others fill the table that it moves to: a third is added, and each
/// session is in one of the three.
#[test]
fn migrate_beside_a_sleeping_mover() {
    Model::new("migrate_beside_a_sleeping_mover").preemptions(1).check(|| {
        let mode = Mode { auto_flush: false, ..Mode::default() };
        let cache =
            SessionCache::builder().capacity(Capacity::Unbounded).mode(mode).build().unwrap();
        let test = TestCache::with_cache(Arc::new(cache));
        (1..=2).for_each(|n| test.insert(n, n.into()));
        let mover = test.spawn(|test| test.insert(3, 3));
        (4..=9).for_each(|n| test.insert(n, n.into()));
        assert_eq!(test.take(1), Some(1));
        assert_eq!(replaced(test.add(2, 12)), Some(2));
        mover.join().unwrap();
        test.assert_holds(&[3, 4, 5, 6, 7, 8, 9, 12]);
        assert_eq!(test.cache.stats().evicted, 0);
    });
}
