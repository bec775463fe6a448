//! Capacity: N of N in one set, 99.9 % above, and never one more.

use sessile::{Added, BuildError, Capacity, Policy, SessionCache};
use std::time::Duration;
use testkit::{
    Gate, add_patiently, assert_whole, id, numbers, race, scaled, session, store, watched,
};

/// Powers of two and their neighbours, the edges of one set, and OpenSSL's default.
fn capacities() -> Vec<usize> {
    let powers = (1..=12).flat_map(|k| [(1 << k) - 1, 1 << k, (1 << k) + 1]);
    let mut all: Vec<usize> = powers.chain([13, 14, 20_480]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn assert_holds(held: usize, given: usize) {
    if given <= 14 {
        assert_eq!(held, given, "one set holds N of N");
    } else {
        assert!(held * 1000 >= given * 999, "{held} of {given}");
    }
}

#[test]
fn a_cache_given_its_capacity_holds_it() {
    for policy in [Policy::Lru, Policy::Fifo, Policy::SoonestExpiry] {
        for capacity in capacities() {
            let cache = SessionCache::builder().capacity(capacity).policy(policy).build().unwrap();
            assert_eq!(cache.capacity(), capacity);
            for n in 0..capacity as u64 {
                assert!(matches!(cache.add(session(n)), Ok(Added::Inserted)));
                assert!(cache.read(&id(n), |_| ()).is_some());
            }
            let held = (0..capacity as u64).filter(|&n| cache.get(&id(n)).is_some()).count();
            assert_eq!(held, cache.len());
            assert_holds(held, capacity);
        }
    }
}

#[test]
fn a_full_cache_stays_full_and_never_above() {
    for capacity in capacities() {
        let cache = SessionCache::new(capacity).unwrap();
        for n in 0..3 * capacity as u64 {
            assert!(matches!(cache.add(session(n)), Ok(Added::Inserted)));
            assert!(cache.len() <= capacity);
            assert_eq!(
                cache.read(&id(n), |found| **found),
                Some(n),
                "the newest is never the victim"
            );
        }
        assert_holds(cache.len(), capacity);
        assert_whole(&cache);
    }
}

#[test]
fn room_that_was_made_is_used() {
    for capacity in [1, 14, 15, 64, 1000, 20_480] {
        let cache = SessionCache::new(capacity).unwrap();
        for n in 0..capacity as u64 {
            store(&cache, session(n));
        }
        let before = cache.stats().evicted;
        let removed =
            (0..capacity as u64).step_by(2).filter(|&n| cache.remove_id(&id(n))).count() as u64;
        for n in 0..removed {
            store(&cache, session(1_000_000 + n));
        }
        let evicted = cache.stats().evicted - before;
        assert!(
            evicted * 1000 <= capacity as u64,
            "{evicted} evictions where there was room for all"
        );
        assert_holds(cache.len(), capacity);
    }
}

#[test]
fn capacity_one_keeps_the_new_one_even_if_it_expires_sooner() {
    for policy in [Policy::Lru, Policy::Fifo, Policy::SoonestExpiry] {
        let cache = SessionCache::builder().capacity(1).policy(policy).build().unwrap();
        for n in 0..100 {
            let one = session(n);
            one.set_timeout(Duration::from_secs(1000 - n));
            assert!(matches!(cache.add(one), Ok(Added::Inserted)));
            assert_eq!(numbers(&cache), [n]);
        }
        assert_eq!(cache.stats().cache_full, 99);
    }
}

#[test]
fn five_hold_the_newest_five_of_ten() {
    for policy in [Policy::Lru, Policy::Fifo] {
        let cache = SessionCache::builder().capacity(5).policy(policy).build().unwrap();
        for n in 0..10 {
            store(&cache, session(n));
        }
        assert_eq!(numbers(&cache), [5, 6, 7, 8, 9]);
        assert_eq!(cache.stats().cache_full, 5);
    }
}

#[test]
fn the_defaults_are_those_of_openssl() {
    let cache = SessionCache::<u64>::default();
    assert_eq!(cache.capacity(), 20_480);
    assert_eq!(cache.timeout(), Duration::from_secs(7200));
    assert!(cache.is_empty());
    let built = SessionCache::<u64>::builder().build().unwrap();
    assert_eq!((built.capacity(), built.timeout()), (cache.capacity(), cache.timeout()));
}

#[test]
fn nonsense_is_an_error() {
    let of = |capacity: Capacity| SessionCache::<u64>::new(capacity).map(|_| ());
    assert_eq!(of(Capacity::Sessions(0)), Err(BuildError::ZeroCapacity));
    assert_eq!(of(Capacity::Sessions(usize::MAX)), Err(BuildError::CapacityTooLarge));
    assert_eq!(of(Capacity::Sessions(usize::MAX - 1)), Err(BuildError::CapacityTooLarge));
    assert_eq!(of(Capacity::Sessions(1 << 40)), Err(BuildError::CapacityTooLarge));
    assert_eq!(of(Capacity::Unbounded), Ok(()));
    let weights = |total, entry| {
        let builder = SessionCache::<u64>::builder().weigher(|_| 1);
        builder.max_weight(total).max_entry_weight(entry).build().map(|_| ())
    };
    assert_eq!(weights(10, 11), Err(BuildError::EntryWeightAboveTotal));
    assert_eq!(weights(0, 0), Err(BuildError::ZeroWeight));
    assert_eq!(weights(10, 0), Err(BuildError::ZeroWeight));
    assert_eq!(weights(10, 10), Ok(()));
    let unweighed = SessionCache::<u64>::builder().max_weight(10).build();
    assert_eq!(unweighed.map(|_| ()), Err(BuildError::WeightWithoutWeigher));
    for error in [BuildError::ZeroCapacity, BuildError::CapacityTooLarge, BuildError::OutOfMemory] {
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn four_threads_against_the_limit_end_exactly_at_it() {
    for capacity in [1usize, 6, 14, 100] {
        let cache = SessionCache::new(capacity).unwrap();
        let each = scaled(20_000, 2_000);
        watched(
            || assert!(cache.len() <= cache.capacity(), "above the limit"),
            || {
                race(4, |thread| {
                    for n in 0..each {
                        let n = thread as u64 * each + n;
                        let added = add_patiently(&cache, session(n));
                        assert!(matches!(added, Ok(Added::Inserted)), "{added:?}");
                    }
                })
            },
        );
        let stats = cache.stats();
        assert_eq!(cache.len(), capacity);
        assert_eq!(stats.cache_full, 4 * each - capacity as u64, "evictions are the overshoot");
        assert_whole(&cache);
    }
}

/// Threads keep spare permits; those of threads that went idle must not be lost.
#[test]
fn idle_threads_do_not_keep_capacity_to_themselves() {
    let cache = SessionCache::new(20_480).unwrap();
    let gate = Gate::new(9);
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let (cache, member) = (&cache, gate.member());
            scope.spawn(move || {
                for n in 0..200 {
                    store(cache, session(1_000_000 * (thread + 1) + n));
                }
                for n in 0..200 {
                    assert!(cache.take(&id(1_000_000 * (thread + 1) + n)).is_some());
                }
                assert!(member.meet(0));
                assert!(member.meet(1));
            });
        }
        let member = gate.member();
        assert!(member.meet(0));
        assert!(cache.is_empty());
        race(4, |thread| {
            for n in (thread as u64..20_480).step_by(4) {
                assert!(matches!(cache.add(session(n)), Ok(Added::Inserted)));
            }
        });
        assert_holds(cache.len(), 20_480);
        assert!(member.meet(1));
    });
    assert_whole(&cache);
}
