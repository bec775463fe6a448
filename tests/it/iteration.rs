//! Looking at all sessions: every one that stays is shown once, none twice.

use sessile::{Context, Session, SessionCache};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use testkit::{
    End, Own, Rng, assert_whole, clocked, id, numbers, race, reclaim, scaled, session, store,
    watched,
};

#[test]
fn every_session_is_shown_once() {
    for capacity in [1, 14, 15, 100, 5000] {
        let cache = SessionCache::new(capacity).unwrap();
        assert!(cache.snapshot().is_empty() && cache.iter().next().is_none());
        let stored: Vec<u64> =
            (0..capacity as u64).inspect(|&n| store(&cache, session(n))).collect();
        let shown = numbers(&cache);
        assert_eq!(shown.len(), cache.len());
        assert!(shown.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(shown.iter().all(|n| stored.contains(n)));
        let snapshot: HashMap<u64, Session<u64>> =
            cache.snapshot().into_iter().map(|one| (*one, one)).collect();
        assert!(snapshot.iter().all(|(n, one)| Session::ptr_eq(one, &cache.get(&id(*n)).unwrap())));
    }
}

/// Walks go through the table a few buckets at a time; every number of buckets must end well.
#[test]
fn a_walk_reaches_every_bucket_of_a_table_of_any_size() {
    for capacity in 1..200 {
        let cache = SessionCache::new(capacity).unwrap();
        for n in 0..2 * capacity as u64 {
            store(&cache, session(n));
        }
        assert_eq!(cache.snapshot().len(), cache.len());
        assert_eq!(cache.clear() as u64, cache.stats().flushed);
        assert!(cache.is_empty() && cache.snapshot().is_empty(), "capacity {capacity}");
        assert_whole(&cache);
    }
}

#[test]
fn an_expired_session_is_shown_until_it_goes() {
    let (builder, clock) = clocked(10);
    let cache = builder.build().unwrap();
    store(&cache, session(1));
    clock.advance(100_000);
    assert_eq!(numbers(&cache), [1]);
    assert!(cache.get(&id(1)).is_none());
    assert!(numbers(&cache).is_empty());
}

#[test]
fn looking_is_neither_a_use_nor_a_lookup() {
    let cache = SessionCache::new(3).unwrap();
    for n in 0..3 {
        store(&cache, session(n));
    }
    let before = cache.stats();
    assert_eq!(cache.iter().count(), 3);
    assert_eq!(cache.stats(), before);
    store(&cache, session(3));
    assert_eq!(numbers(&cache), [1, 2, 3]);
}

#[test]
fn a_snapshot_keeps_its_sessions_after_the_cache_is_gone() {
    let cache = SessionCache::new(100).unwrap();
    for n in 0..100 {
        store(&cache, session(n));
    }
    let (snapshot, iterator) = (cache.snapshot(), cache.iter());
    assert_eq!(cache.clear(), 100);
    drop(cache);
    assert_eq!(snapshot.iter().map(|one| **one).sum::<u64>(), 4950);
    assert_eq!(iterator.map(|one| *one).sum::<u64>(), 4950);
    assert!(snapshot.iter().all(|one| Session::handle_count(one) == 1));
}

/// A peek shows what is stored, expired, refused or of the future, and changes nothing.
#[test]
fn a_peek_has_no_effect() {
    let (builder, clock) = clocked(14);
    let asked = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&asked);
    let builder = builder.on_miss(move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        None
    });
    let cache = builder.build().unwrap();
    (0..14).for_each(|n| store(&cache, session(n)));
    cache.get(&id(5)).unwrap().set_not_resumable();
    clock.advance(100_000);
    let before = cache.stats();
    assert!((0..14).all(|n| cache.peek(&id(n)).is_some_and(|one| *one == n)));
    assert!(cache.peek(&id(14)).is_none());
    let web = cache.view(Context::from_bytes([1; 32]));
    assert!(web.peek(&id(0)).is_none(), "another context's");
    assert!(cache.view(Context::NONE).peek(&id(0)).is_some());
    assert_eq!((cache.stats(), asked.load(Ordering::Relaxed)), (before, 0));
    assert!(cache.get(&id(0)).is_none(), "a lookup sees that it is expired");
    assert!(cache.peek(&id(0)).is_none(), "and has removed it");
    assert_whole(&cache);
}

/// A session that was peeked at is no younger.
#[test]
fn a_peek_is_no_use() {
    let cache = SessionCache::new(14).unwrap();
    (0..14).for_each(|n| store(&cache, session(n)));
    assert!(cache.peek(&id(0)).is_some());
    store(&cache, session(14));
    assert!(cache.peek(&id(0)).is_none());
}

const STABLE: u64 = 400;

/// Shows the stable sessions exactly once, whatever else goes on.
fn assert_shows_the_stable(cache: &SessionCache<u64>) {
    let shown = numbers(cache);
    let mut stable: Vec<u64> = shown.into_iter().filter(|n| *n < STABLE).collect();
    let shown_stable = stable.len();
    let missing: Vec<u64> = (0..STABLE).filter(|n| stable.binary_search(n).is_err()).collect();
    assert!(missing.is_empty(), "stored all the time and not shown: {missing:?}");
    stable.dedup();
    assert_eq!(stable.len(), shown_stable, "a key was shown twice");
    let all = cache.snapshot();
    let mut objects: Vec<*const u64> =
        all.iter().map(|one| std::ptr::from_ref::<u64>(one)).collect();
    objects.sort_unstable();
    objects.dedup();
    assert_eq!(objects.len(), all.len(), "an object was shown twice");
}

fn churn(cache: &SessionCache<u64>, seed: u64, operations: u64) {
    let mut random = Rng::with_seed(seed);
    for _ in 0..operations {
        let n = STABLE + random.u64(..150);
        match random.u64(..4) {
            0 | 1 => store(cache, session(n)),
            2 => drop(cache.take(&id(n))),
            _ => assert!(
                cache.get(&id(random.u64(..STABLE))).is_some(),
                "a stable session is always found"
            ),
        }
    }
}

fn with_stable_sessions(capacity: usize) -> SessionCache<u64> {
    let cache = SessionCache::new(capacity).unwrap();
    for n in 0..STABLE {
        store(&cache, session(n));
    }
    cache
}

#[test]
fn what_stays_is_shown_while_others_come_and_go() {
    let cache = with_stable_sessions(2000);
    watched(
        || assert_shows_the_stable(&cache),
        || race(2, |thread| churn(&cache, thread as u64, scaled(300_000, 30_000))),
    );
    assert_eq!(cache.stats().evicted, 0);
    assert_whole(&cache);
}

#[test]
fn what_stays_is_shown_while_the_table_moves() {
    let cache = with_stable_sessions(2000);
    watched(
        || assert_shows_the_stable(&cache),
        || {
            race(3, |thread| match thread {
                0 => (0..scaled(3000, 300)).for_each(|round| {
                    cache.set_capacity(if round % 2 == 0 { 3000 } else { 2000 }).unwrap();
                }),
                _ => churn(&cache, thread as u64, scaled(200_000, 20_000)),
            })
        },
    );
    assert_eq!(cache.stats().evicted, 0);
    assert_whole(&cache);
}

/// What was stored before a clear began is gone when it returns, also when the table moves
/// meanwhile.
#[test]
fn a_clear_leaves_nothing_behind_while_the_table_moves() {
    let cache = SessionCache::new(2000).unwrap();
    let rounds = scaled(1500, 150);
    let done = std::sync::atomic::AtomicBool::new(false);
    race(3, |thread| {
        if thread == 0 {
            let _end = End(&done);
            for round in 0..rounds {
                for n in 0..300 {
                    store(&cache, session(n));
                }
                cache.clear();
                let left = (0..300).filter(|&n| cache.get(&id(n)).is_some()).count();
                assert_eq!(left, 0, "in round {round}");
            }
        }
        let mut round = thread;
        while !done.load(std::sync::atomic::Ordering::Acquire) {
            cache.set_capacity([2000, 2500, 3000][round % 3]).unwrap();
            round += 1;
        }
    });
    assert!(cache.is_empty());
    reclaim(&cache);
    assert_whole(&cache);
}

/// A hook resizes the cache in the middle of a walk: it begins anew in the table that holds
/// everything now.
#[test]
fn a_clear_whose_hook_resizes_leaves_nothing_behind() {
    for (from, to) in [(200, 20_000), (2000, 200)] {
        let own = Own::default();
        let (named, is_due) = (own.clone(), AtomicBool::new(true));
        let resize = move |_: &Session<u64>, _| {
            if is_due.swap(false, Ordering::Relaxed) {
                named.cache().set_capacity(to).unwrap();
            }
        };
        let cache =
            own.is(SessionCache::builder().capacity(from).on_removed(resize).build().unwrap());
        (0..190).for_each(|n| store(&cache, session(n)));
        assert_eq!(cache.clear(), 190);
        assert!(cache.is_empty());
        assert_whole(&cache);
    }
}
