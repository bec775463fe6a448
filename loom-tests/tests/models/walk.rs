//! Walks beside everything else: a sweep looks at members only, removes each once, and shows each
//! once.
//!
//! Guards: the exchange that ends a stay in `flush`, the second look at a slot that changed, the
//! expiry on lookup.

use loom_tests::{Model, REGISTRY, Stage, id, replaced};
use sessile::{ManualClock, Mode, SessionCache};
use std::sync::Arc;
use testkit::Payload;

/// A flush beside an insertion finds the new session or leaves it, and never looks at a claim.
#[test]
fn flush_and_add() {
    Model::new("flush_and_add").sees(&[REGISTRY]).check(|| {
        let stage = Stage::stored();
        let adder = stage.beside(|stage| stage.insert(2, 2));
        let flushed = stage.cache.clear();
        adder.join().unwrap();
        match flushed {
            1 => stage.assert_holds(&[2]),
            2 => stage.assert_holds(&[]),
            n => panic!("{n} flushed"),
        }
    });
}

/// A flush beside a replacement removes the one or the other, and leaves at most the newer.
#[test]
fn flush_and_replace() {
    Model::new("flush_and_replace").sees(&[REGISTRY]).check(|| {
        let stage = Stage::stored();
        let adder = stage.beside(|stage| replaced(stage.add(1, 2)));
        let flushed = stage.cache.clear();
        match (adder.join().unwrap(), flushed) {
            (None, 1) => stage.assert_holds(&[2]),
            (None, 2) | (Some(1), 1) => stage.assert_holds(&[]),
            other => panic!("{other:?}"),
        }
    });
}

/// A sweep beside an add that is refused in the end: its claim's block belongs to the adder alone.
#[test]
fn sweep_and_refused_add() {
    Model::new("sweep_and_refused_add").sees(&[REGISTRY]).check(|| {
        let stage = Stage::stored();
        let adder = stage.beside(|stage| {
            let withdrawn = stage.session(2, 2);
            withdrawn.set_not_resumable();
            assert!(!stage.cache.add(withdrawn).is_ok_and(|added| added.changed()));
            drop(stage.cache.add(stage.session(1, 3)));
        });
        let flushed = stage.cache.flush_expired_at(u64::MAX);
        adder.join().unwrap();
        let left = stage.numbers();
        assert_eq!(stage.cache.stats().flushed as usize, flushed);
        stage.assert_holds(&left);
    });
}

/// A snapshot beside a replacement shows the key once.
#[test]
fn snapshot_and_replace() {
    Model::new("snapshot_and_replace").check(|| {
        let stage = Stage::stored();
        let adder = stage.beside(|stage| replaced(stage.add(1, 2)));
        let seen = stage.numbers();
        assert!(seen == [1] || seen == [2], "{seen:?}");
        assert_eq!(adder.join().unwrap(), Some(1));
        stage.assert_holds(&[2]);
    });
}

/// A cache whose one session, under key 1, is expired.
fn expired() -> Stage {
    let clock = Arc::new(ManualClock::new(1000));
    let mode = Mode { auto_flush: false, ..Mode::default() };
    let cache: SessionCache<Payload> =
        SessionCache::builder().capacity(4).mode(mode).clock(Arc::clone(&clock)).build().unwrap();
    let stage = Stage::with_cache(Arc::new(cache));
    stage.insert(1, 1);
    clock.advance(10_000);
    stage
}

/// Lookups that meet one expired session: it is a miss for both, and removed once.
#[test]
fn expire_and_get() {
    Model::new("expire_and_get").check(|| {
        let stage = expired();
        let other = stage.beside(|stage| stage.get(1));
        assert_eq!(stage.get(1), None);
        assert_eq!(other.join().unwrap(), None);
        assert_eq!(stage.cache.stats().expired, 1);
        stage.assert_holds(&[]);
    });
}

/// A lookup that meets an expired session never removes the fresh one that replaces it.
#[test]
fn expire_and_replace() {
    Model::new("expire_and_replace").check(|| {
        let stage = expired();
        let reader = stage.beside(|stage| stage.get(1));
        let old = replaced(stage.add(1, 2));
        assert!([None, Some(2)].contains(&reader.join().unwrap()));
        let stats = stage.cache.stats();
        assert_eq!(stats.expired, u64::from(old.is_none()));
        assert!(stage.cache.take(&id(1)).is_some_and(|session| session.number() == 2));
        stage.assert_holds(&[]);
    });
}
