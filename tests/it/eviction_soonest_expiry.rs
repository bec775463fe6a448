//! The soonest to expire goes first: the order of OpenSSL 3 and 4.

use sessile::{Policy, RemovalCause, Session, SessionCache};
use std::time::Duration;
use testkit::{Removals, Rng, START, assert_whole, clocked, id, numbers, scaled, store};

fn cache_of(capacity: usize) -> (SessionCache<u64>, Removals) {
    let removals = Removals::default();
    let (builder, _clock) = clocked(capacity);
    (builder.policy(Policy::SoonestExpiry).on_removed(removals.hook()).build().unwrap(), removals)
}

/// A session that is valid for so many seconds more.
fn lasting(n: u64, seconds: u64) -> Session<u64> {
    Session::<u64>::builder(id(n)).created_at(START).timeout(Duration::from_secs(seconds)).build(n)
}

#[test]
fn the_soonest_to_expire_goes_whatever_was_used() {
    let (cache, removals) = cache_of(3);
    for (n, seconds) in [(0, 300), (1, 100), (2, 200)] {
        store(&cache, lasting(n, seconds));
    }
    assert!(cache.get(&id(1)).is_some());
    for (n, gone) in [(3, 1), (4, 2), (5, 0)] {
        store(&cache, lasting(n, 1000));
        assert_eq!(removals.take(), [(gone, RemovalCause::Evicted)]);
    }
}

#[test]
fn the_new_one_stays_even_if_it_is_the_soonest() {
    let (cache, removals) = cache_of(3);
    for n in 0..3 {
        store(&cache, lasting(n, 1000 + n));
    }
    store(&cache, lasting(3, 1));
    assert_eq!(removals.take(), [(0, RemovalCause::Evicted)]);
    assert!(cache.get(&id(3)).is_some());
    store(&cache, lasting(4, 500));
    assert_eq!(removals.take(), [(3, RemovalCause::Evicted)], "the next time it is its turn");
}

#[test]
fn an_evicted_one_can_come_back_and_evicts_another() {
    let (cache, removals) = cache_of(2);
    let (early, late) = (lasting(1, 10), lasting(2, 20));
    store(&cache, early.clone());
    store(&cache, late);
    store(&cache, lasting(3, 30));
    assert_eq!(removals.take(), [(1, RemovalCause::Evicted)]);
    store(&cache, early);
    assert_eq!(removals.take(), [(2, RemovalCause::Evicted)]);
    assert_eq!(numbers(&cache), [1, 3]);
}

#[test]
fn of_equals_the_first_that_came_goes() {
    let (cache, removals) = cache_of(4);
    for n in 0..4 {
        store(&cache, lasting(n, 100));
    }
    for n in 4..8 {
        store(&cache, lasting(n, 100));
        assert_eq!(removals.take(), [(n - 4, RemovalCause::Evicted)]);
    }
}

#[test]
fn a_changed_timeout_or_date_changes_the_order() {
    let (cache, removals) = cache_of(3);
    let all = [lasting(0, 100), lasting(1, 200), lasting(2, 300)];
    for one in &all {
        store(&cache, one.clone());
    }
    all[0].set_timeout(Duration::from_secs(1000));
    all[2].set_created_at(START - 250);
    store(&cache, lasting(3, 2000));
    assert_eq!(removals.take(), [(2, RemovalCause::Evicted)]);
    store(&cache, lasting(4, 2000));
    assert_eq!(removals.take(), [(1, RemovalCause::Evicted)]);
    store(&cache, lasting(5, 2000));
    assert_eq!(removals.take(), [(0, RemovalCause::Evicted)]);
}

#[test]
fn the_order_is_exact_up_to_fourteen() {
    for capacity in 1..=14 {
        let (cache, removals) = cache_of(capacity);
        let mut random = Rng::with_seed(capacity as u64);
        let mut stored: Vec<(u64, u64)> = Vec::new();
        for n in 0..scaled(20_000, 2_000) {
            let seconds = 1 + random.u64(..50);
            store(&cache, lasting(n, seconds));
            if stored.len() == capacity {
                // Stored in the order of coming: the first minimum is the one that came first.
                let soonest = stored.iter().map(|one| one.1).min().unwrap();
                let place = stored.iter().position(|one| one.1 == soonest).unwrap();
                assert_eq!(removals.take(), [(stored.remove(place).0, RemovalCause::Evicted)]);
            }
            stored.push((n, seconds));
        }
        assert_whole(&cache);
    }
}

#[test]
fn in_a_large_cache_the_longest_lived_stay() {
    let (cache, _removals) = cache_of(1000);
    for n in 0..500 {
        store(&cache, lasting(n, 1_000_000));
    }
    for n in 500..scaled(50_000, 10_000) {
        store(&cache, lasting(n, 1 + n % 1000));
    }
    let long_lived = numbers(&cache).into_iter().filter(|n| *n < 500).count();
    assert!(long_lived >= 450, "{long_lived} of 500");
    assert_whole(&cache);
}
