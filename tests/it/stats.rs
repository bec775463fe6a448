//! Statistics: every counter counts its own event, and they add up.

use sessile::{Context, Garbage, Handshake, Session, SessionCache, Stats};
use std::time::Duration;
use testkit::{Rng, START, assert_whole, clocked, id, race, reclaim, scaled, session, store};

#[test]
fn a_new_cache_has_counted_nothing() {
    let cache = SessionCache::<u64>::new(10).unwrap();
    assert_eq!(cache.stats(), Stats::default());
}

/// Runs `event` and checks that exactly the counters named changed, by these amounts.
fn assert_counts(cache: &SessionCache<u64>, changes: &[(&str, i64)], event: impl FnOnce()) {
    let before = fields(&cache.stats());
    event();
    let after = fields(&cache.stats());
    for ((name, before), (_, after)) in before.into_iter().zip(after) {
        let expected = changes.iter().find(|change| change.0 == name).map_or(0, |change| change.1);
        assert_eq!(after as i64 - before as i64, expected, "{name}");
    }
}

fn fields(stats: &Stats) -> [(&'static str, u64); 22] {
    [
        ("number", stats.number),
        ("hits", stats.hits),
        ("misses", stats.misses),
        ("timeouts", stats.timeouts),
        ("context_misses", stats.context_misses),
        ("tier_hits", stats.tier_hits),
        ("cache_full", stats.cache_full),
        ("connect", stats.connect),
        ("connect_good", stats.connect_good),
        ("connect_renegotiate", stats.connect_renegotiate),
        ("accept", stats.accept),
        ("accept_good", stats.accept_good),
        ("accept_renegotiate", stats.accept_renegotiate),
        ("added", stats.added),
        ("replaced", stats.replaced),
        ("identical", stats.identical),
        ("rejected", stats.rejected),
        ("removed", stats.removed),
        ("taken", stats.taken),
        ("evicted", stats.evicted),
        ("expired", stats.expired),
        ("flushed", stats.flushed),
    ]
}

#[test]
fn each_event_moves_its_own_counters_only() {
    let (builder, clock) = clocked(2);
    let cache = builder.build().unwrap();
    let one = session(1);
    assert_counts(&cache, &[("added", 1), ("number", 1)], || store(&cache, one.clone()));
    assert_counts(&cache, &[("identical", 1)], || {
        assert!(!cache.add(one.clone()).is_ok_and(|added| added.changed()))
    });
    assert_counts(&cache, &[("replaced", 1)], || store(&cache, session(1)));
    assert_counts(&cache, &[("hits", 1)], || assert!(cache.get(&id(1)).is_some()));
    assert_counts(&cache, &[("hits", 1)], || assert!(cache.read(&id(1), |_| ()).is_some()));
    assert_counts(&cache, &[("misses", 1)], || assert!(cache.get(&id(9)).is_none()));
    assert_counts(&cache, &[("context_misses", 1)], || {
        assert!(cache.view(Context::from_bytes([1; 32])).get(&id(1)).is_none());
    });
    assert_counts(&cache, &[("hits", 1), ("taken", 1), ("number", -1)], || {
        assert!(cache.take(&id(1)).is_some());
    });
    assert!(
        cache.add(session(2)).is_ok_and(|added| added.changed())
            && cache.add(session(3)).is_ok_and(|added| added.changed())
    );
    assert_counts(&cache, &[("added", 1), ("evicted", 1), ("cache_full", 1)], || {
        store(&cache, session(4));
    });
    assert_counts(&cache, &[("removed", 1), ("number", -1)], || assert!(cache.remove_id(&id(4))));
    assert_counts(&cache, &[], || assert!(!cache.remove_id(&id(4))));
    assert_counts(&cache, &[], || assert!(!cache.remove(&one)));
    assert_counts(&cache, &[("rejected", 1)], || {
        assert!(!cache.add(one.clone()).is_ok_and(|added| added.changed()))
    });
    let brief = Session::<u64>::builder(id(5)).timeout(Duration::from_secs(1)).build(5);
    store(&cache, brief);
    clock.advance(2);
    assert_counts(&cache, &[("timeouts", 1), ("expired", 1), ("number", -1)], || {
        assert!(cache.get(&id(5)).is_none());
    });
    assert_counts(&cache, &[("flushed", 1), ("number", -1)], || assert_eq!(cache.clear(), 1));
    assert_counts(&cache, &[], || assert_eq!(cache.flush_expired_at(START + 99_999), 0));
    assert_eq!(cache.stats().drop_panics, 0);
    assert_whole(&cache);
}

#[test]
fn handshakes_are_counted_as_recorded() {
    let cache = SessionCache::<u64>::new(10).unwrap();
    let events = [
        ("connect", Handshake::Connect),
        ("connect_good", Handshake::ConnectGood),
        ("connect_renegotiate", Handshake::ConnectRenegotiate),
        ("accept", Handshake::Accept),
        ("accept_good", Handshake::AcceptGood),
        ("accept_renegotiate", Handshake::AcceptRenegotiate),
    ];
    for (times, (name, event)) in events.into_iter().enumerate() {
        assert_counts(&cache, &[(name, times as i64 + 1)], || {
            (0..=times).for_each(|_| cache.record(event));
        });
    }
}

#[test]
fn a_lookup_is_a_hit_a_miss_a_timeout_or_a_context_miss() {
    let (builder, clock) = clocked(40);
    let cache = builder.build().unwrap();
    let contexts = [Context::NONE, Context::from_bytes([1; 32])];
    let mut random = Rng::with_seed(5);
    let mut lookups = 0;
    for _ in 0..scaled(100_000, 10_000) {
        let n = random.u64(..100);
        let view = cache.view(contexts[random.u64(..2) as usize]);
        match random.u64(..6) {
            0 | 1 => {
                let one = Session::<u64>::builder(id(n)).context(view.context());
                let one = one.timeout(Duration::from_secs(random.u64(..50))).build(n);
                assert!(view.add(one).is_ok_and(|added| added.changed()));
            }
            2 => clock.advance(random.u64(..5)),
            which => {
                lookups += 1;
                match which {
                    3 => drop(view.get(&id(n))),
                    4 => drop(view.read(&id(n), |_| ())),
                    _ => drop(view.take(&id(n))),
                }
            }
        }
    }
    let stats = cache.stats();
    assert_eq!(stats.hits + stats.misses + stats.timeouts + stats.context_misses, lookups);
    assert!(
        [stats.hits, stats.misses, stats.timeouts, stats.context_misses].iter().all(|n| *n > 100)
    );
    assert_whole(&cache);
}

#[test]
fn what_threads_counted_is_kept_when_they_are_gone() {
    let cache = SessionCache::new(1000).unwrap();
    for n in 0..500 {
        store(&cache, session(n));
    }
    let each = scaled(100_000, 10_000);
    for _ in 0..3 {
        race(4, |thread| {
            for lookup in 0..each {
                assert_eq!(cache.get(&id(lookup % 1000)).is_some(), lookup % 1000 < 500);
            }
            cache.record(if thread % 2 == 0 { Handshake::Accept } else { Handshake::AcceptGood });
        });
    }
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (6 * each, 6 * each));
    assert_eq!((stats.accept, stats.accept_good), (6, 6));
}

#[test]
fn garbage_is_what_was_retired_and_not_yet_freed() {
    let cache = SessionCache::new(100).unwrap();
    let kept: Vec<_> = (0..50).map(session).collect();
    for one in &kept {
        store(&cache, one.clone());
    }
    assert_eq!(cache.stats().garbage, Garbage::default());
    assert_eq!(cache.clear(), 50);
    let garbage = cache.stats().garbage;
    assert!(garbage.sessions <= 50 && garbage.bytes >= garbage.sessions * 8);
    let held: usize = kept.iter().map(|one| Session::handle_count(one) - 1).sum();
    assert_eq!(held as u64, garbage.sessions, "each retirement still holds its count");
    reclaim(&cache);
    assert_eq!(cache.stats().garbage, Garbage::default());
    assert!(kept.iter().all(|one| Session::handle_count(one) == 1));
}

#[test]
fn statistics_never_lie_about_the_bound_while_others_work() {
    let cache = SessionCache::new(30).unwrap();
    testkit::watched(
        || {
            let stats = cache.stats();
            assert!(stats.number <= 30);
            assert_eq!(stats.evicted, stats.cache_full);
        },
        || {
            race(3, |thread| {
                let mut random = Rng::with_seed(thread as u64);
                for _ in 0..scaled(100_000, 10_000) {
                    let n = random.u64(..100);
                    if random.u64(..3) == 0 {
                        drop(cache.take(&id(n)))
                    } else {
                        drop(cache.add(session(n)))
                    }
                }
            })
        },
    );
    assert_whole(&cache);
}

#[test]
fn a_full_cache_is_counted_by_each_thread_that_found_it_full() {
    let cache = SessionCache::new(1).unwrap();
    let add = |n| store(&cache, session(n));
    // This thread has a part of its own, and does not take over that of the other.
    add(0);
    std::thread::scope(|scope| scope.spawn(|| (1..4).for_each(add)).join().expect("no panic"));
    add(4);
    assert_eq!((cache.stats().cache_full, cache.stats().evicted), (4, 4));
}
