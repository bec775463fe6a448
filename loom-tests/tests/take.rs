//! Removal: exactly one of all who take, remove or replace a session gets it, and it is never seen again.
//!
//! Guards: the one exchange that ends a stay, and the retirement of its count.

use loom_tests::ledger::{Entry, Ledger};
use loom_tests::{Model, id, thread};
use sessile::{Added, Session, SessionCache};
use std::sync::Arc;

fn stored() -> (Arc<SessionCache<Entry>>, Arc<Ledger>, Session<Entry>) {
    let ledger = Ledger::new();
    let cache = loom_tests::cache(4);
    let session = Session::new(id(1), ledger.entry(1));
    assert!(cache.add(session.clone()).changed());
    (cache, ledger, session)
}

#[test]
fn take_and_take() {
    Model::new("take_and_take").check(|| {
        let (cache, ledger, session) = stored();
        drop(session);
        let other = {
            let cache = Arc::clone(&cache);
            thread::spawn(move || cache.take(&id(1)).map(|session| session.number()))
        };
        let here = cache.take(&id(1)).map(|session| session.number());
        let there = other.join().unwrap();
        assert_eq!(here.or(there), Some(1));
        assert!(here.is_none() || there.is_none(), "taken twice");
        cache.collect();
        assert_eq!(ledger.alive(), 0);
    });
}

/// The replaced session is got by the replacer or by the taker, never by both, and the key is never lost.
#[test]
fn take_and_replace() {
    Model::new("take_and_replace").check(|| {
        let (cache, ledger, session) = stored();
        drop(session);
        let adder = {
            let (cache, ledger) = (Arc::clone(&cache), Arc::clone(&ledger));
            thread::spawn(move || match cache.add(Session::new(id(1), ledger.entry(2))) {
                Added::Inserted => None,
                Added::Replaced(old) => Some(old.number()),
                other => panic!("{other:?}"),
            })
        };
        let taken = cache.take(&id(1)).map(|session| session.number());
        let replaced = adder.join().unwrap();
        match (taken, replaced) {
            (Some(1), None) => assert_eq!(cache.get(&id(1)).map(|session| session.number()), Some(2)),
            (Some(2), Some(1)) => assert!(cache.get(&id(1)).is_none()),
            other => panic!("{other:?}"),
        }
    });
}

/// An identical add beside a removal of the object: it found it before, or stored it again after.
#[test]
fn identical_and_take() {
    Model::new("identical_and_take").check(|| {
        let (cache, _ledger, session) = stored();
        let taker = {
            let cache = Arc::clone(&cache);
            thread::spawn(move || cache.take(&id(1)).is_some())
        };
        let added = cache.add(session.clone());
        assert!(taker.join().unwrap());
        let left = cache.snapshot().len();
        match added {
            Added::Identical => assert_eq!(left, 0),
            Added::Inserted => assert_eq!(left, 1),
            other => panic!("{other:?}"),
        }
        cache.collect();
        assert_eq!(Session::handle_count(&session), 1 + left);
    });
}

/// Removal by identity never removes the newer session.
#[test]
fn remove_and_replace() {
    Model::new("remove_and_replace").check(|| {
        let (cache, ledger, session) = stored();
        let adder = {
            let (cache, ledger) = (Arc::clone(&cache), Arc::clone(&ledger));
            thread::spawn(move || matches!(cache.add(Session::new(id(1), ledger.entry(2))), Added::Inserted))
        };
        let removed = cache.remove(&session);
        let inserted = adder.join().unwrap();
        assert_eq!(removed, inserted, "removed and then inserted, or replaced and then not removed");
        assert_eq!(cache.get(&id(1)).map(|session| session.number()), Some(2));
    });
}

/// The object is taken, stored again and taken again: two stays, two counts.
#[test]
fn add_again_and_take() {
    Model::new("add_again_and_take").check(|| {
        let (cache, _ledger, session) = stored();
        let taker = {
            let cache = Arc::clone(&cache);
            thread::spawn(move || usize::from(cache.take(&id(1)).is_some()))
        };
        let first = usize::from(cache.take(&id(1)).is_some());
        let stays = 1 + usize::from(cache.add(session.clone()).changed());
        let second = usize::from(cache.take(&id(1)).is_some());
        let taken = first + second + taker.join().unwrap();
        let left = cache.snapshot().len();
        assert_eq!(stays, taken + left);
        cache.collect();
        assert_eq!(Session::handle_count(&session), 1 + left);
    });
}
