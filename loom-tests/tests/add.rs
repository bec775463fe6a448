//! Insertion: a key is never stored twice, and what is found is whole.
//!
//! Guards: the publication word (`raw::publish`), the claim and the opening exchange, the acquire of a slot's word.

use loom_tests::ledger::Ledger;
use loom_tests::{Model, id, thread};
use sessile::{Added, Session, SessionCache};
use std::sync::Arc;

fn cache(ledger: &Arc<Ledger>) -> (Arc<SessionCache<loom_tests::ledger::Entry>>, Arc<Ledger>) {
    (loom_tests::cache(4), Arc::clone(ledger))
}

/// A lookup beside an insertion finds nothing or the whole session.
#[test]
fn add_and_get() {
    Model::new("add_and_get").check(|| {
        let ledger = Ledger::new();
        let (cache, books) = cache(&ledger);
        let adder = {
            let cache = Arc::clone(&cache);
            thread::spawn(move || {
                let added = cache.add(Session::new(id(1), books.entry(7)));
                assert!(matches!(added, Added::Inserted));
            })
        };
        if let Some(session) = cache.get(&id(1)) {
            assert_eq!(session.number(), 7);
        }
        adder.join().unwrap();
        assert_eq!(cache.get(&id(1)).unwrap().number(), 7);
        drop(cache);
        assert_eq!(ledger.alive(), 0);
    });
}

/// Adders of one key: one inserts, the others replace, the last one stays.
fn add_same_key(adders: usize) {
    let ledger = Ledger::new();
    let (cache, _) = cache(&ledger);
    let threads: Vec<_> = (1..adders)
        .map(|n| {
            let (cache, books) = (Arc::clone(&cache), Arc::clone(&ledger));
            thread::spawn(move || count(cache.add(Session::new(id(1), books.entry(n)))))
        })
        .collect();
    let mut sums = count(cache.add(Session::new(id(1), ledger.entry(0))));
    for thread in threads {
        let (inserted, replaced) = thread.join().unwrap();
        sums = (sums.0 + inserted, sums.1 + replaced);
    }
    assert_eq!(sums, (1, adders - 1));
    assert_eq!(cache.snapshot().len(), 1);
    assert_eq!(cache.len(), 1);
    cache.collect();
    assert_eq!(ledger.alive(), 1);
    drop(cache);
    assert_eq!(ledger.alive(), 0);
}

fn count<T>(added: Added<T>) -> (usize, usize) {
    match added {
        Added::Inserted => (1, 0),
        Added::Replaced(_) => (0, 1),
        Added::Identical | Added::Rejected(_) => panic!("an add of a new object inserts or replaces"),
    }
}

#[test]
fn add_and_add() {
    Model::new("add_and_add").check(|| add_same_key(2));
}

#[test]
fn add_three() {
    Model::new("add_three").preemptions(1).check(|| add_same_key(3));
}

/// Two adds of one object: the cache holds one count of it.
#[test]
fn add_same_object() {
    Model::new("add_same_object").check(|| {
        let ledger = Ledger::new();
        let (cache, _) = cache(&ledger);
        let session = Session::new(id(1), ledger.entry(1));
        let other = {
            let (cache, session) = (Arc::clone(&cache), session.clone());
            thread::spawn(move || matches!(cache.add(session), Added::Inserted))
        };
        let here = matches!(cache.add(session.clone()), Added::Inserted);
        assert!(here ^ other.join().unwrap(), "one add inserts, the other finds the identical object");
        cache.collect();
        assert_eq!(Session::handle_count(&session), 2);
    });
}

/// A helper that stalls between its two looks at the publication word does not open a later claim of the same object.
#[test]
fn add_stale_helper() {
    Model::new("add_stale_helper").preemptions(1).check(|| {
        let ledger = Ledger::new();
        let (cache, books) = cache(&ledger);
        let session = Session::new(id(1), ledger.entry(1));
        let helper = {
            let cache = Arc::clone(&cache);
            thread::spawn(move || count(cache.add(Session::new(id(1), books.entry(2)))))
        };
        let mut taken = 0;
        for _ in 0..2 {
            assert!(cache.add(session.clone()).changed());
            taken += usize::from(cache.take(&id(1)).is_some());
        }
        let (inserted, replaced) = helper.join().unwrap();
        assert_eq!(inserted + replaced, 1);
        let left = cache.snapshot().len();
        assert!(left <= 1, "one key, {left} members");
        // Three additions, each ended by one take, one replacement, or still there.
        assert_eq!(3, taken + left + cache.stats().replaced as usize);
    });
}
