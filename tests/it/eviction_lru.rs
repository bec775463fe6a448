//! The default order: the least recently used goes; a new session is the value.

use sessile::{Added, Mode, RemovalCause, SessionCache};
use std::collections::VecDeque;
use testkit::{Removals, Rng, assert_whole, id, numbers, scaled, session, store};

#[test]
fn the_least_recently_used_goes() {
    let removals = Removals::default();
    let cache = SessionCache::builder().capacity(3).on_removed(removals.hook()).build().unwrap();
    for n in 0..3 {
        store(&cache, session(n));
    }
    assert!(cache.get(&id(0)).is_some());
    store(&cache, session(3));
    assert!(cache.read(&id(2), |_| ()).is_some(), "a read is a use too");
    store(&cache, session(4));
    store(&cache, session(5));
    let evicted = [1, 0, 3].map(|n| (n, RemovalCause::Evicted));
    assert_eq!(removals.take(), evicted);
    assert_eq!(numbers(&cache), [2, 4, 5]);
}

#[test]
fn a_use_makes_younger_whatever_the_mode_is_set_to() {
    let cache = SessionCache::new(2).unwrap();
    cache.set_mode(Mode { auto_flush: false, ..cache.mode() });
    store(&cache, session(0));
    store(&cache, session(1));
    assert!(cache.get(&id(0)).is_some());
    store(&cache, session(2));
    assert_eq!(numbers(&cache), [0, 2]);
}

#[test]
fn a_failed_lookup_is_no_use() {
    let cache = SessionCache::new(2).unwrap();
    store(&cache, session(0));
    store(&cache, session(1));
    assert!(cache.view(sessile::Context::from_bytes([1; 32])).get(&id(0)).is_none());
    assert!(cache.get(&id(9)).is_none());
    store(&cache, session(2));
    assert_eq!(numbers(&cache), [1, 2]);
}

#[test]
fn the_second_oldest_goes_when_the_oldest_was_removed_by_hand() {
    let cache = SessionCache::new(4).unwrap();
    for n in 0..4 {
        store(&cache, session(n));
    }
    assert!(cache.remove_id(&id(0)));
    store(&cache, session(4));
    store(&cache, session(5));
    assert_eq!(numbers(&cache), [2, 3, 4, 5]);
    for n in 2..6 {
        assert!(cache.take(&id(n)).is_some());
    }
    assert!(cache.is_empty());
    for n in 10..1000 {
        store(&cache, session(n));
    }
    assert_eq!(numbers(&cache), [996, 997, 998, 999]);
}

/// An exact list beside the cache: front is the next to go.
struct Exact {
    cache: SessionCache<u64>,
    removals: Removals,
    order: VecDeque<u64>,
    capacity: usize,
}

impl Exact {
    fn new(capacity: usize) -> Self {
        let removals = Removals::default();
        let builder = SessionCache::builder().capacity(capacity).on_removed(removals.hook());
        Self { cache: builder.build().unwrap(), removals, order: VecDeque::new(), capacity }
    }

    fn make_youngest(&mut self, n: u64) -> bool {
        let was_there = self.forget(n);
        self.order.push_back(n);
        was_there
    }

    fn forget(&mut self, n: u64) -> bool {
        let place = self.order.iter().position(|&one| one == n);
        place.is_some_and(|place| self.order.remove(place).is_some())
    }

    fn add(&mut self, n: u64) {
        let mut gone = vec![];
        if self.order.contains(&n) {
            gone.push((n, RemovalCause::Replaced));
        } else if self.order.len() == self.capacity {
            gone.extend(self.order.pop_front().map(|oldest| (oldest, RemovalCause::Evicted)));
        }
        let replaced = self.make_youngest(n);
        match self.cache.add(session(n)) {
            Ok(Added::Inserted) => assert!(!replaced),
            Ok(Added::Replaced(_)) => assert!(replaced),
            other => panic!("{other:?}"),
        }
        assert_eq!(self.removals.take(), gone, "the order so far: {:?}", self.order);
    }

    fn get(&mut self, n: u64) {
        let is_there = self.order.contains(&n);
        assert_eq!(self.cache.get(&id(n)).is_some(), is_there);
        if is_there {
            self.make_youngest(n);
        }
    }

    fn take(&mut self, n: u64) {
        assert_eq!(self.cache.take(&id(n)).is_some(), self.forget(n));
        self.removals.take();
    }
}

#[test]
fn the_order_is_exact_up_to_fourteen() {
    for capacity in 1..=14 {
        let mut exact = Exact::new(capacity);
        let mut random = Rng::with_seed(capacity as u64);
        for _ in 0..scaled(40_000, 4_000) {
            let n = random.u64(..capacity as u64 * 2);
            match random.u64(..8) {
                0..=3 => exact.add(n),
                4..=6 => exact.get(n),
                _ => exact.take(n),
            }
        }
        let mut expected: Vec<u64> = exact.order.iter().copied().collect();
        expected.sort_unstable();
        assert_eq!(numbers(&exact.cache), expected);
        assert_whole(&exact.cache);
    }
}

/// Lookups alone, many times more than ages can count, then adds: who was used last still stays.
#[test]
fn the_order_is_exact_after_any_number_of_uses() {
    for uses in 1..200 {
        let mut exact = Exact::new(3);
        (0..3).for_each(|n| exact.add(n));
        (0..uses).for_each(|n| exact.get(n % 2));
        exact.get(2);
        exact.get(0);
        (10..13).for_each(|n| exact.add(n));
    }
}

/// The last of a handful of uses must count whenever it comes.
#[test]
fn every_single_use_counts() {
    for before in 0..200 {
        let cache = SessionCache::new(2).unwrap();
        store(&cache, session(0));
        for _ in 0..before {
            store(&cache, session(1));
        }
        store(&cache, session(1));
        assert!(cache.get(&id(0)).is_some());
        store(&cache, session(2));
        assert_eq!(numbers(&cache), [0, 2], "the use after {before} replacements was forgotten");
    }
}

#[test]
fn what_is_in_use_survives_churn_in_a_large_cache() {
    let cache = SessionCache::new(1000).unwrap();
    for n in 0..100 {
        store(&cache, session(n));
    }
    let mut lost = 0;
    for round in 0..scaled(100, 10) {
        for n in 0..100 {
            store(&cache, session(1_000 + round * 100 + n));
            if cache.get(&id(n)).is_none() {
                lost += 1;
                store(&cache, session(n));
            }
        }
    }
    // Each is used ten times in the life of a one-shot one.
    assert!(lost <= 2 * scaled(100, 10) / 10, "{lost} sessions in use were evicted");
    assert_whole(&cache);
}

#[test]
fn a_flood_does_not_push_out_what_is_new() {
    let cache = SessionCache::new(2000).unwrap();
    let mut early = 0;
    for n in 0..scaled(100_000, 20_000) {
        assert!(matches!(cache.add(session(n)), Ok(Added::Inserted)));
        assert!(cache.get(&id(n)).is_some(), "visible to the very next lookup");
        // A ticket is used once, and late. With the late uses an exact list would be turned over by
        // half in between.
        if n >= 500 && cache.read(&id(n - 500), |_| ()).is_none() {
            early += 1;
        }
    }
    assert!(early * 20 <= scaled(100_000, 20_000), "{early} were gone too early");
}

#[test]
fn protection_keeps_used_sessions_through_a_flood_of_unused_ones() {
    let build =
        |protect| SessionCache::builder().capacity(10).protect_reused(protect).build().unwrap();
    for (protect, survivors) in [(true, vec![0, 1, 2, 3, 4]), (false, vec![])] {
        let cache: SessionCache<u64> = build(protect);
        for n in 0..5 {
            store(&cache, session(n));
            assert!(cache.get(&id(n)).is_some());
        }
        for n in 100..1000 {
            store(&cache, session(n));
        }
        let left: Vec<u64> = numbers(&cache).into_iter().filter(|n| *n < 100).collect();
        assert_eq!(left, survivors, "protect: {protect}");
    }
}

/// However often the others are used, the one that is not goes: ages do not wrap.
#[test]
fn the_order_of_one_set_holds_for_any_number_of_uses() {
    for uses in (1..400).step_by(7) {
        let removals = Removals::default();
        let cache =
            SessionCache::builder().capacity(14).on_removed(removals.hook()).build().unwrap();
        (0..14).for_each(|n| store(&cache, session(n)));
        (0..uses).for_each(|n| assert!(cache.get(&id(1 + n % 13)).is_some()));
        store(&cache, session(14));
        assert_eq!(
            removals.take(),
            [(0, RemovalCause::Evicted)],
            "after {uses} uses of the others"
        );
    }
}
