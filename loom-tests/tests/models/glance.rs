//! Lookups and identical adds that end at a glance, which a thread's first operation never does:
//! here the looking thread is the one that has used the cache before.
//!
//! Guards: the look for a newer table after a glance that found nothing, the guard of a reader, the
//! word that decides an identical add.

use loom_tests::{REGISTRY, TestCache, id, model, replaced};
use sessile::{Added, Session};

/// More sessions than one set has slots.
const LARGE: usize = 6;

/// A session that only moves is found at every moment.
#[model]
fn glance_beside_growth() {
    let test = TestCache::stored();
    let grower = test.spawn(|test| test.cache.set_capacity(LARGE).unwrap());
    assert_eq!(test.get(1), Some(1));
    grower.join().unwrap();
    test.assert_holds(&[1]);
    test.end();
}

/// A replacement leaves no gap.
#[model]
fn glance_beside_replacement() {
    let test = TestCache::stored();
    let adder = test.spawn(|test| replaced(test.add(1, 2)));
    let seen = [test.get(1), test.get(1)];
    assert!([[1, 1], [1, 2], [2, 2]].map(|seen| seen.map(Some)).contains(&seen), "{seen:?}");
    assert_eq!(adder.join().unwrap(), Some(1));
    test.assert_holds(&[2]);
    test.end();
}

/// What was moved, taken and let go is not met again, and what a reader holds is alive.
#[model(tracks(&[REGISTRY]), preemptions(1), at_night(2))]
fn glance_beside_growth_and_take() {
    let test = TestCache::stored();
    let taker = test.spawn(|test| test.take_and_collect(1));
    let grower = test.spawn(|test| test.cache.set_capacity(LARGE).unwrap());
    let look = || test.cache.read(&id(1), |session| session.number());
    let seen = [look(), look()];
    assert!([[Some(1), Some(1)], [Some(1), None], [None, None]].contains(&seen), "{seen:?}");
    assert_eq!(taker.join().unwrap(), Some(1));
    grower.join().unwrap();
    test.assert_holds(&[]);
}

/// What a reader at a glance is lent stays alive while others take it and collect.
#[model(tracks(&[REGISTRY]))]
fn glance_lends_what_is_alive() {
    let test = TestCache::stored();
    let taker = test.spawn(|test| test.take_and_collect(1));
    let kept = test.cache.read(&id(1), Session::clone);
    assert_eq!(taker.join().unwrap(), Some(1));
    // The taker's own met the guard of the lookup, perhaps.
    test.cache.collect();
    assert!(kept.is_none_or(|kept| kept.number() == 1 && Session::handle_count(&kept) == 1));
    test.assert_holds(&[]);
}

/// An identical add beside a take: it found the session before the take, or stores it again after.
#[model]
fn glance_identical_beside_take() {
    let (test, session) = TestCache::with_handle();
    let taker = test.spawn(|test| test.take(1));
    let added = test.cache.add(session.clone());
    assert_eq!(taker.join().unwrap(), Some(1));
    let is_stored = match added {
        Ok(Added::Identical) => false,
        Ok(Added::Inserted) => true,
        other => panic!("{other:?}"),
    };
    test.assert_stored(if is_stored { &[1] } else { &[] });
    test.cache.collect();
    assert_eq!(Session::handle_count(&session), 1 + usize::from(is_stored));
}

/// An identical add beside a replacement by another object.
#[model]
fn glance_identical_beside_replacement() {
    let (test, session) = TestCache::with_handle();
    let adder = test.spawn(|test| replaced(test.add(1, 2)));
    let stays = match test.cache.add(session.clone()) {
        Ok(Added::Identical) => 2,
        Ok(Added::Replaced(old)) if old.number() == 2 => 1,
        other => panic!("{other:?}"),
    };
    assert_eq!(adder.join().unwrap(), Some(1));
    test.assert_stored(&[stays]);
    test.cache.collect();
    assert_eq!(Session::handle_count(&session), if stays == 1 { 2 } else { 1 });
}

/// An identical add beside the mover is identical.
#[model]
fn glance_identical_beside_growth() {
    let (test, session) = TestCache::with_handle();
    let grower = test.spawn(|test| test.cache.set_capacity(LARGE).unwrap());
    assert!(matches!(test.cache.add(session.clone()), Ok(Added::Identical)));
    grower.join().unwrap();
    test.assert_stored(&[1]);
    test.cache.collect();
    assert_eq!(Session::handle_count(&session), 2);
}
