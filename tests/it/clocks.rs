//! Clocks: the default, the one for tests, and those that jump.

use sessile::{Added, Clock, CoarseClock, ManualClock, Session, SessionCache, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use testkit::{Own, Rng, START, assert_whole, at, clocked, id, numbers, scaled, session, store};

#[test]
fn the_default_clock_shows_unix_time_and_never_goes_back() {
    let unix = Timestamp::from(SystemTime::now());
    let mut last = CoarseClock.now();
    let later = Timestamp::from(SystemTime::now());
    // A coarse clock is late by as much as a tick.
    let is_between = last + Duration::from_secs(1) >= unix && last <= later;
    assert!(is_between, "{last} is not {unix} to {later}");
    for _ in 0..100_000 {
        let now = CoarseClock.now();
        assert!(now >= last && now <= last + Duration::from_secs(60));
        last = now;
    }
    let cache = SessionCache::<u64>::default();
    let one = session(1);
    store(&cache, one.clone());
    assert!(one.created_at().unwrap().saturating_duration_since(unix) <= Duration::from_secs(60));
    assert!(cache.get(&id(1)).is_some());
}

/// It may be up to a second late, and is never early.
#[test]
fn the_default_clock_goes_with_time() {
    let (before_first, first, began) = (Instant::now(), CoarseClock.now(), Instant::now());
    while began.elapsed() < Duration::from_millis(3100) {
        let least = began.elapsed().as_secs_f64();
        let shown = CoarseClock.now().saturating_duration_since(first).as_secs_f64();
        let most = before_first.elapsed().as_secs_f64();
        // The first reading was late by up to a second, and was cut off to whole ones.
        assert!(shown > least - 2.0 && shown < most + 2.0, "{shown} s after {least} to {most}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(CoarseClock.now() > first, "three seconds have passed");
}

#[test]
fn a_manual_clock_stands_where_it_is_put() {
    let clock = Arc::new(ManualClock::new(5));
    clock.advance(7);
    assert_eq!(clock.now(), at(12));
    clock.set(3);
    assert_eq!(Clock::now(&clock), at(3));
    clock.advance(Duration::from_millis(2_999));
    assert_eq!(clock.now(), at(5));
    clock.advance(u64::MAX);
    assert_eq!(clock.now(), Timestamp::MAX, "saturating");
}

#[test]
fn a_clock_that_goes_backwards_loses_nothing() {
    let (builder, clock) = clocked(100);
    let cache = builder.build().unwrap();
    for n in 0..50 {
        store(&cache, session(n));
    }
    clock.set(START - 5000);
    assert!((0..50).all(|n| cache.get(&id(n)).is_none()), "dated in the future");
    assert_eq!(cache.flush_expired_at(clock.now()), 0);
    for n in 50..60 {
        store(&cache, session(n));
    }
    assert!((50..60).all(|n| cache.get(&id(n)).is_some()));
    assert_eq!(numbers(&cache), (0..60).collect::<Vec<_>>());
    clock.set(START);
    assert!((0..60).all(|n| cache.get(&id(n)).is_some()));
    assert_eq!((cache.stats().expired, cache.stats().timeouts), (0, 0));
    assert_whole(&cache);
}

#[test]
fn a_clock_that_goes_backwards_resurrects_nothing() {
    let (builder, clock) = clocked(100);
    let cache = builder.build().unwrap();
    for n in 0..50 {
        store(&cache, session(n));
    }
    clock.advance(7201);
    assert!((0..25).all(|n| cache.get(&id(n)).is_none()));
    assert_eq!(cache.flush_expired_at(clock.now()), 25);
    clock.set(START);
    assert!((0..50).all(|n| cache.get(&id(n)).is_none()));
    assert!(cache.is_empty());
    assert_whole(&cache);
}

#[test]
fn a_jump_to_the_end_of_time_and_back_is_survived() {
    for far in [u64::MAX, u64::MAX - 1, u64::MAX / 2, 0] {
        for capacity in [3, 14, 100] {
            let (builder, clock) = clocked(capacity);
            let cache = builder.build().unwrap();
            for n in 0..capacity as u64 {
                store(&cache, session(n));
            }
            clock.set(far);
            for n in 1000..1200 {
                store(&cache, session(n));
                assert_eq!(cache.get(&id(n)).map(|found| *found), Some(n), "at {far}");
                assert!(cache.len() <= capacity);
            }
            clock.set(START);
            for n in 2000..2200 {
                store(&cache, session(n));
                assert_eq!(cache.get(&id(n)).map(|found| *found), Some(n), "back from {far}");
            }
            assert_whole(&cache);
        }
    }
}

#[test]
fn a_clock_that_jumps_at_random_breaks_nothing() {
    let (builder, clock) = clocked(50);
    let cache = builder.build().unwrap();
    let mut random = Rng::with_seed(1);
    for _ in 0..scaled(100_000, 10_000) {
        let n = random.u64(..200);
        match random.u64(..10) {
            0 => clock.set(START + random.u64(..20_000)),
            1 => clock.set(START - random.u64(..20_000)),
            2..=4 => store(&cache, session(n)),
            5 => drop(cache.take(&id(n))),
            _ => {
                let now = clock.now();
                if let Some(found) = cache.get(&id(n)) {
                    assert!(found.created_at().is_some_and(|created| created <= now));
                    assert!(found.expires_at().is_some_and(|last| now <= last));
                }
            }
        }
        assert!(cache.len() <= 50);
    }
    assert_whole(&cache);
}

/// A clock that counts how often it is asked.
struct Counting(Arc<AtomicU64>);

impl Clock for Counting {
    fn now(&self) -> Timestamp {
        self.0.fetch_add(1, Ordering::Relaxed);
        at(START)
    }
}

#[test]
fn an_operation_asks_the_clock_once() {
    let asked = Arc::new(AtomicU64::new(0));
    let cache =
        SessionCache::builder().capacity(2).clock(Counting(Arc::clone(&asked))).build().unwrap();
    let once = |what: &str, operation: &dyn Fn()| {
        let before = asked.load(Ordering::Relaxed);
        operation();
        assert_eq!(asked.load(Ordering::Relaxed) - before, 1, "{what}");
    };
    once("insert", &|| store(&cache, session(1)));
    once("replace", &|| store(&cache, session(1)));
    once("insert", &|| store(&cache, session(2)));
    once("evict", &|| store(&cache, session(3)));
    once("hit", &|| assert!(cache.get(&id(3)).is_some()));
    once("read", &|| assert!(cache.read(&id(3), |_| ()).is_some()));
    once("miss", &|| assert!(cache.get(&id(9)).is_none()));
    once("take", &|| assert!(cache.take(&id(3)).is_some()));
    once("take of nothing", &|| assert!(cache.take(&id(3)).is_none()));
}

/// A clock that ticks right after it was read, and replaces the session in that second.
struct Ticking {
    seconds: AtomicU64,
    own: Own,
    is_armed: AtomicBool,
}

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        let now = at(self.seconds.load(Ordering::Relaxed));
        if self.is_armed.swap(false, Ordering::Relaxed) {
            self.seconds.fetch_add(1, Ordering::Relaxed);
            assert!(matches!(self.own.cache().add(session(1)), Ok(Added::Replaced(_))));
        }
        now
    }
}

#[test]
fn a_lookup_finds_what_was_stored_while_the_second_ticked() {
    type Lookup = fn(&SessionCache<u64>) -> Option<u64>;
    let lookups: [Lookup; 3] = [
        |cache| cache.get(&id(1)).map(|found| *found),
        |cache| cache.read(&id(1), |found| **found),
        |cache| cache.take(&id(1)).map(|found| *found),
    ];
    for lookup in lookups {
        let clock = Arc::new(Ticking {
            seconds: AtomicU64::new(START),
            own: Own::default(),
            is_armed: AtomicBool::new(false),
        });
        let cache = SessionCache::builder().capacity(10).clock(Arc::clone(&clock)).build().unwrap();
        let cache = clock.own.is(cache);
        store(&cache, session(1));
        clock.is_armed.store(true, Ordering::Relaxed);
        assert_eq!(lookup(&cache), Some(1), "a session was there at every moment");
        assert_eq!((cache.stats().hits, cache.stats().misses), (1, 0));
    }
}

#[test]
fn the_timeout_of_the_cache_is_changed_for_later_sessions_only() {
    let (builder, clock) = clocked(10);
    let cache = builder.timeout(Duration::from_millis(9_100)).build().unwrap();
    assert_eq!(cache.timeout(), Duration::from_secs(10), "whole seconds, rounded up");
    let (before, after) = (session(1), session(2));
    store(&cache, before.clone());
    cache.set_timeout(Duration::from_secs(100));
    store(&cache, after.clone());
    assert_eq!(
        (before.expires_at(), after.expires_at()),
        (Some(at(START + 10)), Some(at(START + 100)))
    );
    let own = Session::<u64>::builder(id(3)).timeout(Duration::from_secs(5)).build(3);
    store(&cache, own.clone());
    assert_eq!(
        own.expires_at(),
        Some(at(START + 5)),
        "a session's own timeout goes before the cache's"
    );
    clock.advance(11);
    assert_eq!(numbers(&cache).iter().filter(|&&n| cache.get(&id(n)).is_some()).count(), 1);
}
