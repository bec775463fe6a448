//! Expiry: valid through the last second, removed once, never past the deadline.

use sessile::{Added, Policy, Rejection, RemovalCause, Session, SessionCache};
use std::time::Duration;
use testkit::{Removals, START, assert_whole, at, clocked, id, numbers, session, store};

fn dated(n: u64, created: u64, seconds: u64) -> Session<u64> {
    Session::<u64>::builder(id(n))
        .created_at(created)
        .timeout(Duration::from_secs(seconds))
        .build(n)
}

#[test]
fn a_session_is_valid_through_its_last_second() {
    let (builder, clock) = clocked(10);
    let cache = builder.build().unwrap();
    store(&cache, dated(1, START, 100));
    clock.set(START + 100);
    assert!(cache.get(&id(1)).is_some());
    clock.set(START + 101);
    assert!(cache.get(&id(1)).is_none());
}

#[test]
fn an_expired_session_is_one_timeout_then_a_plain_miss() {
    let removals = Removals::default();
    let (builder, clock) = clocked(10);
    let cache = builder.on_removed(removals.hook()).build().unwrap();
    store(&cache, session(1));
    clock.advance(7201);
    assert!(cache.get(&id(1)).is_none());
    assert!(cache.is_empty(), "it is removed by the lookup that met it");
    assert_eq!(removals.take(), [(1, RemovalCause::Expired)]);
    assert!(cache.get(&id(1)).is_none());
    assert!(removals.take().is_empty(), "and removed once");
    let stats = cache.stats();
    assert_eq!((stats.timeouts, stats.misses, stats.hits, stats.expired), (1, 1, 0, 1));
    assert_whole(&cache);
}

#[test]
fn each_sweep_removes_what_expired_before_it() {
    for now in [START, 10] {
        let removals = Removals::default();
        let cache = SessionCache::builder()
            .capacity(10)
            .clock(sessile::ManualClock::new(now))
            .on_removed(removals.hook())
            .build()
            .unwrap();
        // The newest is dated in the future: kept, though not used before its time.
        for (n, created) in [(1, now - 10), (2, now), (3, now + 10)] {
            store(&cache, dated(n, created, 10));
        }
        assert_eq!(cache.flush_expired_at(now), 0, "a session whose last second it is stays");
        for (sweep, gone) in [(now + 9, 1), (now + 11, 2), (now + 21, 3)] {
            assert_eq!(cache.flush_expired_at(sweep), 1);
            assert_eq!(removals.take(), [(gone, RemovalCause::Flushed)]);
            assert_eq!(cache.flush_expired_at(sweep), 0);
        }
        assert_eq!(cache.stats().flushed, 3);
        assert_whole(&cache);
    }
}

#[test]
fn clearing_removes_all_and_adding_works_again() {
    let removals = Removals::default();
    let cache = SessionCache::builder().capacity(3000).on_removed(removals.hook()).build().unwrap();
    let all: Vec<_> = (0..2000).map(session).collect();
    for one in &all {
        store(&cache, one.clone());
    }
    assert_eq!(cache.clear(), 2000);
    assert_eq!(cache.clear(), 0);
    let mut told = removals.take();
    told.sort_unstable_by_key(|one| one.0);
    assert_eq!(told, (0..2000).map(|n| (n, RemovalCause::Flushed)).collect::<Vec<_>>());
    for one in &all {
        assert!(matches!(cache.add(one.clone()), Ok(Added::Inserted)));
    }
    assert_eq!(cache.len(), 2000);
    assert_whole(&cache);
}

#[test]
fn a_sum_beyond_the_largest_second_saturates() {
    let (builder, clock) = clocked(10);
    let cache = builder.build().unwrap();
    let endless = Session::<u64>::builder(id(1)).created_at(START).timeout(Duration::MAX).build(1);
    let late = Session::<u64>::builder(id(2))
        .created_at(u64::MAX - 5)
        .timeout(Duration::from_secs(100))
        .build(2);
    store(&cache, endless.clone());
    store(&cache, late);
    assert_eq!(endless.expires_at(), None, "nothing bounds it");
    clock.set(u64::MAX - 6);
    assert!(cache.get(&id(1)).is_some(), "never wraps to the past");
    assert!(cache.get(&id(2)).is_none(), "dated in the future");
    clock.set(u64::MAX - 1);
    assert!(cache.get(&id(2)).is_some());
    assert_eq!(cache.len(), 2);
}

#[test]
fn the_deadline_is_not_renewable() {
    let (builder, clock) = clocked(10);
    let cache = builder.build().unwrap();
    let one = Session::<u64>::builder(id(1))
        .created_at(START)
        .timeout(Duration::from_secs(100))
        .deadline(START + 150)
        .build(1);
    store(&cache, one.clone());
    assert_eq!(one.expires_at(), Some(at(START + 100)));
    one.set_created_at(START + 90);
    assert_eq!(one.expires_at(), Some(at(START + 150)));
    one.set_timeout(Duration::from_secs(1_000_000));
    assert_eq!((one.expires_at(), one.deadline()), (Some(at(START + 150)), Some(at(START + 150))));
    clock.set(START + 150);
    assert!(cache.get(&id(1)).is_some());
    clock.set(START + 151);
    assert!(cache.get(&id(1)).is_none());
    one.set_created_at(START + 151);
    assert!(matches!(cache.add(one), Err(rejected) if rejected.reason() == Rejection::Expired));
}

#[test]
fn a_renewed_session_lives_on_and_a_shortened_one_dies() {
    let (builder, clock) = clocked(10);
    let cache = builder.build().unwrap();
    let (renewed, shortened) = (session(1), session(2));
    store(&cache, renewed.clone());
    store(&cache, shortened.clone());
    clock.advance(7000);
    renewed.set_created_at(START + 7000);
    shortened.set_timeout(Duration::from_secs(6999));
    assert!(cache.get(&id(2)).is_none());
    clock.advance(7000);
    assert!(cache.get(&id(1)).is_some());
    assert_eq!(cache.stats().timeouts, 1);
}

#[test]
fn a_session_dated_in_the_future_is_kept_and_not_used() {
    let (builder, clock) = clocked(10);
    let cache = builder.build().unwrap();
    store(&cache, dated(1, START + 50, 100));
    assert!(cache.get(&id(1)).is_none() && cache.take(&id(1)).is_none());
    assert!(cache.read(&id(1), |_| ()).is_none());
    assert_eq!((cache.len(), cache.stats().misses, cache.stats().timeouts), (1, 3, 0));
    clock.set(START + 50);
    assert!(cache.get(&id(1)).is_some());
}

#[test]
fn expired_sessions_go_before_the_policy_chooses() {
    for policy in [Policy::Lru, Policy::Fifo, Policy::SoonestExpiry] {
        let removals = Removals::default();
        let (builder, clock) = clocked(4);
        let cache = builder.policy(policy).on_removed(removals.hook()).build().unwrap();
        for (n, seconds) in [(0, 500), (1, 600), (2, 20), (3, 700)] {
            store(&cache, dated(n, START, seconds));
        }
        clock.advance(21);
        store(&cache, session(4));
        assert_eq!(removals.take(), [(2, RemovalCause::Expired)], "{policy:?}");
        let stats = cache.stats();
        assert_eq!((stats.expired, stats.evicted, stats.cache_full), (1, 0, 0));
        store(&cache, session(5));
        assert_eq!(removals.take(), [(0, RemovalCause::Evicted)]);
    }
}

/// No lookup, no call: adds of one key alone must find the expired ones in the end.
fn expired_left_after_adds(capacity: usize, auto_flush: bool, shorten: bool, adds: usize) -> usize {
    let (builder, clock) = clocked(capacity);
    let mode = sessile::Mode { auto_flush, ..Default::default() };
    let cache = builder.mode(mode).build().unwrap();
    let short_lived = capacity as u64 / 2;
    for n in 0..short_lived {
        let one = dated(n, START, if shorten { 100_000 } else { 10 });
        store(&cache, one.clone());
        one.set_timeout(Duration::from_secs(10));
    }
    for n in short_lived..short_lived + 4 {
        store(&cache, dated(n, START, 1000));
    }
    clock.advance(11);
    for _ in 0..adds {
        store(&cache, session(1_000_000));
    }
    assert!((short_lived..short_lived + 4).all(|n| cache.get(&id(n)).is_some()));
    assert_whole(&cache);
    numbers(&cache).into_iter().filter(|n| *n < short_lived).count()
}

#[test]
fn adds_sweep_what_nobody_looks_for() {
    for capacity in [10, 100, 3000] {
        assert_eq!(
            expired_left_after_adds(capacity, true, false, 5 * capacity),
            0,
            "capacity {capacity}"
        );
    }
}

#[test]
fn adds_sweep_what_was_shortened_while_stored_too() {
    for capacity in [10, 100, 3000] {
        assert_eq!(
            expired_left_after_adds(capacity, true, true, 150 * capacity),
            0,
            "capacity {capacity}"
        );
    }
}

#[test]
fn adds_do_not_sweep_when_told_not_to() {
    for capacity in [10, 100, 3000] {
        assert_eq!(expired_left_after_adds(capacity, false, false, 5 * capacity), capacity / 2);
    }
}

#[test]
fn a_removal_hears_the_cause_that_applies() {
    let removals = Removals::default();
    let (builder, clock) = clocked(10);
    let cache = builder.on_removed(removals.hook()).build().unwrap();
    for n in 0..4 {
        store(&cache, dated(n, START, 10));
    }
    clock.advance(11);
    assert!(cache.get(&id(0)).is_none());
    assert!(cache.remove_id(&id(1)));
    assert_eq!(cache.flush_expired_at(START + 11), 2);
    let mut told = removals.take();
    told.sort_unstable_by_key(|one| one.0);
    use RemovalCause::{Expired, Flushed, Removed};
    assert_eq!(told, [(0, Expired), (1, Removed), (2, Flushed), (3, Flushed)]);
}

/// A sweep looks for what expires later than what it was begun for.
#[test]
fn what_survives_a_sweep_is_expected_to_expire() {
    let (builder, clock) = clocked(100);
    let cache = builder.build().unwrap();
    let add = |one| store(&cache, one);
    (0..50).for_each(|n| add(dated(n, START, if n == 0 { 10 } else { 100 })));
    for seconds in [11, 101] {
        clock.set(START + seconds);
        (0..600).for_each(|_| add(session(1000)));
    }
    assert_eq!(numbers(&cache), [1000]);
}

/// What is added while a sweep is under way is expected to expire, whichever slots the sweep has
/// passed.
#[test]
fn what_comes_during_a_sweep_is_expected_to_expire() {
    for adds in (0..60).step_by(2) {
        let (builder, clock) = clocked(20);
        let cache = builder.build().unwrap();
        let add = |one| store(&cache, one);
        add(dated(0, START, 10));
        clock.set(START + 11);
        (0..adds).for_each(|_| add(session(1000)));
        add(dated(1, START + 11, 100));
        (0..100).for_each(|_| add(session(1000)));
        clock.set(START + 112);
        (0..60).for_each(|_| add(session(1000)));
        assert_eq!(numbers(&cache), [1000], "{adds} adds into the sweep");
    }
}

/// Without a date or a timeout of its own a session ends with its deadline all the same.
#[test]
fn an_undated_session_has_its_deadline() {
    let one = Session::<u64>::builder(id(1)).deadline(START + 10).build(1);
    assert_eq!(one.expires_at(), Some(at(START + 10)));
    one.set_timeout(Duration::from_secs(100));
    assert_eq!(one.expires_at(), Some(at(START + 10)));
    let (builder, clock) = clocked(10);
    let cache = builder.build().unwrap();
    clock.set(START + 11);
    assert_eq!(cache.add(one).unwrap_err().reason(), Rejection::Expired);
}
