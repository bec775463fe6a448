//! Walks beside everything else: a sweep looks at members only, removes each once, and shows each
//! once.
//!
//! Guards: the exchange that ends a stay in `flush`, the second look at a slot that changed, the
//! expiry on lookup.

use loom_tests::{REGISTRY, TestCache, id, model, replaced};
use sessile::ManualClock;
use std::sync::Arc;

/// A flush beside an insertion finds the new session or leaves it, and never looks at a claim.
#[model(tracks(&[REGISTRY]))]
fn flush_and_add() {
    let test = TestCache::stored();
    let adder = test.spawn(|test| test.insert(2, 2));
    let flushed = test.cache.clear();
    adder.join().unwrap();
    match flushed {
        1 => test.assert_holds(&[2]),
        2 => test.assert_holds(&[]),
        n => panic!("{n} flushed"),
    }
}

/// A flush beside a replacement removes the one or the other, and leaves at most the newer.
#[model(tracks(&[REGISTRY]))]
fn flush_and_replace() {
    let test = TestCache::stored();
    let adder = test.spawn(|test| replaced(test.add(1, 2)));
    let flushed = test.cache.clear();
    match (adder.join().unwrap(), flushed) {
        (None, 1) => test.assert_holds(&[2]),
        (None, 2) | (Some(1), 1) => test.assert_holds(&[]),
        other => panic!("{other:?}"),
    }
}

/// A sweep beside an add that is refused in the end: its claim's block belongs to the adder alone.
#[model(tracks(&[REGISTRY]))]
fn sweep_and_refused_add() {
    let test = TestCache::stored();
    let adder = test.spawn(|test| {
        let withdrawn = test.session(2, 2);
        withdrawn.set_not_resumable();
        assert!(!test.cache.add(withdrawn).is_ok_and(|added| added.changed()));
        drop(test.cache.add(test.session(1, 3)));
    });
    let flushed = test.cache.flush_expired_at(u64::MAX);
    adder.join().unwrap();
    let left = test.numbers();
    assert_eq!(test.cache.stats().flushed as usize, flushed);
    test.assert_holds(&left);
}

/// A snapshot beside a replacement shows the key once.
#[model]
fn snapshot_and_replace() {
    let test = TestCache::stored();
    let adder = test.spawn(|test| replaced(test.add(1, 2)));
    let seen = test.numbers();
    assert!(seen == [1] || seen == [2], "{seen:?}");
    assert_eq!(adder.join().unwrap(), Some(1));
    test.assert_holds(&[2]);
}

/// A cache whose one session, under key 1, is expired.
fn expired() -> TestCache {
    let clock = Arc::new(ManualClock::new(1000));
    let test = TestCache::built(|builder| builder.capacity(4).clock(Arc::clone(&clock)));
    test.insert(1, 1);
    clock.advance(10_000);
    test
}

/// Lookups that meet one expired session: it is a miss for both, and removed once.
#[model]
fn expire_and_get() {
    let test = expired();
    let other = test.spawn(|test| test.get(1));
    assert_eq!(test.get(1), None);
    assert_eq!(other.join().unwrap(), None);
    assert_eq!(test.cache.stats().expired, 1);
    test.assert_holds(&[]);
}

/// A lookup that meets an expired session never removes the fresh one that replaces it.
#[model]
fn expire_and_replace() {
    let test = expired();
    let reader = test.spawn(|test| test.get(1));
    let old = replaced(test.add(1, 2));
    assert!([None, Some(2)].contains(&reader.join().unwrap()));
    let stats = test.cache.stats();
    assert_eq!(stats.expired, u64::from(old.is_none()));
    assert!(test.cache.take(&id(1)).is_some_and(|session| session.number() == 2));
    test.assert_holds(&[]);
}
