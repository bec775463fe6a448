//! Migration: a session that is stored throughout is found throughout, and nothing removed comes back.
//!
//! Guards: the link of the new table, the closing of homes, the shadow's three steps, the root.

use loom_tests::ledger::{Entry, Ledger};
use loom_tests::{Model, id, thread};
use sessile::{Added, Session, SessionCache};
use std::sync::Arc;

const SMALL: usize = 4;
const LARGE: usize = 6;

fn stored() -> (Arc<SessionCache<Entry>>, Arc<Ledger>) {
    let ledger = Ledger::new();
    let cache = loom_tests::cache(SMALL);
    assert!(cache.add(Session::new(id(1), ledger.entry(1))).changed());
    (cache, ledger)
}

fn beside_growth<R: Send + 'static>(
    cache: &Arc<SessionCache<Entry>>,
    f: impl FnOnce(&SessionCache<Entry>) -> R + Send + 'static,
) -> R {
    let other = {
        let cache = Arc::clone(cache);
        thread::spawn(move || f(&cache))
    };
    cache.set_capacity(LARGE).unwrap();
    other.join().unwrap()
}

#[test]
fn migrate_and_get() {
    Model::new("migrate_and_get").check(|| {
        let (cache, ledger) = stored();
        let seen = beside_growth(&cache, |cache| cache.get(&id(1)).map(|session| session.number()));
        assert_eq!(seen, Some(1), "a session that only moves is always found");
        assert_eq!(cache.snapshot().len(), 1);
        drop(cache);
        assert_eq!(ledger.alive(), 0);
    });
}

#[test]
fn migrate_and_take() {
    Model::new("migrate_and_take").check(|| {
        let (cache, ledger) = stored();
        let taken = beside_growth(&cache, |cache| cache.take(&id(1)).map(|session| session.number()));
        assert_eq!(taken, Some(1));
        assert!(cache.get(&id(1)).is_none(), "a taken session came back");
        assert_eq!(cache.len(), 0);
        cache.collect();
        assert_eq!(ledger.alive(), 0);
    });
}

#[test]
fn migrate_and_replace() {
    Model::new("migrate_and_replace").check(|| {
        let (cache, ledger) = stored();
        let books = Arc::clone(&ledger);
        let replaced = beside_growth(&cache, move |cache| {
            matches!(cache.add(Session::new(id(1), books.entry(2))), Added::Replaced(_))
        });
        assert!(replaced);
        assert_eq!(cache.snapshot().len(), 1);
        assert_eq!(cache.get(&id(1)).map(|session| session.number()), Some(2));
        cache.collect();
        assert_eq!(ledger.alive(), 1);
    });
}

/// An absent key that is added while homes close and tables change is stored once.
#[test]
fn migrate_and_add() {
    Model::new("migrate_and_add").check(|| {
        let (cache, ledger) = stored();
        let books = Arc::clone(&ledger);
        let inserted = beside_growth(&cache, move |cache| {
            matches!(cache.add(Session::new(id(2), books.entry(2))), Added::Inserted)
        });
        assert!(inserted);
        assert_eq!((cache.len(), cache.snapshot().len()), (2, 2));
        drop(cache);
        assert_eq!(ledger.alive(), 0);
    });
}

/// Two threads resize: one moves, the other leaves it to it, and nothing is lost.
#[test]
fn migrate_two_movers() {
    Model::new("migrate_two_movers").check(|| {
        let (cache, ledger) = stored();
        beside_growth(&cache, |cache| cache.set_capacity(LARGE + 4).unwrap());
        assert_eq!(cache.get(&id(1)).map(|session| session.number()), Some(1));
        assert_eq!(cache.len(), 1);
        drop(cache);
        assert_eq!(ledger.alive(), 0);
    });
}
