//! Replacing: the same key in another object takes the old one's place in one step.

use sessile::{Added, Policy, RemovalCause, Session, SessionCache};
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::{
    Removals, assert_whole, id, numbers, race, reclaim, scaled, session, store, watched,
};

#[test]
fn the_old_object_leaves_and_the_count_stays() {
    let removals = Removals::default();
    let cache = SessionCache::builder().capacity(10).on_removed(removals.hook()).build().unwrap();
    let old = session(1);
    store(&cache, old.clone());
    let Ok(Added::Replaced(returned)) = cache.add(Session::new(id(1), 100)) else {
        panic!("not replaced")
    };
    assert!(Session::ptr_eq(&returned, &old));
    assert_eq!(cache.len(), 1);
    assert_eq!(*cache.get(&id(1)).unwrap(), 100);
    assert_eq!(removals.take(), [(1, RemovalCause::Replaced)]);
    drop(returned);
    reclaim(&cache);
    assert_eq!(Session::handle_count(&old), 1, "the cache's own count is given back");
    assert!(old.is_resumable(), "a replaced session is still good elsewhere");
    let stats = cache.stats();
    assert_eq!((stats.added, stats.replaced, stats.removed, stats.evicted), (1, 1, 0, 0));
    assert_whole(&cache);
}

#[test]
fn the_old_object_cannot_be_removed_by_identity_any_more() {
    let cache = SessionCache::new(10).unwrap();
    let (old, new) = (session(1), Session::new(id(1), 100));
    store(&cache, old.clone());
    store(&cache, new.clone());
    let before = cache.stats();
    assert!(!cache.remove(&old));
    let after = cache.stats();
    assert_eq!((before.number, before.removed), (after.number, after.removed));
    assert!(Session::ptr_eq(&cache.get(&id(1)).unwrap(), &new));
    assert!(cache.remove_id(&old.id()), "by id the new one goes");
    assert!(cache.is_empty() && cache.get(&id(1)).is_none());
}

#[test]
fn a_full_cache_replaces_without_evicting() {
    for policy in [Policy::Lru, Policy::Fifo, Policy::SoonestExpiry] {
        for capacity in [1u64, 2, 13, 14, 15, 100] {
            let cache =
                SessionCache::builder().capacity(capacity as usize).policy(policy).build().unwrap();
            for n in 0..capacity {
                store(&cache, session(n));
            }
            let (full, evicted) = (numbers(&cache), cache.stats().evicted);
            for n in full.iter().cycle().take(300) {
                assert!(matches!(cache.add(session(*n)), Ok(Added::Replaced(_))));
            }
            assert_eq!(numbers(&cache), full);
            assert_eq!(cache.stats().evicted, evicted, "{policy:?}, capacity {capacity}");
            assert_whole(&cache);
        }
    }
}

#[test]
fn a_replacement_is_the_youngest() {
    for policy in [Policy::Lru, Policy::Fifo] {
        let cache = SessionCache::builder().capacity(3).policy(policy).build().unwrap();
        for n in 0..3 {
            store(&cache, session(n));
        }
        assert!(matches!(cache.add(session(0)), Ok(Added::Replaced(_))));
        store(&cache, session(3));
        assert_eq!(numbers(&cache), [0, 2, 3], "{policy:?}");
    }
}

#[test]
fn replacing_back_and_forth_keeps_every_count() {
    let cache = SessionCache::new(5).unwrap();
    let (one, other) = (Session::new(id(7), 1u64), Session::new(id(7), 2));
    store(&cache, one.clone());
    for _ in 0..500 {
        assert!(
            matches!(cache.add(other.clone()), Ok(Added::Replaced(old)) if Session::ptr_eq(&old, &one))
        );
        assert!(
            matches!(cache.add(one.clone()), Ok(Added::Replaced(old)) if Session::ptr_eq(&old, &other))
        );
    }
    reclaim(&cache);
    assert_eq!(Session::handle_count(&one), 2);
    assert_eq!(Session::handle_count(&other), 1);
}

/// Replaces one key over and over, in caches of one set and of many, and in one that migrates
/// meanwhile.
fn replace_while_others_look(capacities: &[usize], rounds: u64) {
    let cache = SessionCache::new(capacities[0]).unwrap();
    let done = AtomicU64::new(0);
    store(&cache, Session::new(id(1), 0u64));
    let look = || {
        let floor = done.load(Ordering::SeqCst);
        let seen = *cache.get(&id(1)).expect("no moment at which a lookup finds neither");
        assert!(seen >= floor, "{seen} was replaced before the lookup began, {floor} is stored");
        let seen = cache.read(&id(1), |session| **session).expect("nor a read");
        assert!(seen >= floor, "{seen} was replaced before the read began");
    };
    watched(look, || {
        for round in 1..=rounds {
            let added = cache.add(Session::new(id(1), round));
            assert!(matches!(added, Ok(Added::Replaced(old)) if *old == round - 1));
            done.store(round, Ordering::SeqCst);
            if round % 50 == 0 {
                cache.set_capacity(capacities[(round / 50) as usize % capacities.len()]).unwrap();
            }
        }
    });
    assert_whole(&cache);
}

#[test]
fn a_lookup_finds_the_old_or_the_new_and_never_goes_back() {
    replace_while_others_look(&[5], scaled(200_000, 20_000));
    replace_while_others_look(&[1000], scaled(200_000, 20_000));
}

#[test]
fn a_lookup_finds_the_old_or_the_new_during_migrations_too() {
    replace_while_others_look(&[10, 500, 100, 3000], scaled(20_000, 4_000));
}

#[test]
fn of_racing_replacers_each_gets_another_old_one() {
    let cache = SessionCache::new(14).unwrap();
    let per_thread = scaled(50_000, 5_000);
    store(&cache, Session::new(id(1), u64::MAX));
    let old = race(4, |thread| {
        let mut old = Vec::new();
        for n in 0..per_thread {
            match cache.add(Session::new(id(1), thread as u64 * per_thread + n)) {
                Ok(Added::Replaced(session)) => old.push(*session),
                other => panic!("{other:?}"),
            }
        }
        old
    });
    let mut seen: Vec<u64> =
        old.into_iter().flatten().chain(cache.take(&id(1)).map(|last| *last)).collect();
    seen.sort_unstable();
    let mut expected: Vec<u64> = (0..4 * per_thread).collect();
    expected.push(u64::MAX);
    assert_eq!(seen, expected);
}
