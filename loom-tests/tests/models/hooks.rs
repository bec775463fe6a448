//! Hooks: one runs after its operation, under no guard, and may do anything with the cache; they
//! are replaced whole.
//!
//! Guards: the order of guard and hooks in `announce`, which drops the one before it calls the
//! others, and the words of `settings.rs` that say which hooks and which mode are set.

use loom_tests::{REGISTRY, SETTINGS, id, model, spawn_with};
use sessile::{Context, Hooks, Mode, RemovalCause, Session, SessionCache};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::{Ledger, Own, Payload};

/// A cache whose removal hook puts what was taken back under another key, and collects.
fn returning(ledger: &Arc<Ledger>) -> Arc<SessionCache<Payload>> {
    let own = Own::default();
    let (inner, books) = (own.clone(), Arc::clone(ledger));
    let hook = move |session: &Session<Payload>, cause| {
        if cause == RemovalCause::Taken {
            let cache = inner.cache();
            assert!(
                cache
                    .add(Session::new(id(2), books.payload(session.number() + 10)))
                    .is_ok_and(|added| added.changed())
            );
            cache.collect();
        }
    };
    own.is(loom_tests::quiet().capacity(4).on_removed(hook).build().unwrap())
}

/// A removal whose hook adds, beside a reader of both keys.
#[model(tracks(&[REGISTRY]))]
fn hook_reenters() {
    let ledger = Ledger::new();
    let cache = returning(&ledger);
    assert!(cache.add(Session::new(id(1), ledger.payload(1))).is_ok_and(|added| added.changed()));
    let reader = spawn_with(&cache, |cache| {
        let second = cache.get(&id(2)).map(|session| session.number());
        let first = cache.get(&id(1)).map(|session| session.number());
        assert!(second.is_none() || first.is_none(), "the hook runs after the removal");
    });
    assert_eq!(cache.take(&id(1)).map(|session| session.number()), Some(1));
    reader.join().unwrap();
    assert_eq!(cache.get(&id(2)).map(|session| session.number()), Some(11));
    cache.collect();
    assert_eq!(ledger.alive(), 1);
    drop(cache);
    assert_eq!(ledger.alive(), 0);
}

/// Hooks of one kind set beside hooks of another: whichever stay, they are called.
#[model(tracks(&[SETTINGS]))]
fn hooks_of_two_threads() {
    let cache = loom_tests::cache(4);
    let calls = Arc::new(AtomicU64::new(0));
    let (on_added, on_removed) = (Arc::clone(&calls), Arc::clone(&calls));
    let hook = move |_: &Session<u64>| _ = on_added.fetch_add(1, Ordering::Relaxed);
    let setter = spawn_with(&cache, move |cache| cache.set_hooks(Hooks::new().on_added(hook)));
    let hook = move |_: &Session<u64>, _| _ = on_removed.fetch_add(1, Ordering::Relaxed);
    cache.set_hooks(Hooks::new().on_removed(hook));
    setter.join().unwrap();
    assert!(cache.add(Session::new(id(1), 1)).is_ok() && cache.remove_id(&id(1)));
    assert_eq!(calls.load(Ordering::Relaxed), 1, "the hooks that are set hear of it");
}

/// A mode set beside a revocation: both are in force.
#[model(tracks(&[SETTINGS]))]
fn mode_beside_revocation() {
    let cache = loom_tests::cache(4);
    let mode = Mode { update_time: true, ..cache.mode() };
    assert!(cache.add(Session::new(id(1), 1)).is_ok());
    let setter = spawn_with(&cache, move |cache| cache.set_mode(mode));
    cache.revoke(Context::NONE);
    setter.join().unwrap();
    assert!(cache.get(&id(1)).is_none(), "the session is of a context that was revoked");
    assert_eq!(cache.mode(), mode);
}
