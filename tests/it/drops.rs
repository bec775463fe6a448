//! Payloads: dropped exactly once, after the last handle, whatever happened to the session.

use sessile::{Session, SessionCache};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak, mpsc};
use testkit::{End, Ledger, Payload, Rng, assert_whole, id, race, reclaim, scaled, store};

#[test]
fn a_payload_lives_as_long_as_any_handle() {
    let ledger = Ledger::new();
    let cache = SessionCache::new(10).unwrap();
    let mine = ledger.session(1);
    store(&cache, mine.clone());
    assert!(cache.remove_id(&id(1)));
    reclaim(&cache);
    drop(cache);
    assert_eq!((mine.number(), ledger.alive()), (1, 1));
    let other = mine.clone();
    drop(mine);
    assert_eq!((other.number(), ledger.alive()), (1, 1));
    drop(other);
    assert_eq!(ledger.alive(), 0);
}

#[test]
fn what_left_by_any_way_is_freed_by_collect() {
    let ledger = Ledger::new();
    let cache = SessionCache::new(100).unwrap();
    for n in 0..100 {
        store(&cache, ledger.session(n));
    }
    for n in 0..20 {
        drop(cache.take(&id(n)));
        assert!(cache.remove_id(&id(20 + n)));
        store(&cache, ledger.session(40 + n));
        assert!(cache.get(&id(60 + n)).is_some_and(|found| cache.remove(&found)));
    }
    cache.set_capacity(30).unwrap();
    reclaim(&cache);
    assert_eq!(ledger.alive(), cache.len());
    cache.clear();
    reclaim(&cache);
    assert_eq!(ledger.alive(), 0);
    assert_eq!(ledger.made(), 120);
    assert_whole(&cache);
}

#[test]
fn what_is_dropped_with_the_cache_is_freed_at_once() {
    for retired in [0, 1, 63, 64, 65, 1000] {
        let ledger = Ledger::new();
        let cache = SessionCache::new(500).unwrap();
        for n in 0..retired + 300 {
            store(&cache, ledger.session(n));
        }
        for n in 0..retired {
            cache.remove_id(&id(n));
        }
        drop(cache);
        assert_eq!(ledger.alive(), 0, "{retired} retired");
    }
}

/// What a session was put through by one thread.
fn work(cache: &SessionCache<Payload>, ledger: &Arc<Ledger>, seed: u64, operations: u64) {
    let mut random = Rng::with_seed(seed);
    let keys = 2 * cache.capacity() as u64 + 2;
    let mut kept = Vec::new();
    for operation in 0..operations {
        let key = random.u64(..keys);
        match random.u64(..16) {
            0..=6 => drop(cache.add(ledger.session(key))),
            7..=9 => kept.extend(cache.take(&id(key))),
            10 => drop(cache.remove_id(&id(key))),
            11 => drop(cache.get(&id(key)).map(|found| cache.remove(&found))),
            12 => kept.extend(cache.get(&id(key))),
            13 => assert!(cache.read(&id(key), |found| found.number() == key) != Some(false)),
            14 => kept.truncate(kept.len() / 2),
            _ if operation % 64 == 0 => cache.collect(),
            _ => drop(kept.first().map(|old| cache.add(old.clone()))),
        }
        assert!(kept.iter().all(|session| session.number() < keys));
        kept.truncate(20);
    }
}

#[test]
fn under_stress_everything_that_was_made_is_freed() {
    for threads in [2, 3, 4, 8] {
        for capacity in [1, 14, 50, 2000] {
            let ledger = Ledger::new();
            let cache = SessionCache::new(capacity).unwrap();
            let each = scaled(60_000, 6_000) / threads as u64;
            race(threads, |thread| work(&cache, &ledger, thread as u64, each));
            assert_whole(&cache);
            reclaim(&cache);
            assert_eq!(
                ledger.alive(),
                cache.len(),
                "what the threads left behind is freed by collect"
            );
            assert_eq!(cache.stats().garbage, sessile::Garbage::default());
            drop(cache);
            assert_eq!(ledger.alive(), 0);
        }
    }
}

#[test]
fn under_stress_and_migrations_everything_that_was_made_is_freed() {
    let ledger = Ledger::new();
    let cache = SessionCache::new(500).unwrap();
    let done = AtomicBool::new(false);
    race(4, |thread| {
        if thread == 0 {
            let _end = End(&done);
            for round in 0..scaled(500, 50) {
                cache.set_capacity([500, 40, 1000, 14, 300][round as usize % 5]).unwrap();
            }
        }
        let mut seed = thread as u64;
        while !done.load(Ordering::Acquire) {
            work(&cache, &ledger, seed, 200);
            seed += 4;
        }
    });
    assert_whole(&cache);
    reclaim(&cache);
    assert_eq!(ledger.alive(), cache.len());
    drop(cache);
    assert_eq!(ledger.alive(), 0);
}

/// Collectors that meddle with what others retire, then the end: nothing may be left in between.
#[test]
fn a_cache_that_is_dropped_while_garbage_is_everywhere_frees_it() {
    for round in 0..scaled(2_000, 200) {
        let ledger = Ledger::new();
        let cache = SessionCache::new(10).unwrap();
        race(2, |thread| {
            for n in 0..100 {
                if thread == 0 {
                    drop(cache.add(ledger.session(n % 3)));
                } else {
                    cache.collect();
                }
            }
        });
        drop(cache);
        assert_eq!(ledger.alive(), 0, "in round {round}");
    }
}

#[test]
fn handles_outlive_the_cache_on_other_threads() {
    for _ in 0..scaled(300, 30) {
        let ledger = Ledger::new();
        let cache = SessionCache::new(100).unwrap();
        for n in 0..100 {
            store(&cache, ledger.session(n));
        }
        let handles: Vec<Session<Payload>> = cache.iter().collect();
        let (send, receive) = mpsc::channel::<Session<Payload>>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for (n, handle) in receive.iter().enumerate() {
                    assert!(handle.number() < 100, "read while the cache goes, handle {n}");
                }
            });
            for (n, handle) in handles.iter().enumerate() {
                send.send(handle.clone()).unwrap();
                if n == 50 {
                    drop(cache.take(&handle.id()));
                }
            }
            drop(cache);
            drop(send);
        });
        assert_eq!(ledger.alive(), 100);
        assert!(handles.iter().all(|handle| Session::handle_count(handle) == 1));
        drop(handles);
        assert_eq!(ledger.alive(), 0);
    }
}

/// Runs `f` on a thread that is gone afterwards. A scope alone does not wait for the end of
/// thread-local storage.
fn gone(f: impl FnOnce() + Send) {
    std::thread::scope(|scope| scope.spawn(f).join().expect("no panic"));
}

#[test]
fn a_thread_that_is_gone_leaves_nothing_behind_after_collect() {
    let ledger = Ledger::new();
    let cache = SessionCache::new(100).unwrap();
    for batch in 1..50 {
        gone(|| {
            for n in 0..batch {
                store(&cache, ledger.session(n));
                assert!(cache.remove_id(&id(n)));
            }
        });
        reclaim(&cache);
        assert_eq!((ledger.alive(), cache.stats().garbage.sessions), (0, 0), "a batch of {batch}");
    }
}

/// Without a collect too, as long as others work: what an exited thread retired goes by their
/// hands.
#[test]
fn what_a_gone_thread_left_is_freed_by_the_work_of_others() {
    let (ledger, others) = (Ledger::new(), Ledger::new());
    let cache = SessionCache::new(100).unwrap();
    // This thread has a part of its own, and does not take over what the other leaves.
    store(&cache, others.session(0));
    gone(|| {
        for n in 100..140 {
            store(&cache, ledger.session(n));
            assert!(cache.remove_id(&id(n)));
        }
    });
    for n in 0..20_000 {
        drop(cache.add(others.session(n % 10)));
    }
    assert_eq!(ledger.alive(), 0);
    assert!(others.alive() <= 1000, "{} are waiting", others.alive());
}

/// A payload may hold another cache, a thread's last act may be on a cache: both end well.
struct Nested(#[allow(dead_code, reason = "held")] SessionCache<Payload>);

#[test]
fn a_payload_may_own_a_cache() {
    let ledger = Ledger::new();
    let outer = SessionCache::new(5).unwrap();
    for n in 0..20 {
        let inner = SessionCache::new(10).unwrap();
        store(&inner, ledger.session(n));
        store(&outer, Session::new(id(n), Nested(inner)));
    }
    reclaim(&outer);
    assert_eq!(ledger.alive(), 5);
    drop(outer);
    assert_eq!(ledger.alive(), 0);
}

/// A payload that collects when it is dropped.
struct Collector(Weak<SessionCache<Collector>>);

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(cache) = self.0.upgrade() {
            cache.collect();
        }
    }
}

/// As deep as the backlog is no depth for a stack.
#[test]
fn payloads_that_collect_are_freed_without_recursion() {
    let cache = Arc::new(
        SessionCache::<Collector>::builder()
            .capacity(14)
            .garbage_limit(usize::MAX)
            .build()
            .unwrap(),
    );
    let stored = |n| Session::new(id(n), Collector(Arc::downgrade(&cache)));
    store(&cache, stored(1));
    cache.read(&id(1), |_| {
        for _ in 0..50_000 {
            store(&cache, stored(2));
        }
    });
    cache.collect();
    assert_eq!(cache.stats().garbage.sessions, 0);
}

/// A payload that tries, when an operation's own work frees it, whether this thread holds a guard:
/// under one, nothing is freed that leaves.
struct Prober {
    cache: Weak<SessionCache<Option<Prober>>>,
    tried: Arc<AtomicUsize>,
    freed: Arc<AtomicUsize>,
}

thread_local! {
    static IS_PROBING: Cell<bool> = const { Cell::new(false) };
}

impl Drop for Prober {
    fn drop(&mut self) {
        let Some(cache) = self.cache.upgrade() else { return };
        if IS_PROBING.replace(true) {
            return;
        }
        let bystander = Session::new(id(77), None);
        let left = cache.add(bystander.clone()).is_ok() && cache.remove_id(&id(77));
        reclaim(&cache);
        self.tried.fetch_add(1, Ordering::Relaxed);
        self.freed.fetch_add(
            usize::from(left && Session::handle_count(&bystander) == 1),
            Ordering::Relaxed,
        );
        IS_PROBING.set(false);
    }
}

#[test]
fn payloads_are_freed_after_the_guard() {
    let cache = Arc::new(SessionCache::new(100).unwrap());
    let (tried, freed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for n in 0..1000 {
        let prober = Prober {
            cache: Arc::downgrade(&cache),
            tried: Arc::clone(&tried),
            freed: Arc::clone(&freed),
        };
        store(&cache, Session::new(id(100 + n), Some(prober)));
        assert!(cache.remove_id(&id(100 + n)));
    }
    let (tried, freed) = (tried.load(Ordering::Relaxed), freed.load(Ordering::Relaxed));
    assert!(
        tried > 0 && freed == tried,
        "{tried} were freed by adds and removals, {freed} after the guard"
    );
}
