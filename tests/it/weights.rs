//! Capacity in bytes: measured once, never exceeded, too heavy is refused.

use sessile::{
    Added, Capacity, Context, ManualClock, Policy, Rejection, RemovalCause, Session, SessionCache,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use testkit::{Removals, Rng, assert_whole, at, id, numbers, race, scaled, session, store};

/// A session weighs its number modulo 1000.
fn weight(session: &Session<u64>) -> usize {
    (**session % 1000) as usize
}

fn total(cache: &SessionCache<u64>) -> usize {
    cache.iter().map(|one| weight(&one)).sum()
}

fn weighed(capacity: usize, max_weight: usize) -> (SessionCache<u64>, Removals) {
    let removals = Removals::default();
    let builder = SessionCache::builder().capacity(capacity).policy(Policy::Fifo).weigher(weight);
    (builder.max_weight(max_weight).on_removed(removals.hook()).build().unwrap(), removals)
}

#[test]
fn a_session_heavier_than_the_total_is_refused_and_evicts_nobody() {
    let (cache, removals) = weighed(10, 500);
    assert!(
        cache.add(session(200)).is_ok_and(|added| added.changed())
            && cache.add(session(300)).is_ok_and(|added| added.changed())
    );
    assert!(
        matches!(cache.add(session(501)), Err(rejected) if rejected.reason() == Rejection::OverWeight)
    );
    assert!(removals.take().is_empty());
    assert_eq!(numbers(&cache), [200, 300]);
    assert!(matches!(cache.add(session(500)), Ok(Added::Inserted)));
    assert_eq!(numbers(&cache), [500]);
    assert_eq!(cache.stats().evicted, 2);
    assert_whole(&cache);
}

#[test]
fn a_session_heavier_than_one_may_be_is_refused() {
    let cache = SessionCache::builder()
        .weigher(weight)
        .max_weight(500)
        .max_entry_weight(100)
        .build()
        .unwrap();
    assert!(
        matches!(cache.add(session(101)), Err(rejected) if rejected.reason() == Rejection::OverWeight)
    );
    assert!(matches!(cache.add(session(100)), Ok(Added::Inserted)));
    let stats = cache.stats();
    assert_eq!((stats.rejected, stats.added), (1, 1));
    let unlimited = SessionCache::builder().weigher(|_: &Session<u64>| usize::MAX).build().unwrap();
    assert!(
        matches!(unlimited.add(session(1)), Err(rejected) if rejected.reason() == Rejection::OverWeight),
        "beyond four gigabytes"
    );
}

#[test]
fn as_many_are_evicted_as_the_weight_needs_and_no_more() {
    let (cache, removals) = weighed(14, 1000);
    for n in 1..=10 {
        store(&cache, session(n * 1000 + 100));
    }
    assert!(removals.take().is_empty());
    store(&cache, session(250));
    assert_eq!(removals.take(), [1100, 2100, 3100].map(|n| (n, RemovalCause::Evicted)));
    assert_eq!(total(&cache), 950);
    store(&cache, session(50));
    assert!(removals.take().is_empty(), "there was just enough left");
    store(&cache, session(1));
    assert_eq!(removals.take().len(), 1);
}

#[test]
fn a_session_without_weight_always_fits() {
    let (cache, removals) = weighed(14, 10);
    store(&cache, session(10));
    for n in 1..10 {
        assert!(matches!(cache.add(session(n * 1000)), Ok(Added::Inserted)));
    }
    assert!(removals.take().is_empty());
    assert_eq!(cache.len(), 10);
}

#[test]
fn what_leaves_by_any_way_gives_its_weight_back() {
    let (cache, _removals) = weighed(14, 1000);
    for round in 0..300 {
        let heavy = session(round * 1000 + 999);
        assert!(matches!(cache.add(heavy.clone()), Ok(Added::Inserted)), "round {round}");
        assert_eq!(cache.len(), 1);
        let gone = match round % 4 {
            0 => cache.take(&heavy.id()).is_some(),
            1 => cache.remove(&heavy),
            2 => cache.remove_id(&heavy.id()),
            _ => cache.clear() == 1,
        };
        assert!(gone);
    }
    assert_eq!(cache.stats().evicted, 0);
}

#[test]
fn a_replacement_is_charged_the_difference() {
    let (cache, removals) = weighed(14, 1000);
    let other = session(2400);
    store(&cache, other.clone());
    store(&cache, Session::new(id(1), 500));
    for replaced in [600, 10, 600, 0, 599] {
        assert!(matches!(cache.add(Session::new(id(1), replaced)), Ok(Added::Replaced(_))));
        assert!(cache.read(&other.id(), |_| ()).is_some(), "the other one fits beside {replaced}");
    }
    removals.take();
    assert!(matches!(cache.add(Session::new(id(1), 601)), Ok(Added::Replaced(_))));
    let mut gone = removals.take();
    gone.sort_unstable_by_key(|one| one.0);
    assert_eq!(gone, [(599, RemovalCause::Replaced), (2400, RemovalCause::Evicted)]);
    store(&cache, session(399));
    assert_eq!((total(&cache), cache.len()), (1000, 2));
    assert_whole(&cache);
}

#[test]
fn a_session_is_weighed_once() {
    let weighings = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&weighings);
    let builder = SessionCache::builder().capacity(10).max_weight(100);
    let cache = builder
        .weigher(move |_: &Session<u64>| 10 + 10 * counter.fetch_add(1, Ordering::Relaxed))
        .build()
        .unwrap();
    let one = session(1);
    for _ in 0..20 {
        store(&cache, one.clone());
        assert!(!cache.add(one.clone()).is_ok_and(|added| added.changed()));
        assert!(cache.take(&id(1)).is_some());
    }
    assert_eq!(weighings.load(Ordering::Relaxed), 1);
}

#[test]
fn the_total_is_kept_whatever_comes() {
    for (capacity, max_weight) in [(14, 3000), (200, 20_000), (5000, 100_000)] {
        let (cache, _removals) = weighed(capacity, max_weight);
        let mut random = Rng::with_seed(capacity as u64);
        for _ in 0..scaled(30_000, 3_000) {
            let key = id(random.u64(..2 * capacity as u64));
            match random.u64(..6) {
                0..=3 => store(&cache, Session::new(key, random.u64(..1000))),
                4 => drop(cache.take(&key)),
                _ => drop(cache.remove_id(&key)),
            }
            assert!(cache.len() <= capacity);
            if random.u64(..64) == 0 {
                assert!(total(&cache) <= max_weight);
            }
        }
        assert!(
            total(&cache) <= max_weight
                && total(&cache) + 1000 > max_weight.min(500 * capacity) * 9 / 10
        );
        assert_whole(&cache);
    }
}

#[test]
fn threads_that_add_and_take_leave_the_budget_exact() {
    let (cache, _removals) = weighed(200, 20_000);
    race(4, |thread| {
        let mut random = Rng::with_seed(thread as u64);
        for _ in 0..scaled(60_000, 6_000) {
            let key = id(random.u64(..300));
            match random.u64(..6) {
                0..=3 => store(&cache, Session::new(key, random.u64(..1000))),
                4 => drop(cache.take(&key)),
                _ => drop(cache.remove_id(&key)),
            }
        }
    });
    assert!(total(&cache) <= 20_000);
    assert_whole(&cache);
    // All of the budget is there: twenty of a thousand fit into an emptied cache, without an
    // eviction.
    cache.clear();
    let evicted = cache.stats().evicted;
    for n in 0..20 {
        store(&cache, session(n * 1000 + 999));
    }
    assert_eq!((cache.len(), cache.stats().evicted), (20, evicted));
    store(&cache, session(20_021));
    assert_eq!(cache.stats().evicted, evicted + 1, "and not a byte more");
}

#[test]
fn both_bounds_hold_at_once() {
    let (cache, removals) = weighed(3, 1000);
    for n in 1..=3 {
        store(&cache, session(n * 1000 + 10));
    }
    store(&cache, session(4010));
    assert_eq!(removals.take(), [(1010, RemovalCause::Evicted)], "too many");
    store(&cache, session(5985));
    assert_eq!(removals.take(), [2010, 3010].map(|n| (n, RemovalCause::Evicted)), "too heavy");
    assert_whole(&cache);
}

/// A weigher sees the session before the cache dates it, and what it sets counts.
#[test]
fn a_weigher_may_change_the_dates() {
    let clock = Arc::new(ManualClock::new(1000));
    let hour = Duration::from_secs(3600);
    let weigher = move |session: &Session<u64>| {
        session.set_timeout(hour);
        1
    };
    let builder =
        SessionCache::builder().clock(Arc::clone(&clock)).timeout(2 * hour).weigher(weigher);
    let cache = builder.build().unwrap();
    store(&cache, session(1));
    let stored = cache.get(&id(1)).unwrap();
    assert_eq!((stored.timeout(), stored.expires_at()), (Some(hour), Some(at(4600))));
    clock.set(4601);
    assert!(cache.get(&id(1)).is_none());
}

/// A weight that another cache fixed is compared with the bound of this one.
#[test]
fn what_was_weighed_elsewhere_is_not_let_in_by_it() {
    let cache = |entry| {
        let builder = SessionCache::builder().capacity(10).weigher(weight).max_weight(100);
        builder.max_entry_weight(entry).build().unwrap()
    };
    let (lenient, strict) = (cache(100), cache(10));
    let one = session(50);
    store(&lenient, one.clone());
    assert_eq!(strict.add(one).unwrap_err().reason(), Rejection::OverWeight);
}

/// Weight is taken before a slot is sought: who goes for it may leave the slot that is needed.
#[test]
fn what_goes_for_weight_makes_room_in_a_full_set() {
    for capacity in [14.into(), 1000.into(), Capacity::Unbounded] {
        let builder = SessionCache::builder().capacity(capacity);
        let cache = builder.weigher(|_: &Session<u64>| 1).max_weight(14).build().unwrap();
        for n in 0..60 {
            // One id in many contexts: all of them in one set.
            let context = Context::digest([format!("{n}")]);
            store(&cache, Session::<u64>::builder(id(1)).context(context).build(n));
            assert_eq!(cache.len() as u64, (n + 1).min(14), "{capacity:?}");
        }
        assert_eq!(cache.stats().evicted, 60 - 14);
    }
}
