//! Migration: a session that is stored throughout is found throughout, and nothing removed comes
//! back.
//!
//! Guards: the link of the new table, the closing of homes, the shadow's three steps, the root, the
//! right to move.

use loom_tests::{Model, PERMITS, REGISTRY, Stage, id, replaced};
use sessile::{Capacity, Mode, Session, SessionCache};
use std::sync::Arc;

/// One set, and three buckets or more.
const SMALL: usize = 4;
const LARGE: usize = 6;

/// The cache grows while another thread does `f`.
fn beside_growth<R: Send + 'static>(
    stage: &Stage,
    f: impl FnOnce(Stage) -> R + Send + 'static,
) -> R {
    let other = stage.beside(f);
    stage.cache.set_capacity(LARGE).unwrap();
    other.join().unwrap()
}

#[test]
fn migrate_and_get() {
    Model::new("migrate_and_get").check(|| {
        let stage = Stage::stored();
        let seen = beside_growth(&stage, |stage| stage.get(1));
        assert_eq!(seen, Some(1), "a session that only moves is always found");
        stage.assert_holds(&[1]);
        stage.end();
    });
}

#[test]
fn migrate_and_take() {
    Model::new("migrate_and_take").check(|| {
        let stage = Stage::stored();
        let seen = beside_growth(&stage, |stage| [stage.take(1), stage.get(1)]);
        assert_eq!(seen, [Some(1), None], "a taken session came back");
        assert_eq!(stage.get(1), None, "a taken session came back");
        stage.assert_holds(&[]);
    });
}

#[test]
fn migrate_and_remove() {
    Model::new("migrate_and_remove").check(|| {
        let stage = Stage::new(SMALL);
        let session = stage.session(1, 1);
        assert!(stage.cache.add(session.clone()).is_ok_and(|added| added.changed()));
        assert!(beside_growth(&stage, move |stage| stage.cache.remove(&session)));
        stage.assert_holds(&[]);
    });
}

#[test]
fn migrate_and_replace() {
    Model::new("migrate_and_replace").check(|| {
        let stage = Stage::stored();
        assert_eq!(beside_growth(&stage, |stage| replaced(stage.add(1, 2))), Some(1));
        stage.assert_holds(&[2]);
    });
}

/// An absent key that is added while homes close and tables change is stored once.
#[test]
fn migrate_and_add() {
    Model::new("migrate_and_add").preemptions(2).check(|| {
        let stage = Stage::stored();
        beside_growth(&stage, |stage| stage.insert(2, 2));
        stage.assert_holds(&[1, 2]);
        stage.end();
    });
}

/// Two adders of one absent key, one in the old table and one in the new: one inserts, the other
/// replaces.
#[test]
fn migrate_and_add_twice() {
    Model::new("migrate_and_add_twice").preemptions(2).check(|| {
        let stage = Stage::new(SMALL);
        let other = stage.beside(|stage| replaced(stage.add(1, 2)));
        stage.cache.set_capacity(LARGE).unwrap();
        let here = replaced(stage.add(1, 1));
        let there = other.join().unwrap();
        assert!(here.is_none() ^ there.is_none(), "{here:?} and {there:?}");
        stage.assert_holds(&[if here.is_none() { 2 } else { 1 }]);
    });
}

/// A session that moves, is taken, and whose memory another session of its key may be given: the
/// mover, in the middle of its steps, takes neither for the other.
#[test]
fn migrate_and_renew() {
    Model::new("migrate_and_renew").preemptions(2).check(|| {
        let stage = Stage::stored();
        beside_growth(&stage, |stage| {
            assert_eq!(stage.take(1), Some(1));
            stage.cache.collect();
            stage.insert(1, 2);
        });
        stage.assert_holds(&[2]);
        assert_eq!(stage.take(1), Some(2));
        stage.assert_holds(&[]);
    });
}

/// A session that moves is taken, and a reader that begins after that may still meet its shadow.
#[test]
fn migrate_and_late_reader() {
    let model = Model::new("migrate_and_late_reader").sees(&[REGISTRY]);
    model.preemptions(2).at_night(3).check(|| {
        let stage = Stage::stored();
        let seen = beside_growth(&stage, |stage| {
            let taken = stage.take(1);
            stage.cache.collect();
            [taken, stage.cache.read(&id(1), |session| session.number())]
        });
        assert_eq!(seen, [Some(1), None]);
        stage.assert_holds(&[]);
    });
}

/// The same with a reader that begins whenever it likes.
#[test]
fn migrate_and_late_reader_beside() {
    let model = Model::new("migrate_and_late_reader_beside").sees(&[REGISTRY]);
    model.preemptions(1).at_night(2).check(|| {
        let stage = Stage::stored();
        let taker = stage.beside(|stage| {
            let taken = stage.take(1);
            stage.cache.collect();
            taken
        });
        let reader = stage.beside(|stage| stage.cache.read(&id(1), |session| session.number()));
        stage.cache.set_capacity(LARGE).unwrap();
        assert_eq!(taker.join().unwrap(), Some(1));
        assert!([None, Some(1)].contains(&reader.join().unwrap()));
        stage.assert_holds(&[]);
    });
}

/// A snapshot beside the mover shows a session that stays exactly once.
#[test]
fn migrate_and_snapshot() {
    Model::new("migrate_and_snapshot").check(|| {
        let stage = Stage::stored();
        assert_eq!(beside_growth(&stage, |stage| stage.numbers()), [1]);
        stage.assert_holds(&[1]);
    });
}

/// A flush beside the mover removes what is stored throughout, once.
#[test]
fn migrate_and_flush() {
    Model::new("migrate_and_flush").check(|| {
        let stage = Stage::stored();
        assert_eq!(beside_growth(&stage, |stage| stage.cache.clear()), 1);
        stage.assert_holds(&[]);
    });
}

/// Two threads want different sizes: one of them moves, both sizes are looked at, and the last
/// limit is the size.
#[test]
fn migrate_two_sizes() {
    Model::new("migrate_two_sizes").sees(&[PERMITS, REGISTRY]).preemptions(2).check(|| {
        let stage = Stage::stored();
        beside_growth(&stage, |stage| stage.cache.set_capacity(LARGE + 4).unwrap());
        assert!([LARGE, LARGE + 4].contains(&stage.cache.capacity()));
        #[cfg(sessile_loom)]
        {
            let wanted = Stage::new(stage.cache.capacity());
            let slots = |stage: &Stage| sessile::internals::slots(&stage.cache);
            assert_eq!(slots(&stage), slots(&wanted), "a resize was lost");
        }
        stage.assert_holds(&[1]);
        stage.end();
    });
}

/// A handle taken out of a table that is moving stays whole when the cache goes.
#[test]
fn migrate_and_drop() {
    Model::new("migrate_and_drop").check(|| {
        let stage = Stage::stored();
        let held = beside_growth(&stage, |stage| stage.cache.get(&id(1)));
        drop(stage);
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
        let stage = Stage::with_cache(Arc::new(cache));
        (1..=2).for_each(|n| stage.insert(n, n.into()));
        let mover = stage.beside(|stage| stage.insert(3, 3));
        (4..=9).for_each(|n| stage.insert(n, n.into()));
        assert_eq!(stage.take(1), Some(1));
        assert_eq!(replaced(stage.add(2, 12)), Some(2));
        mover.join().unwrap();
        stage.assert_holds(&[3, 4, 5, 6, 7, 8, 9, 12]);
        assert_eq!(stage.cache.stats().evicted, 0);
    });
}
