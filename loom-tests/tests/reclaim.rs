//! Limbo: what is retired is released once, after its readers, whoever does it.
//!
//! Guards: the occupation of a limbo, the stack at its side entrance, the number that a sentinel raises, the hand-over of a
//! thread's part to the next thread. All on real crossbeam-epoch: the contract reclaimer has no limbo.

use loom_tests::ledger::{Entry, Ledger};
use loom_tests::{Model, cache, id, thread};
use sessile::{Session, SessionCache};
use std::sync::Arc;

fn stored() -> (Arc<SessionCache<Entry>>, Arc<Ledger>) {
    let ledger = Ledger::new();
    let cache = cache(4);
    assert!(cache.add(Session::new(id(1), ledger.entry(1))).changed());
    (cache, ledger)
}

/// A reader beside a retirement and a collection that tries to free it.
#[test]
fn limbo_ripens() {
    Model::new("limbo_ripens").real_epoch().preemptions(2).check(|| {
        let (cache, ledger) = stored();
        let reader = {
            let cache = Arc::clone(&cache);
            thread::spawn(move || cache.read(&id(1), |session| assert_eq!(session.number(), 1)))
        };
        assert!(cache.remove_id(&id(1)));
        cache.collect();
        let _ = reader.join().unwrap();
        drop(cache);
        assert_eq!(ledger.alive(), 0);
    });
}

/// A retirement beside a collector that is inside the same limbo.
#[test]
fn limbo_occupied() {
    Model::new("limbo_occupied").real_epoch().preemptions(2).check(|| {
        let (cache, ledger) = stored();
        let collector = {
            let cache = Arc::clone(&cache);
            thread::spawn(move || cache.collect())
        };
        assert!(cache.remove_id(&id(1)));
        collector.join().unwrap();
        drop(cache);
        assert_eq!(ledger.alive(), 0);
    });
}

/// Two threads that come and go share what the registry has.
#[test]
fn registry_hands_over() {
    Model::new("registry_hands_over").check(|| {
        let (cache, ledger) = stored();
        let threads = [2, 3].map(|n| {
            let (cache, ledger) = (Arc::clone(&cache), Arc::clone(&ledger));
            thread::spawn(move || {
                assert!(cache.add(Session::new(id(n), ledger.entry(usize::from(n)))).changed())
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(cache.stats().added, 3);
        drop(cache);
        assert_eq!(ledger.alive(), 0);
    });
}
