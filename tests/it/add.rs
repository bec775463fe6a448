//! Adding: a new key is stored, the same object is left alone, what may not be resumed is refused.

use sessile::{Added, Mode, Policy, Protocol, Rejection, RemovalCause, Session, SessionCache};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use testkit::{
    End, Gate, START, assert_whole, at, clocked, id, numbers, race, reclaim, scaled, session, store,
};

#[test]
fn a_new_key_is_inserted_and_visible_at_once() {
    let cache = SessionCache::new(100).unwrap();
    for n in 0..100 {
        assert!(cache.get(&id(n)).is_none());
        assert!(matches!(cache.add(session(n)), Ok(Added::Inserted)));
        assert_eq!(*cache.get(&id(n)).unwrap(), n);
        assert_eq!(cache.len() as u64, n + 1);
    }
    assert_whole(&cache);
}

#[test]
fn the_cache_holds_exactly_one_count() {
    let cache = SessionCache::new(100).unwrap();
    let mine = session(1);
    store(&cache, mine.clone());
    assert_eq!(Session::handle_count(&mine), 2);
    let found = cache.get(&id(1)).unwrap();
    assert!(Session::ptr_eq(&mine, &found));
    assert_eq!(Session::handle_count(&mine), 3);
    drop(found);
    drop(cache);
    assert_eq!(Session::handle_count(&mine), 1);
}

#[test]
fn changed_is_the_one_and_zero_of_openssl() {
    let cache = SessionCache::new(4).unwrap();
    let first = session(1);
    store(&cache, first.clone());
    assert!(!cache.add(first.clone()).is_ok_and(|added| added.changed()));
    store(&cache, session(1));
    first.set_not_resumable();
    assert!(!cache.add(first).is_ok_and(|added| added.changed()));
}

#[test]
fn the_identical_object_changes_nothing_but_one_counter() {
    let (builder, clock) = clocked(3);
    let removals = testkit::Removals::default();
    let cache =
        builder.policy(Policy::Fifo).on_removed(removals.hook()).on_added(|_| {}).build().unwrap();
    let all: Vec<_> = (0..3).map(session).collect();
    for one in &all {
        store(&cache, one.clone());
    }
    clock.advance(5);
    let before = cache.stats();
    let count = Session::handle_count(&all[0]);
    assert!(matches!(cache.add(all[0].clone()), Ok(Added::Identical)));
    let mut after = cache.stats();
    assert_eq!((before.identical, after.identical), (0, 1));
    after.identical = before.identical;
    assert_eq!(before, after);
    assert_eq!(Session::handle_count(&all[0]), count);
    assert_eq!(all[0].created_at(), Some(at(START)));
    assert!(removals.take().is_empty());
    // The order is unchanged: the first that came is still the first to go.
    store(&cache, session(3));
    assert_eq!(removals.take(), [(0, RemovalCause::Evicted)]);
}

#[test]
fn the_identical_object_does_not_become_younger_under_lru() {
    let cache = SessionCache::new(3).unwrap();
    let first = session(0);
    store(&cache, first.clone());
    store(&cache, session(1));
    store(&cache, session(2));
    assert!(matches!(cache.add(first), Ok(Added::Identical)));
    store(&cache, session(3));
    assert_eq!(numbers(&cache), [1, 2, 3]);
}

#[test]
fn the_added_hook_is_silent_about_the_identical_object() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let cache = SessionCache::builder()
        .on_added(move |_: &Session<u64>| {
            counter.fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();
    let one = session(1);
    store(&cache, one.clone());
    for _ in 0..10 {
        assert!(matches!(cache.add(one.clone()), Ok(Added::Identical)));
    }
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[test]
fn an_object_that_was_removed_by_id_can_be_added_again() {
    let cache = SessionCache::new(10).unwrap();
    let one = session(1);
    for _ in 0..100 {
        assert!(matches!(cache.add(one.clone()), Ok(Added::Inserted)));
        assert!(cache.remove_id(&id(1)));
        assert!(!cache.remove_id(&id(1)));
        assert!(matches!(cache.add(one.clone()), Ok(Added::Inserted)));
        assert!(Session::ptr_eq(&cache.take(&id(1)).unwrap(), &one));
        assert!(cache.take(&id(1)).is_none());
    }
    reclaim(&cache);
    assert_eq!(Session::handle_count(&one), 1);
    assert_whole(&cache);
}

#[test]
fn an_object_that_was_removed_by_identity_is_not_resumable_and_refused() {
    let cache = SessionCache::new(10).unwrap();
    let one = session(1);
    store(&cache, one.clone());
    assert!(cache.remove(&one));
    assert!(
        matches!(cache.add(one.clone()), Err(rejected) if rejected.reason() == Rejection::NotResumable)
    );
    assert!(!cache.remove(&one));
    assert!(matches!(cache.add(session(1)), Ok(Added::Inserted)));
}

#[test]
fn a_refusal_changes_nothing_but_one_counter() {
    let (builder, _clock) = clocked(2);
    let cache = builder.build().unwrap();
    store(&cache, session(1));
    store(&cache, session(2));
    let before = cache.stats();
    let expired = Session::<u64>::builder(id(3))
        .created_at(START - 10)
        .timeout(Duration::from_secs(9))
        .build(3);
    let dead = Session::<u64>::builder(id(1)).resumable(false).build(1);
    assert!(
        matches!(cache.add(expired.clone()), Err(rejected) if rejected.reason() == Rejection::Expired)
    );
    assert!(
        matches!(cache.add(dead.clone()), Err(rejected) if rejected.reason() == Rejection::NotResumable)
    );
    cache.set_mode(Mode { store: false, ..Mode::default() });
    assert!(
        matches!(cache.add(session(1)), Err(rejected) if rejected.reason() == Rejection::StoreDisabled)
    );
    let mut after = cache.stats();
    assert_eq!(after.rejected, 3);
    for reason in [Rejection::Expired, Rejection::NotResumable, Rejection::StoreDisabled] {
        assert_eq!(after.rejections.of(reason), 1, "{reason:?}");
    }
    (after.rejected, after.rejections) = (before.rejected, before.rejections);
    assert_eq!(before, after);
    assert_eq!(numbers(&cache), [1, 2]);
    for refused in [expired, dead] {
        assert_eq!(Session::handle_count(&refused), 1, "the count is given back");
    }
}

#[test]
fn one_object_may_be_in_two_caches() {
    let (one, other) = (SessionCache::new(10).unwrap(), SessionCache::new(10).unwrap());
    let shared = session(1);
    assert!(matches!(one.add(shared.clone()), Ok(Added::Inserted)));
    assert!(matches!(other.add(shared.clone()), Ok(Added::Inserted)));
    assert_eq!(Session::handle_count(&shared), 3);
    assert!(one.remove_id(&id(1)));
    assert!(Session::ptr_eq(&other.get(&id(1)).unwrap(), &shared));
    drop(one);
    assert!(other.remove(&shared));
    drop(other);
    assert_eq!(Session::handle_count(&shared), 1);
}

#[test]
fn one_id_under_two_protocols_is_two_sessions() {
    let cache = SessionCache::new(10).unwrap();
    let of = |protocol, n| Session::<u64>::builder(id(1)).protocol(protocol).build(n);
    assert!(matches!(cache.add(of(Protocol::TLS1_2, 12)), Ok(Added::Inserted)));
    assert!(matches!(cache.add(of(Protocol::TLS1_3, 13)), Ok(Added::Inserted)));
    assert_eq!(cache.len(), 2);
    let view = cache.view(sessile::Context::NONE);
    assert_eq!(*view.protocol(Protocol::TLS1_2).get(&id(1)).unwrap(), 12);
    assert_eq!(*view.protocol(Protocol::TLS1_3).get(&id(1)).unwrap(), 13);
    assert!(cache.get(&id(1)).is_none(), "unspecified is a tag of its own, not a wildcard");
}

#[test]
fn the_first_cache_dates_an_undated_session() {
    let (builder, clock) = clocked(10);
    let cache = builder.timeout(Duration::from_secs(60)).build().unwrap();
    let one = session(1);
    assert_eq!((one.created_at(), one.timeout(), one.expires_at()), (None, None, None));
    store(&cache, one.clone());
    assert_eq!(one.created_at(), Some(at(START)));
    assert_eq!(one.timeout(), Some(Duration::from_secs(60)));
    assert_eq!(one.expires_at(), Some(at(START + 60)));
    clock.advance(7);
    let (builder, _) = clocked(10);
    let later = builder.timeout(Duration::from_secs(1)).build().unwrap();
    store(&later, one.clone());
    assert_eq!(one.expires_at(), Some(at(START + 60)), "the second cache does not date it again");
}

/// Threads that add one absent key at the same moment, each an object of its own.
fn race_for_an_absent_key(cache: &SessionCache<u64>, threads: usize, rounds: usize) {
    let gate = Gate::new(threads);
    let inserted = AtomicUsize::new(0);
    race(threads, |thread| {
        let member = gate.member();
        for round in 0..rounds {
            assert!(member.meet(3 * round));
            match cache.add(Session::new(id(round as u64), thread as u64)) {
                Ok(Added::Inserted) => drop(inserted.fetch_add(1, Ordering::Relaxed)),
                Ok(Added::Replaced(old)) => assert_ne!(*old, thread as u64),
                other => panic!("{other:?}"),
            }
            assert!(member.meet(3 * round + 1));
            if thread == 0 {
                assert_eq!(
                    inserted.swap(0, Ordering::Relaxed),
                    1,
                    "of all one inserts, round {round}"
                );
                assert_eq!(cache.snapshot().len(), 1, "a key was stored twice, round {round}");
                assert!(cache.take(&id(round as u64)).is_some());
                assert!(cache.take(&id(round as u64)).is_none());
            }
            assert!(member.meet(3 * round + 2));
        }
    });
    assert_whole(cache);
}

#[test]
fn of_racing_adders_of_one_key_one_inserts_and_the_others_replace() {
    for (threads, capacity) in [(2, 14), (2, 100), (3, 14), (4, 14)] {
        let cache = SessionCache::new(capacity).unwrap();
        race_for_an_absent_key(&cache, threads, scaled(10_000, 2_000) as usize / threads);
    }
}

#[test]
fn a_key_stays_unique_while_the_table_moves() {
    let cache = SessionCache::new(100).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for capacity in
                [20, 100, 40, 80].into_iter().cycle().take_while(|_| !done.load(Ordering::Acquire))
            {
                cache.set_capacity(capacity).unwrap();
            }
        });
        let _end = End(&done);
        race_for_an_absent_key(&cache, 2, scaled(4_000, 500) as usize);
    });
    assert_whole(&cache);
}

#[test]
fn of_racing_adders_of_one_object_one_inserts_and_the_others_find_it() {
    let cache = SessionCache::new(14).unwrap();
    let (threads, rounds) = (2, scaled(10_000, 2_000) as usize);
    let objects: Vec<_> = (0..rounds as u64).map(session).collect();
    let gate = Gate::new(threads);
    let inserted: usize = race(threads, |_| {
        let (member, mut inserted) = (gate.member(), 0);
        for (round, object) in objects.iter().enumerate() {
            assert!(member.meet(round));
            match cache.add(object.clone()) {
                Ok(Added::Inserted) => inserted += 1,
                Ok(Added::Identical) => {}
                other => panic!("{other:?}"),
            }
        }
        inserted
    })
    .into_iter()
    .sum();
    assert_eq!((inserted, cache.stats().identical as usize), (rounds, rounds));
    assert_whole(&cache);
    drop(cache);
    assert!(objects.iter().all(|object| Session::handle_count(object) == 1));
}

#[test]
fn what_is_stored_and_may_not_be_resumed_any_more_is_refused() {
    let cache = SessionCache::new(10).unwrap();
    let one = session(1);
    assert!(matches!(cache.add(one.clone()), Ok(Added::Inserted)));
    one.set_not_resumable();
    assert_eq!(cache.add(one).unwrap_err().reason(), Rejection::NotResumable);
    assert_eq!(cache.stats().identical, 0);
}
