//! Many threads on one cache: what each is promised, and what nobody may ever see.

use sessile::{Added, RemovalCause, Session, SessionCache};
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use testkit::{
    Ledger, Payload, Rng, assert_whole, clocked, id, race, reclaim, scaled, session, store,
};

/// When each object was last seen to leave, on one clock for all threads. A lookup that began later
/// must not find it.
struct Departed {
    time: AtomicU64,
    gone_at: Vec<AtomicU64>,
}

impl Departed {
    fn new(objects: u64) -> Self {
        let gone_at = (0..objects).map(|_| AtomicU64::new(u64::MAX)).collect();
        Self { time: AtomicU64::new(1), gone_at }
    }

    fn now(&self) -> u64 {
        self.time.load(Ordering::SeqCst)
    }

    fn note(&self, object: u64) {
        let now = self.time.fetch_add(1, Ordering::SeqCst);
        self.gone_at[object as usize].store(now, Ordering::SeqCst);
    }

    fn assert_was_there(&self, object: u64, began: u64) {
        let gone_at = self.gone_at[object as usize].load(Ordering::SeqCst);
        assert!(
            gone_at >= began,
            "object {object} left at {gone_at}, and was found by a lookup from {began}"
        );
    }
}

fn nothing_comes_back(threads: usize, capacity: usize, sizes: &[usize], each: u64) {
    let cache = SessionCache::new(capacity).unwrap();
    let departed = Departed::new(threads as u64 * each);
    race(threads, |thread| {
        let mut random = Rng::with_seed(thread as u64);
        for round in 0..each {
            let key = id(random.u64(..8));
            let began = departed.now();
            match random.u64(..8) {
                0..=2 => match cache.add(Session::new(key, thread as u64 * each + round)) {
                    Ok(Added::Replaced(old)) => departed.note(*old),
                    Ok(Added::Inserted) => {}
                    other => panic!("{other:?}"),
                },
                3 => {
                    if let Some(taken) = cache.take(&key) {
                        departed.assert_was_there(*taken, began);
                        departed.note(*taken);
                    }
                }
                4 => {
                    if let Some(found) = cache.get(&key) {
                        departed.assert_was_there(*found, began);
                        if cache.remove(&found) {
                            departed.note(*found);
                        }
                    }
                }
                5 => drop(cache.read(&key, |found| departed.assert_was_there(**found, began))),
                6 => cache
                    .snapshot()
                    .iter()
                    .for_each(|found| departed.assert_was_there(**found, began)),
                _ => drop(cache.get(&key).map(|found| departed.assert_was_there(*found, began))),
            }
            if thread == 0 && !sizes.is_empty() && round % 20 == 0 {
                cache.set_capacity(sizes[round as usize / 20 % sizes.len()]).unwrap();
            }
        }
    });
    assert_whole(&cache);
}

#[test]
fn what_was_replaced_or_removed_is_never_seen_again() {
    for threads in [2, 4, 8] {
        nothing_comes_back(threads, 14, &[], scaled(80_000, 8_000) / threads as u64);
        nothing_comes_back(threads, 500, &[], scaled(80_000, 8_000) / threads as u64);
    }
}

#[test]
fn what_was_replaced_or_removed_is_never_seen_again_while_the_table_moves() {
    for threads in [2, 4, 8] {
        nothing_comes_back(
            threads,
            14,
            &[14, 100, 20, 400],
            scaled(60_000, 6_000) / threads as u64,
        );
    }
}

#[test]
fn what_one_thread_adds_another_takes_exactly_once() {
    let each = scaled(100_000, 10_000);
    let cache = SessionCache::new(5_000).unwrap();
    let (send, receive) = mpsc::sync_channel::<u64>(1000);
    std::thread::scope(|scope| {
        for producer in 0..2 {
            let (cache, send) = (&cache, send.clone());
            scope.spawn(move || {
                for n in 0..each {
                    let ticket = 2 * n + producer;
                    assert!(matches!(cache.add(session(ticket)), Ok(Added::Inserted)));
                    send.send(ticket).unwrap();
                }
            });
        }
        drop(send);
        for ticket in receive {
            assert_eq!(cache.take(&id(ticket)).map(|taken| *taken), Some(ticket));
            assert!(cache.take(&id(ticket)).is_none());
        }
    });
    assert_eq!((cache.len(), cache.stats().taken, cache.stats().evicted), (0, 2 * each, 0));
}

#[test]
fn fresh_and_resuming_threads_share_a_cache() {
    let ledger = Ledger::new();
    let cache = SessionCache::new(1000).unwrap();
    for n in 0..100 {
        store(&cache, ledger.session(n));
    }
    race(6, |thread| {
        let mut random = Rng::with_seed(thread as u64);
        for n in 0..scaled(50_000, 5_000) {
            match thread {
                0 | 1 => store(&cache, ledger.session(1000 + 2 * (n % 300) + thread as u64)),
                _ => {
                    let known = random.u64(..100);
                    assert_eq!(cache.get(&id(known)).map(|found| found.number()), Some(known));
                }
            }
        }
    });
    assert_eq!((cache.len(), cache.stats().evicted), (700, 0));
    assert_eq!(cache.stats().hits, 4 * scaled(50_000, 5_000));
    drop(cache);
    assert_eq!(ledger.alive(), 0);
}

#[test]
fn adds_cross_the_sweep_while_one_thread_hammers_what_has_expired() {
    let expired = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&expired);
    let (builder, clock) = clocked(2000);
    let cache = builder
        .on_removed(move |_: &Session<u64>, cause| {
            counter.fetch_add(usize::from(cause == RemovalCause::Expired), Ordering::Relaxed);
        })
        .build()
        .unwrap();
    for round in 0..scaled(40, 10) {
        for n in 0..50 {
            store(&cache, session(n));
        }
        clock.advance(7201);
        race(5, |thread| match thread {
            0 => (0..500).for_each(|n| assert!(cache.get(&id(n % 50)).is_none())),
            _ => (0..256).for_each(|n| {
                let fresh = (round * 5 + thread as u64) * 256 + n + 1000;
                store(&cache, session(fresh));
            }),
        });
        assert_eq!(expired.load(Ordering::Relaxed) as u64, cache.stats().expired);
        cache.clear();
        let stats = cache.stats();
        assert_eq!(stats.expired + stats.flushed, (50 + 4 * 256) * (round + 1), "each left once");
    }
    assert_whole(&cache);
}

#[test]
fn one_of_many_users_may_forbid_a_session_in_the_middle() {
    let cache = SessionCache::new(5).unwrap();
    for round in 0..scaled(3_000, 300) {
        for n in 0..5 {
            store(&cache, session(round * 5 + n));
        }
        let target = id(round * 5);
        let forbidden = AtomicBool::new(false);
        race(4, |thread| {
            if thread == 0 {
                if let Some(found) = cache.get(&target) {
                    found.set_not_resumable();
                }
                forbidden.store(true, Ordering::SeqCst);
            }
            for _ in 0..10 {
                let was_forbidden = forbidden.load(Ordering::SeqCst);
                let found = cache.get(&target).is_some();
                assert!(!(found && was_forbidden), "resumed after it was forbidden");
                assert!(cache.get(&id(round * 5 + 1)).is_some(), "the others still resume");
                assert!(cache.len() <= 5);
            }
        });
    }
    assert_whole(&cache);
}

#[test]
fn rounds_of_full_and_resumed_handshakes_stay_within_five() {
    for single_use in [false, true] {
        for tickets in [1, 2] {
            let cache = SessionCache::new(5).unwrap();
            let issue = |from: u64| (from..from + tickets).for_each(|n| store(&cache, session(n)));
            for round in 0..30 {
                issue(round * 100);
                for resumption in 0..2 {
                    let offered = id(round * 100 + resumption * 10);
                    let found = if single_use { cache.take(&offered) } else { cache.get(&offered) };
                    assert!(found.is_some(), "round {round}, resumption {resumption}");
                    issue(round * 100 + (resumption + 1) * 10);
                }
                assert!(cache.len() <= 5);
            }
            assert_whole(&cache);
        }
    }
}

#[test]
fn more_threads_than_any_table_has_numbers_for() {
    let cache = SessionCache::new(5_000).unwrap();
    let threads = 1100;
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        for thread in 0..threads as u64 {
            let (cache, barrier) = (&cache, &barrier);
            let builder = std::thread::Builder::new().stack_size(64 << 10);
            let run = move || {
                barrier.wait();
                for n in 0..3 {
                    while !cache.add(session(thread * 3 + n)).is_ok_and(|added| added.changed()) {}
                }
                let found = cache.get(&id(thread * 3)).is_some();
                barrier.wait();
                assert!(found);
            };
            builder.spawn_scoped(scope, run).unwrap();
        }
    });
    assert_eq!(cache.len(), 3 * threads);
    assert_whole(&cache);
}

struct Farewell(Arc<SessionCache<Payload>>, Arc<Ledger>);

impl Drop for Farewell {
    fn drop(&mut self) {
        for n in 0..100 {
            store(&self.0, self.1.session(n));
            assert!(self.0.get(&id(n)).is_some());
            assert!(n % 2 == 0 || self.0.remove_id(&id(n)));
        }
    }
}

thread_local! {
    static EARLY: RefCell<Option<Farewell>> = const { RefCell::new(None) };
    static LATE: RefCell<Option<Farewell>> = const { RefCell::new(None) };
}

/// Thread-local destructors run in an order of their own: before and after those of the cache.
#[test]
fn a_thread_may_use_the_cache_with_its_last_breath() {
    let ledger = Ledger::new();
    let cache = Arc::new(SessionCache::new(200).unwrap());
    for _ in 0..10 {
        let (early, late) = (Arc::clone(&cache), Arc::clone(&cache));
        let (ledger, cache) = (Arc::clone(&ledger), Arc::clone(&cache));
        let thread = std::thread::spawn(move || {
            EARLY.set(Some(Farewell(early, Arc::clone(&ledger))));
            assert!(cache.get(&id(7_777)).is_none());
            LATE.set(Some(Farewell(late, ledger)));
        });
        thread.join().unwrap();
    }
    assert_eq!(cache.len(), 50);
    reclaim(&cache);
    assert_eq!(ledger.alive(), 50);
    assert_whole(&cache);
    drop(Arc::into_inner(cache));
    assert_eq!(ledger.alive(), 0);
}
