//! First in, first out: BoringSSL's order.

use sessile::{Added, Policy, RemovalCause, SessionCache};
use std::collections::VecDeque;
use testkit::{Removals, Rng, assert_whole, id, numbers, scaled, session, store};

fn fifo(capacity: usize) -> (SessionCache<u64>, Removals) {
    let removals = Removals::default();
    let builder = SessionCache::builder().capacity(capacity).policy(Policy::Fifo);
    (builder.on_removed(removals.hook()).build().unwrap(), removals)
}

#[test]
fn the_first_that_came_goes_first_whatever_was_used() {
    let (cache, removals) = fifo(5);
    for n in 0..5 {
        store(&cache, session(n));
    }
    for n in 5..10 {
        for used in [0, 1, 5] {
            cache.get(&id(used));
            cache.read(&id(used), |_| ());
        }
        store(&cache, session(n));
        assert_eq!(removals.take(), [(n - 5, RemovalCause::Evicted)]);
    }
    assert_eq!(numbers(&cache), [5, 6, 7, 8, 9]);
}

#[test]
fn the_second_that_came_goes_when_the_first_was_removed_by_hand() {
    let (cache, removals) = fifo(3);
    for n in 0..3 {
        store(&cache, session(n));
    }
    assert!(cache.take(&id(0)).is_some());
    removals.take();
    store(&cache, session(3));
    assert!(removals.take().is_empty());
    store(&cache, session(4));
    assert_eq!(removals.take(), [(1, RemovalCause::Evicted)]);
}

#[test]
fn the_order_is_exact_up_to_fourteen() {
    for capacity in 1..=14 {
        let (cache, removals) = fifo(capacity);
        let mut order = VecDeque::new();
        let mut random = Rng::with_seed(capacity as u64);
        for _ in 0..scaled(40_000, 4_000) {
            let n = random.u64(..capacity as u64 * 2);
            let place = order.iter().position(|&one| one == n);
            match random.u64(..8) {
                0..=3 => {
                    let added = cache.add(session(n));
                    assert_eq!(matches!(added, Ok(Added::Replaced(_))), place.is_some());
                    let gone = match place.and_then(|place| order.remove(place)) {
                        Some(old) => Some((old, RemovalCause::Replaced)),
                        None if order.len() == capacity => {
                            order.pop_front().map(|first| (first, RemovalCause::Evicted))
                        }
                        None => None,
                    };
                    assert_eq!(removals.take(), Vec::from_iter(gone));
                    order.push_back(n);
                }
                4..=6 => assert_eq!(cache.get(&id(n)).is_some(), place.is_some()),
                _ => {
                    assert_eq!(cache.take(&id(n)).is_some(), place.is_some());
                    place.and_then(|place| order.remove(place));
                    removals.take();
                }
            }
        }
        assert_whole(&cache);
    }
}

/// Above one set the order is that of a list to within a fraction of the capacity.
#[test]
fn what_goes_in_a_large_cache_is_old() {
    let (cache, removals) = fifo(1000);
    let adds = scaled(100_000, 20_000);
    let mut young = 0;
    for n in 0..adds {
        store(&cache, session(n));
        for (victim, cause) in removals.take() {
            assert_eq!(cause, RemovalCause::Evicted);
            young += u64::from(n - victim < 500);
        }
    }
    assert!(young * 20 <= adds, "{young} of {adds} went in the younger half of their time");
    assert_whole(&cache);
}
