//! Capacity at run time: growing loses nobody, shrinking evicts the excess, everybody goes on
//! meanwhile.

use sessile::{Added, BuildError, Capacity, Policy, RemovalCause, SessionCache};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use testkit::{
    End, Removals, Rng, assert_whole, id, numbers, race, scaled, session, store, watched,
};

fn filled(capacity: usize, sessions: u64) -> (SessionCache<u64>, Removals) {
    let removals = Removals::default();
    let cache =
        SessionCache::builder().capacity(capacity).on_removed(removals.hook()).build().unwrap();
    for n in 0..sessions {
        store(&cache, session(n));
    }
    (cache, removals)
}

#[test]
fn growing_loses_nobody() {
    for (from, to) in
        [(1, 2), (5, 14), (14, 15), (14, 1000), (100, 101), (1000, 20_480), (3000, 6000)]
    {
        let (cache, removals) = filled(from, from as u64);
        let before = numbers(&cache);
        cache.set_capacity(to).unwrap();
        assert_eq!(cache.capacity(), to);
        assert_eq!(numbers(&cache), before);
        assert!(before.iter().all(|&n| cache.get(&id(n)).is_some()));
        let gone = removals.take().len();
        for n in from as u64..to as u64 {
            store(&cache, session(n));
        }
        let held = cache.len() + gone;
        assert!(if to <= 14 { held == to } else { held * 1000 >= to * 999 }, "{held} of {to}");
        assert_whole(&cache);
    }
}

#[test]
fn shrinking_evicts_the_excess_and_no_more() {
    for (from, to) in
        [(2, 1), (14, 5), (15, 14), (1000, 14), (1000, 999), (20_480, 10_000), (5000, 1)]
    {
        let (cache, removals) = filled(from, from as u64);
        let (before, evicted) = (cache.len(), cache.stats().evicted);
        removals.take();
        cache.set_capacity(to).unwrap();
        assert_eq!(cache.capacity(), to);
        let gone = removals.take();
        assert!(gone.iter().all(|one| one.1 == RemovalCause::Evicted));
        assert_eq!(
            gone.len() as u64,
            cache.stats().evicted - evicted,
            "the counter is the victims"
        );
        assert_eq!(gone.len(), before - cache.len());
        let held = cache.len();
        assert!(held <= to && held * 1000 >= to * 999, "{held} of {to} stay");
        assert!(numbers(&cache).iter().all(|&n| cache.get(&id(n)).is_some()));
        assert_whole(&cache);
    }
}

#[test]
fn shrinking_a_cache_with_room_evicts_nobody() {
    let (cache, removals) = filled(20_000, 900);
    for capacity in [10_000, 3000, 1000, 900] {
        cache.set_capacity(capacity).unwrap();
        let lost = removals.take().len();
        assert!(lost <= 1, "{lost} went at {capacity}");
    }
    assert!(cache.len() >= 898);
}

#[test]
fn shrinking_takes_the_oldest_in_the_order_of_the_policy() {
    for policy in [Policy::Lru, Policy::Fifo] {
        let removals = Removals::default();
        let builder = SessionCache::builder().capacity(14).policy(policy);
        let cache = builder.on_removed(removals.hook()).build().unwrap();
        for n in 0..14 {
            store(&cache, session(n));
        }
        assert!(cache.get(&id(0)).is_some());
        cache.set_capacity(10).unwrap();
        let oldest = if policy == Policy::Lru { [1, 2, 3, 4] } else { [0, 1, 2, 3] };
        assert_eq!(removals.take(), oldest.map(|n| (n, RemovalCause::Evicted)));
    }
}

#[test]
fn shrinking_a_large_cache_keeps_the_young() {
    let (cache, _removals) = filled(10_000, 10_000);
    cache.set_capacity(5000).unwrap();
    let old = numbers(&cache).iter().filter(|n| **n < 4000).count();
    assert!(old <= 250, "{old} of the oldest four thousand stayed");
}

#[test]
fn growing_from_one_set_keeps_the_order() {
    let (cache, removals) = filled(10, 10);
    assert!((0..5).all(|n| cache.get(&id(n)).is_some()));
    cache.set_capacity(14).unwrap();
    for n in 10..19 {
        store(&cache, session(n));
    }
    assert_eq!(removals.take(), [5, 6, 7, 8, 9].map(|n| (n, RemovalCause::Evicted)));
}

#[test]
fn nonsense_is_an_error_and_changes_nothing() {
    let (cache, removals) = filled(10, 10);
    for (nonsense, error) in [
        (Capacity::Sessions(0), BuildError::ZeroCapacity),
        (Capacity::Sessions(usize::MAX), BuildError::CapacityTooLarge),
        (Capacity::Sessions(1 << 45), BuildError::CapacityTooLarge),
        (Capacity::Sessions(1 << 31), BuildError::CapacityTooLarge),
    ] {
        assert_eq!(cache.set_capacity(nonsense), Err(error));
        assert_eq!((cache.capacity(), cache.len()), (10, 10));
    }
    assert!(removals.take().is_empty());
    store(&cache, session(10));
    assert_eq!(cache.len(), 10);
}

#[test]
fn many_sizes_one_after_another_keep_the_cache_whole() {
    let (cache, removals) = filled(100, 100);
    let mut random = Rng::with_seed(9);
    let mut next = 100;
    for _ in 0..scaled(2000, 200) {
        let largest = [20, 3000][random.u64(..2) as usize];
        let capacity = 1 + random.u64(..largest) as usize;
        cache.set_capacity(capacity).unwrap();
        assert_eq!(cache.capacity(), capacity);
        assert!(cache.len() <= capacity);
        for _ in 0..random.u64(..50) {
            assert!(matches!(cache.add(session(next)), Ok(Added::Inserted)));
            assert_eq!(cache.read(&id(next), |found| **found), Some(next));
            next += 1;
        }
        assert!(cache.len() <= capacity);
    }
    assert_eq!(removals.take().len() as u64, cache.stats().evicted);
    assert_whole(&cache);
}

/// The bound as an onlooker sees it. Reading both takes two calls: while the capacity falls it is
/// read first.
#[test]
fn nobody_ever_sees_more_than_the_capacity_while_it_falls() {
    for _ in 0..scaled(10, 3) {
        let (cache, _removals) = filled(3000, 3000);
        let done = AtomicBool::new(false);
        watched(
            || {
                let capacity = cache.capacity();
                let (len, snapshot) = (cache.len(), cache.stats().number as usize);
                assert!(
                    len <= capacity && snapshot <= capacity,
                    "{len} and {snapshot} of {capacity}"
                );
            },
            || {
                race(3, |thread| {
                    if thread == 0 {
                        let _end = End(&done);
                        for capacity in (1..=2900).rev().step_by(100) {
                            cache.set_capacity(capacity).unwrap();
                        }
                    }
                    let mut random = Rng::with_seed(thread as u64);
                    while !done.load(Ordering::Acquire) {
                        store(&cache, session(random.u64(..5000)));
                    }
                })
            },
        );
        assert_whole(&cache);
    }
}

#[test]
fn nobody_ever_sees_more_than_the_capacity_while_it_rises() {
    let (cache, _removals) = filled(1, 1);
    let largest = AtomicUsize::new(0);
    watched(
        || {
            let len = cache.len();
            assert!(len <= cache.capacity());
            largest.fetch_max(len, Ordering::Relaxed);
        },
        || {
            for capacity in (1..3000).step_by(29) {
                cache.set_capacity(capacity).unwrap();
                (0..100).for_each(|n| store(&cache, session(capacity as u64 * 100 + n)));
            }
        },
    );
    assert!(largest.into_inner() > 0);
    assert_whole(&cache);
}

/// Two threads that set different sizes: whichever wins, the cache holds what it says.
#[test]
fn of_two_sizes_set_at_once_one_wins_whole() {
    let (cache, _removals) = filled(14, 14);
    for round in 0..scaled(5_000, 500) {
        race(2, |thread| cache.set_capacity([3, 12][thread]).unwrap());
        let capacity = cache.capacity();
        assert!([3, 12].contains(&capacity));
        for n in 0..20 {
            store(&cache, session(round * 20 + n));
        }
        assert_eq!((cache.len(), cache.snapshot().len()), (capacity, capacity), "round {round}");
    }
}

#[test]
fn lookups_and_adds_go_on_while_the_table_moves() {
    let (cache, _removals) = filled(4000, 1000);
    let done = AtomicBool::new(false);
    race(4, |thread| {
        if thread == 0 {
            let _end = End(&done);
            for round in 0..scaled(600, 60) {
                cache.set_capacity([4000, 2500, 8000, 2200][round as usize % 4]).unwrap();
            }
        }
        let mut random = Rng::with_seed(thread as u64);
        while !done.load(Ordering::Acquire) {
            let stable = random.u64(..1000);
            assert_eq!(
                cache.get(&id(stable)).map(|found| *found),
                Some(stable),
                "a lookup never misses it"
            );
            assert_eq!(cache.read(&id(stable), |found| **found), Some(stable));
            let own = 10_000 + thread as u64 * 100 + random.u64(..100);
            store(&cache, session(own));
            assert_eq!(
                cache.take(&id(own)).map(|taken| *taken),
                Some(own),
                "what was added is there to take"
            );
            assert!(cache.take(&id(own)).is_none(), "once");
        }
    });
    assert_eq!((cache.len(), cache.stats().evicted), (1000, 0));
    assert_whole(&cache);
}
