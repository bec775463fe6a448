//! The count of a session: raised only while it cannot be the last, lowered once for each time it was raised.
//!
//! Guards: the relaxed raise under a guard, the release of the last decrement, `retire`.

use loom_tests::ledger::{Entry, Ledger};
use loom_tests::{Model, id, thread};
use sessile::{Session, SessionCache};
use std::sync::Arc;

fn stored(capacity: usize) -> (Arc<SessionCache<Entry>>, Arc<Ledger>) {
    let ledger = Ledger::new();
    let cache = loom_tests::cache(capacity);
    assert!(cache.add(Session::new(id(1), ledger.entry(1))).changed());
    (cache, ledger)
}

/// What every holder did with the session happens before its destruction.
#[test]
fn count_last_drop() {
    Model::new("count_last_drop").check(|| {
        let ledger = Ledger::new();
        let session = Session::new(id(1), ledger.entry(1));
        let other = session.clone();
        let thread = thread::spawn(move || assert_eq!(other.number(), 1));
        assert_eq!(session.number(), 1);
        drop(session);
        thread.join().unwrap();
        assert_eq!(ledger.alive(), 0);
    });
}

fn replace_beside_get() {
    let (cache, ledger) = stored(4);
    let reader = {
        let cache = Arc::clone(&cache);
        thread::spawn(move || {
            let session = cache.get(&id(1)).expect("a replacement leaves no gap");
            assert!([1, 2].contains(&session.number()));
        })
    };
    assert!(cache.add(Session::new(id(1), ledger.entry(2))).changed());
    reader.join().unwrap();
    drop(cache);
    assert_eq!(ledger.alive(), 0);
}

/// A reader beside a replacement gets the old or the new session, and what it got is alive.
#[test]
fn replace_and_get() {
    Model::new("replace_and_get").check(replace_beside_get);
}

/// The same with `read`, which raises no count.
#[test]
fn replace_and_read() {
    Model::new("replace_and_read").check(|| {
        let (cache, ledger) = stored(4);
        let reader = {
            let cache = Arc::clone(&cache);
            thread::spawn(move || {
                cache.read(&id(1), |session| assert!([1, 2].contains(&session.number()))).unwrap();
            })
        };
        assert!(cache.add(Session::new(id(1), ledger.entry(2))).changed());
        reader.join().unwrap();
    });
}

fn evict_beside_get() {
    let (cache, ledger) = stored(1);
    let reader = {
        let cache = Arc::clone(&cache);
        thread::spawn(move || {
            if let Some(session) = cache.get(&id(1)) {
                assert_eq!(session.number(), 1);
            }
        })
    };
    assert!(cache.add(Session::new(id(2), ledger.entry(2))).changed());
    assert!(cache.len() <= 1);
    reader.join().unwrap();
    assert!(cache.get(&id(1)).is_none());
    drop(cache);
    assert_eq!(ledger.alive(), 0);
}

/// A reader beside an eviction gets the victim, alive, or nothing.
#[test]
fn evict_and_get() {
    Model::new("evict_and_get").check(evict_beside_get);
}

/// An eviction and a replacement of one slot: one of them has it.
#[test]
fn evict_and_replace() {
    Model::new("evict_and_replace").check(|| {
        let (cache, ledger) = stored(1);
        let adder = {
            let (cache, ledger) = (Arc::clone(&cache), Arc::clone(&ledger));
            thread::spawn(move || assert!(cache.add(Session::new(id(2), ledger.entry(2))).changed()))
        };
        assert!(cache.add(Session::new(id(1), ledger.entry(3))).changed());
        adder.join().unwrap();
        assert_eq!((cache.len(), cache.snapshot().len()), (1, 1));
        let stats = cache.stats();
        assert_eq!(stats.added + stats.replaced, 3);
        assert_eq!(stats.added, stats.evicted + 1);
        cache.collect();
        assert_eq!(ledger.alive(), 1);
    });
}

/// A thread that only looks never sees more sessions than the capacity.
#[test]
fn capacity_bound() {
    Model::new("capacity_bound").check(|| {
        let ledger = Ledger::new();
        let cache = loom_tests::cache(1);
        let threads = [1, 2].map(|n| {
            let (cache, ledger) = (Arc::clone(&cache), Arc::clone(&ledger));
            thread::spawn(move || {
                let _ = cache.add(Session::new(id(n), ledger.entry(usize::from(n))));
            })
        });
        assert!(cache.len() <= 1);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(cache.len() <= 1 && cache.snapshot().len() <= 1);
    });
}

/// A handle outlives the cache, on another thread.
#[test]
fn drop_and_handle() {
    Model::new("drop_and_handle").check(|| {
        let (cache, ledger) = stored(4);
        let holder = {
            let cache = Arc::clone(&cache);
            thread::spawn(move || {
                let session = cache.get(&id(1));
                drop(cache);
                session.map(|session| session.number())
            })
        };
        let other = cache.take(&id(1));
        drop(cache);
        let seen = holder.join().unwrap();
        assert!(seen.is_none() || seen == Some(1));
        drop(other);
        assert_eq!(ledger.alive(), 0);
    });
}

/// The same races on real crossbeam-epoch, whose order between two pins the contract reclaimer may exceed.
#[test]
fn replace_and_get_epoch() {
    Model::new("replace_and_get_epoch").real_epoch().preemptions(2).check(replace_beside_get);
}

#[test]
fn evict_and_get_epoch() {
    Model::new("evict_and_get_epoch").real_epoch().preemptions(2).check(evict_beside_get);
}
