//! Removal: exactly one of all who take, remove or replace a session gets it, and it is never seen
//! again.
//!
//! Guards: the one exchange that ends a stay, and the retirement of its count.

use loom_tests::{Model, REGISTRY, Stage, id, replaced};
use sessile::{Added, Session};

fn take_beside_take() {
    let stage = Stage::stored();
    let other = stage.beside(|stage| stage.take(1));
    let here = stage.take(1);
    let there = other.join().unwrap();
    assert_eq!(here.or(there), Some(1));
    assert!(here.is_none() || there.is_none(), "taken twice");
    stage.assert_stored(&[]);
    stage.end();
}

#[test]
fn take_and_take() {
    Model::new("take_and_take").check(take_beside_take);
}

/// The same on real crossbeam-epoch.
#[test]
fn take_and_take_epoch() {
    Model::new("take_and_take_epoch")
        .sees(&[REGISTRY])
        .real_epoch()
        .preemptions(2)
        .check(take_beside_take);
}

/// Three who take: one gets it.
#[test]
fn take_three() {
    Model::new("take_three").check(|| {
        let stage = Stage::stored();
        let others = [(); 2].map(|()| stage.beside(|stage| stage.take(1)));
        let here = stage.take(1);
        let there = others.into_iter().map(|other| other.join().unwrap());
        assert_eq!(there.chain([here]).flatten().collect::<Vec<_>>(), [1]);
        stage.assert_holds(&[]);
    });
}

/// The replaced session is got by the replacer or by the taker, never by both, and the key is never
/// lost.
#[test]
fn take_and_replace() {
    Model::new("take_and_replace").check(|| {
        let stage = Stage::stored();
        let adder = stage.beside(|stage| replaced(stage.add(1, 2)));
        let taken = stage.take(1);
        match (taken, adder.join().unwrap()) {
            (Some(1), None) => stage.assert_holds(&[2]),
            (Some(2), Some(1)) => stage.assert_holds(&[]),
            other => panic!("{other:?}"),
        }
    });
}

/// What was taken and then seen by nobody is not seen again, though its key comes back.
#[test]
fn take_and_get() {
    Model::new("take_and_get").check(|| {
        let stage = Stage::stored();
        let reader = stage.beside(|stage| [stage.get(1), stage.get(1)]);
        assert_eq!(stage.take(1), Some(1));
        stage.insert(1, 2);
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
        stage.assert_holds(&[2]);
    });
}

/// An identical add beside a removal of the object: it found it before, or stored it again after.
#[test]
fn identical_and_take() {
    Model::new("identical_and_take").check(|| {
        let stage = Stage::new(4);
        let session = stage.session(1, 1);
        assert!(stage.cache.add(session.clone()).is_ok_and(|added| added.changed()));
        let taker = stage.beside(|stage| stage.take(1).is_some());
        let added = stage.cache.add(session.clone());
        assert!(taker.join().unwrap());
        let left = stage.numbers().len();
        match added {
            Ok(Added::Identical) => assert_eq!(left, 0),
            Ok(Added::Inserted) => assert_eq!(left, 1),
            other => panic!("{other:?}"),
        }
        stage.cache.collect();
        assert_eq!(Session::handle_count(&session), 1 + left);
    });
}

/// Removal by identity never removes the newer session.
#[test]
fn remove_and_replace() {
    Model::new("remove_and_replace").check(|| {
        let stage = Stage::new(4);
        let session = stage.session(1, 1);
        assert!(stage.cache.add(session.clone()).is_ok_and(|added| added.changed()));
        let adder = stage.beside(|stage| replaced(stage.add(1, 2)).is_none());
        let removed = stage.cache.remove(&session);
        let inserted = adder.join().unwrap();
        assert_eq!(
            removed, inserted,
            "removed and then inserted, or replaced and then not removed"
        );
        drop(session);
        stage.assert_holds(&[2]);
    });
}

/// Removal by identity beside an add of the same object: stored and removed, or refused, or not yet
/// there.
#[test]
fn remove_and_add() {
    Model::new("remove_and_add").check(|| {
        let stage = Stage::new(4);
        let session = stage.session(1, 1);
        let adder = {
            let session = session.clone();
            stage.beside(|stage| stage.cache.add(session).is_ok_and(|added| added.changed()))
        };
        let removed = stage.cache.remove(&session);
        let added = adder.join().unwrap();
        assert!(added || !removed, "what was never stored was removed");
        // Marked before the search: if it is stored still, no lookup will find it.
        assert_eq!(stage.get(1), None);
        stage.cache.collect();
        assert_eq!(Session::handle_count(&session), 1);
        assert!(stage.cache.is_empty());
    });
}

/// Removal by identity beside a taker: one of them has it, also if the taker meets what is being
/// removed.
#[test]
fn remove_and_take() {
    Model::new("remove_and_take").check(|| {
        let stage = Stage::new(4);
        let session = stage.session(1, 1);
        assert!(stage.cache.add(session.clone()).is_ok_and(|added| added.changed()));
        let taker = stage.beside(|stage| stage.take(1).is_some());
        let removed = stage.cache.remove(&session);
        assert!(removed ^ taker.join().unwrap());
        drop(session);
        stage.assert_holds(&[]);
    });
}

/// A lookup beside a removal by identity does not take the removal's place.
#[test]
fn remove_and_get() {
    Model::new("remove_and_get").check(|| {
        let stage = Stage::new(4);
        let session = stage.session(1, 1);
        assert!(stage.cache.add(session.clone()).is_ok_and(|added| added.changed()));
        let reader = stage.beside(|stage| assert!([None, Some(1)].contains(&stage.get(1))));
        assert!(stage.cache.remove(&session));
        reader.join().unwrap();
        drop(session);
        stage.assert_holds(&[]);
    });
}

/// Removal by id beside a taker: one of them has it.
#[test]
fn remove_id_and_take() {
    Model::new("remove_id_and_take").check(|| {
        let stage = Stage::stored();
        let taker = stage.beside(|stage| stage.take(1).is_some());
        let removed = stage.cache.remove_id(&id(1));
        assert!(removed ^ taker.join().unwrap());
        stage.assert_holds(&[]);
    });
}

/// The object is taken, stored again and taken again: two stays, two counts.
#[test]
fn add_again_and_take() {
    Model::new("add_again_and_take").check(|| {
        let stage = Stage::new(4);
        let session = stage.session(1, 1);
        assert!(stage.cache.add(session.clone()).is_ok_and(|added| added.changed()));
        let taker = stage.beside(|stage| usize::from(stage.take(1).is_some()));
        let first = usize::from(stage.take(1).is_some());
        let stays =
            1 + usize::from(stage.cache.add(session.clone()).is_ok_and(|added| added.changed()));
        let second = usize::from(stage.take(1).is_some());
        let taken = first + second + taker.join().unwrap();
        let left = stage.numbers().len();
        assert_eq!(stays, taken + left);
        stage.cache.collect();
        assert_eq!(Session::handle_count(&session), 1 + left);
    });
}
