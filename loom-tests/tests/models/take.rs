//! Removal: exactly one of all who take, remove or replace a session gets it, and it is never seen
//! again.
//!
//! Guards: the one exchange that ends a stay, and the retirement of its count.

use loom_tests::{REGISTRY, TestCache, id, model, replaced};
use sessile::{Added, Session};

fn take_beside_take() {
    let test = TestCache::stored();
    let other = test.spawn(|test| test.take(1));
    let here = test.take(1);
    let there = other.join().unwrap();
    assert_eq!(here.or(there), Some(1));
    assert!(here.is_none() || there.is_none(), "taken twice");
    test.assert_stored(&[]);
    test.end();
}

#[model]
fn take_and_take() {
    take_beside_take();
}

/// The same on real crossbeam-epoch.
#[model(tracks(&[REGISTRY]), real_epoch(), preemptions(2))]
fn take_and_take_epoch() {
    take_beside_take();
}

/// Three who take: one gets it.
#[model]
fn take_three() {
    let test = TestCache::stored();
    let others = [(); 2].map(|()| test.spawn(|test| test.take(1)));
    let here = test.take(1);
    let there = others.into_iter().map(|other| other.join().unwrap());
    assert_eq!(there.chain([here]).flatten().collect::<Vec<_>>(), [1]);
    test.assert_holds(&[]);
}

/// The replaced session is got by the replacer or by the taker, never by both, and the key is never
/// lost.
#[model]
fn take_and_replace() {
    let test = TestCache::stored();
    let adder = test.spawn(|test| replaced(test.add(1, 2)));
    let taken = test.take(1);
    match (taken, adder.join().unwrap()) {
        (Some(1), None) => test.assert_holds(&[2]),
        (Some(2), Some(1)) => test.assert_holds(&[]),
        other => panic!("{other:?}"),
    }
}

/// What was taken and then seen by nobody is not seen again, though its key comes back.
#[model]
fn take_and_get() {
    let test = TestCache::stored();
    let reader = test.spawn(|test| [test.get(1), test.get(1)]);
    assert_eq!(test.take(1), Some(1));
    test.insert(1, 2);
    let seen = reader.join().unwrap();
    let orders = [
        [Some(1), Some(1)],
        [Some(1), None],
        [Some(1), Some(2)],
        [None, None],
        [None, Some(2)],
        [Some(2), Some(2)],
    ];
    assert!(orders.contains(&seen), "{seen:?}");
    test.assert_holds(&[2]);
}

/// An identical add beside a removal of the object: it found it before, or stored it again after.
#[model]
fn identical_and_take() {
    let (test, session) = TestCache::with_handle();
    let taker = test.spawn(|test| test.take(1).is_some());
    let added = test.cache.add(session.clone());
    assert!(taker.join().unwrap());
    let left = test.numbers().len();
    match added {
        Ok(Added::Identical) => assert_eq!(left, 0),
        Ok(Added::Inserted) => assert_eq!(left, 1),
        other => panic!("{other:?}"),
    }
    test.cache.collect();
    assert_eq!(Session::handle_count(&session), 1 + left);
}

/// Removal by identity never removes the newer session.
#[model]
fn remove_and_replace() {
    let (test, session) = TestCache::with_handle();
    let adder = test.spawn(|test| replaced(test.add(1, 2)).is_none());
    let removed = test.cache.remove(&session);
    let inserted = adder.join().unwrap();
    assert_eq!(removed, inserted, "removed and then inserted, or replaced and then not removed");
    drop(session);
    test.assert_holds(&[2]);
}

/// Removal by identity beside an add of the same object: stored and removed, or refused, or not yet
/// there.
#[model]
fn remove_and_add() {
    let test = TestCache::new(4);
    let session = test.session(1, 1);
    let adder = {
        let session = session.clone();
        test.spawn(|test| test.cache.add(session).is_ok_and(|added| added.changed()))
    };
    let removed = test.cache.remove(&session);
    let added = adder.join().unwrap();
    assert!(added || !removed, "what was never stored was removed");
    // Marked before the search: if it is stored still, no lookup will find it.
    assert_eq!(test.get(1), None);
    test.cache.collect();
    assert_eq!(Session::handle_count(&session), 1);
    assert!(test.cache.is_empty());
}

/// Removal by identity beside a taker: one of them has it, also if the taker meets what is being
/// removed.
#[model]
fn remove_and_take() {
    let (test, session) = TestCache::with_handle();
    let taker = test.spawn(|test| test.take(1).is_some());
    let removed = test.cache.remove(&session);
    assert!(removed ^ taker.join().unwrap());
    drop(session);
    test.assert_holds(&[]);
}

/// A lookup beside a removal by identity does not take the removal's place.
#[model]
fn remove_and_get() {
    let (test, session) = TestCache::with_handle();
    let reader = test.spawn(|test| assert!([None, Some(1)].contains(&test.get(1))));
    assert!(test.cache.remove(&session));
    reader.join().unwrap();
    drop(session);
    test.assert_holds(&[]);
}

/// Removal by id beside a taker: one of them has it.
#[model]
fn remove_id_and_take() {
    let test = TestCache::stored();
    let taker = test.spawn(|test| test.take(1).is_some());
    let removed = test.cache.remove_id(&id(1));
    assert!(removed ^ taker.join().unwrap());
    test.assert_holds(&[]);
}

/// The object is taken, stored again and taken again: two stays, two counts.
#[model]
fn add_again_and_take() {
    let (test, session) = TestCache::with_handle();
    let taker = test.spawn(|test| usize::from(test.take(1).is_some()));
    let first = usize::from(test.take(1).is_some());
    let stays = 1 + usize::from(test.cache.add(session.clone()).is_ok_and(|added| added.changed()));
    let second = usize::from(test.take(1).is_some());
    let taken = first + second + taker.join().unwrap();
    let left = test.numbers().len();
    assert_eq!(stays, taken + left);
    test.cache.collect();
    assert_eq!(Session::handle_count(&session), 1 + left);
}
