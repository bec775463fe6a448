//! Hooks that come back: a hook runs after its operation, under no guard, and may do anything with the cache.
//!
//! Guards: the order of guard and hooks in `announce`, which drops the one before it calls the others.

use loom_tests::ledger::{Entry, Ledger};
use loom_tests::{Model, REGISTRY, id, thread};
use sessile::{Mode, RemovalCause, Session, SessionCache};
use std::sync::{Arc, OnceLock, Weak};

type Home = Arc<OnceLock<Weak<SessionCache<Entry>>>>;

/// A cache whose removal hook puts what was taken back under another key, and collects.
fn returning(ledger: &Arc<Ledger>) -> Arc<SessionCache<Entry>> {
    let home = Home::default();
    let (inner, books) = (Arc::clone(&home), Arc::clone(ledger));
    let mode = Mode { auto_flush: false, ..Mode::default() };
    let hook = move |session: &Session<Entry>, cause| {
        let cache = inner.get().and_then(Weak::upgrade);
        if let (Some(cache), RemovalCause::Taken) = (cache, cause) {
            assert!(
                cache
                    .add(Session::new(id(2), books.entry(session.number() + 10)))
                    .is_ok_and(|added| added.changed())
            );
            cache.collect();
        }
    };
    let cache = Arc::new(SessionCache::builder().capacity(4).mode(mode).on_removed(hook).build().unwrap());
    assert!(home.set(Arc::downgrade(&cache)).is_ok());
    cache
}

/// A removal whose hook adds, beside a reader of both keys.
#[test]
fn hook_reenters() {
    Model::new("hook_reenters").sees(&[REGISTRY]).check(|| {
        let ledger = Ledger::new();
        let cache = returning(&ledger);
        assert!(cache.add(Session::new(id(1), ledger.entry(1))).is_ok_and(|added| added.changed()));
        let reader = {
            let cache = Arc::clone(&cache);
            thread::spawn(move || {
                let second = cache.get(&id(2)).map(|session| session.number());
                let first = cache.get(&id(1)).map(|session| session.number());
                assert!(second.is_none() || first.is_none(), "the hook runs after the removal");
            })
        };
        assert_eq!(cache.take(&id(1)).map(|session| session.number()), Some(1));
        reader.join().unwrap();
        assert_eq!(cache.get(&id(2)).map(|session| session.number()), Some(11));
        cache.collect();
        assert_eq!(ledger.alive(), 1);
        drop(cache);
        assert_eq!(ledger.alive(), 0);
    });
}
