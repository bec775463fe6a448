//! Garbage: what a stalled reader holds back is bounded, and everything but such adds goes on.

use sessile::{Added, Garbage, Rejection, Secret, Session, SessionBuilder, SessionCache};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use testkit::{assert_whole, id, reclaim, scaled, store, watched};

/// About a kilobyte.
type Block = [u64; 128];

fn block(n: u64) -> Session<Block> {
    Session::new(id(n), [n; 128])
}

const LIMIT: usize = 1 << 20;

fn limited(capacity: usize) -> SessionCache<Block> {
    let cache = SessionCache::builder().capacity(capacity).garbage_limit(LIMIT).build().unwrap();
    store(&cache, block(u64::MAX));
    cache
}

/// Runs `work` while another thread is stalled inside `read`.
fn while_a_reader_stalls<R>(cache: &SessionCache<Block>, work: impl FnOnce() -> R) -> R {
    let (entered, is_inside) = mpsc::channel();
    let (release, may_go) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let seen = cache.read(&id(u64::MAX), |session| {
                entered.send(()).unwrap();
                // The end of the channel, however it comes, ends the stall.
                let _ = may_go.recv();
                session[127]
            });
            assert_eq!(seen, Some(u64::MAX), "what is read stays whole");
        });
        is_inside.recv().unwrap();
        let result = work();
        drop(release);
        // A scope alone does not wait for the end of the thread's storage, which may hold a guard
        // for a moment.
        reader.join().expect("the reader ends well");
        result
    })
}

/// Replaces one key until it is refused; returns how often it was not.
fn replace_until_refused(cache: &SessionCache<Block>) -> u64 {
    for n in 0..1_000_000 {
        match cache.add(block(1)) {
            Err(rejected) => {
                assert_eq!(rejected.reason(), Rejection::Garbage);
                return n;
            }
            added => assert!(added.is_ok_and(|added| added.changed())),
        }
        assert!(cache.stats().garbage.bytes <= LIMIT as u64, "{:?}", cache.stats().garbage);
    }
    panic!("never refused");
}

#[test]
fn a_stalled_reader_costs_lost_adds_and_not_memory() {
    let cache = limited(10);
    while_a_reader_stalls(&cache, || {
        let accepted = replace_until_refused(&cache);
        let held = accepted * size_of::<Block>() as u64;
        assert!(
            held >= LIMIT as u64 / 2,
            "the limit is used before adds are refused: {held} bytes"
        );
        let rejected = cache.stats().rejected;
        for n in 0..1000 {
            assert!(
                matches!(cache.add(block(1)), Err(rejected) if rejected.reason() == Rejection::Garbage),
                "attempt {n}"
            );
        }
        assert_eq!(cache.stats().rejected - rejected, 1000);
        assert!(cache.stats().garbage.bytes <= LIMIT as u64);
        assert_eq!(cache.get(&id(1)).unwrap()[0], 1, "what was stored is still stored");
    });
    assert_whole(&cache);
}

/// A closure in `read` may take any time: adds that it holds up are refused at once.
#[test]
fn a_reader_is_not_waited_for() {
    let cache = limited(10);
    while_a_reader_stalls(&cache, || {
        replace_until_refused(&cache);
        let refused_in = || {
            let begin = Instant::now();
            assert!(cache.add(block(1)).is_err());
            begin.elapsed()
        };
        let fastest = (0..5).map(|_| refused_in()).min().unwrap();
        assert!(fastest < Duration::from_millis(50), "refused after {fastest:?}");
    });
}

#[test]
fn evictions_are_refused_like_replacements() {
    for capacity in [10, 1000] {
        let cache = limited(capacity);
        while_a_reader_stalls(&cache, || {
            let mut last = None;
            for n in 0..1_000_000 {
                match cache.add(block(n)) {
                    Ok(Added::Inserted) => last = Some(n),
                    other => {
                        assert!(
                            matches!(other, Err(rejected) if rejected.reason() == Rejection::Garbage)
                        );
                        break;
                    }
                }
                assert!(cache.stats().garbage.bytes <= LIMIT as u64);
            }
            assert!(cache.get(&id(last.unwrap())).is_some());
            assert!(cache.get(&id(last.unwrap() + 1)).is_none(), "the refused one is not stored");
            assert!(cache.len() <= capacity);
        });
        assert_whole(&cache);
    }
}

#[test]
fn lookups_takes_and_removals_go_on_within_the_limit() {
    let cache = limited(1000);
    for n in 100..400 {
        store(&cache, block(n));
    }
    while_a_reader_stalls(&cache, || {
        replace_until_refused(&cache);
        for n in 100..200 {
            assert_eq!(cache.read(&id(n), |found| found[5]), Some(n));
            assert_eq!(cache.take(&id(n)).unwrap()[7], n);
            assert!(cache.remove_id(&id(n + 100)));
            assert!(cache.get(&id(n + 200)).is_some_and(|found| cache.remove(&found)));
        }
        assert_eq!(cache.len(), 2);
        assert!(
            matches!(cache.add(block(500)), Err(rejected) if rejected.reason() == Rejection::Garbage),
            "it could be removed too"
        );
        assert_eq!(cache.clear(), 2);
        assert!(cache.stats().garbage.bytes <= LIMIT as u64);
    });
    assert_whole(&cache);
}

/// Adds that find room retire nothing themselves; what is then taken does.
#[test]
fn adds_and_takes_in_turns_keep_the_limit() {
    let cache = limited(100);
    while_a_reader_stalls(&cache, || {
        let mut refused = 0;
        for n in 0..10_000 {
            match cache.add(block(n)) {
                Ok(Added::Inserted) => assert_eq!(cache.take(&id(n)).unwrap()[0], n),
                other => {
                    assert!(
                        matches!(other, Err(rejected) if rejected.reason() == Rejection::Garbage)
                    );
                    refused += 1;
                }
            }
            assert!(cache.stats().garbage.bytes <= LIMIT as u64);
        }
        assert!((5_000..10_000).contains(&refused), "refused {refused} of 10 000");
    });
    assert_whole(&cache);
}

/// More is stored than half of the limit: half of the limit is there to be used, and what is stored
/// comes on top, once.
#[test]
fn a_cache_larger_than_the_limit_works_within_half_of_it() {
    let cache = limited(2000);
    for n in 0..1999 {
        store(&cache, block(n));
    }
    while_a_reader_stalls(&cache, || {
        assert!(replace_until_refused(&cache) > 300, "half of the limit can be used");
        // The last add that was let in retired one more.
        // A block of 1152 bytes takes 20 lines.
        let stored = ((cache.len() + 1) * 1280) as u64;
        assert_eq!(cache.clear(), 2000);
        assert!(cache.stats().garbage.bytes <= LIMIT as u64 / 2 + stored);
    });
    assert_whole(&cache);
}

#[test]
fn after_the_stall_adds_work_again() {
    let cache = limited(10);
    while_a_reader_stalls(&cache, || replace_until_refused(&cache));
    // Each refused add works the backlog off a little; no collect is needed.
    let refused =
        (0..1000).take_while(|_| !cache.add(block(1)).is_ok_and(|added| added.changed())).count();
    assert!(refused < 200, "refused {refused} times after the stall");
    for _ in 0..scaled(20_000, 5_000) {
        store(&cache, block(1));
    }
    assert!(cache.stats().garbage.bytes <= LIMIT as u64);
    reclaim(&cache);
    assert_eq!(cache.stats().garbage, Garbage::default());
}

#[test]
fn collect_after_the_stall_frees_everything() {
    let cache = limited(10);
    while_a_reader_stalls(&cache, || {
        replace_until_refused(&cache);
        let before = cache.stats().garbage;
        cache.collect();
        assert!(
            cache.stats().garbage.sessions > before.sessions / 2,
            "not under the reader's feet"
        );
    });
    reclaim(&cache);
    assert_eq!(cache.stats().garbage, Garbage::default());
    store(&cache, block(1));
}

#[test]
fn one_collect_frees_any_amount() {
    let builder = SessionCache::builder().capacity(10).garbage_limit(usize::MAX);
    let cache: SessionCache<Block> = builder.build().unwrap();
    store(&cache, block(u64::MAX));
    while_a_reader_stalls(&cache, || {
        for _ in 0..10_000 {
            store(&cache, block(1));
        }
        assert!(cache.stats().garbage.sessions > 9_000);
    });
    cache.collect();
    assert_eq!(cache.stats().garbage, Garbage::default());
}

/// Threads that churn together keep the bound at every moment.
#[test]
fn many_threads_together_keep_the_bound() {
    let cache = limited(14);
    let refused = AtomicBool::new(false);
    watched(
        || {
            let garbage = cache.stats().garbage;
            assert!(garbage.bytes <= LIMIT as u64, "{garbage:?}");
        },
        || {
            while_a_reader_stalls(&cache, || {
                testkit::race(4, |thread| {
                    for n in 0..scaled(20_000, 4_000) {
                        match cache.add(block(n % 10 + 10 * thread as u64)) {
                            Err(rejected) => {
                                assert_eq!(rejected.reason(), Rejection::Garbage);
                                refused.store(true, Ordering::Relaxed);
                            }
                            added => assert!(added.is_ok_and(|added| added.changed())),
                        }
                    }
                });
            });
        },
    );
    assert!(refused.into_inner());
    reclaim(&cache);
    assert_eq!(cache.stats().garbage, Garbage::default());
    assert_whole(&cache);
}

#[test]
fn without_a_stall_garbage_stays_small() {
    let cache = SessionCache::new(100).unwrap();
    let mut most = 0;
    for n in 0..scaled(100_000, 20_000) {
        store(&cache, block(n));
        most = most.max(cache.stats().garbage.sessions);
    }
    assert!(most <= 1000, "{most} sessions waited at one time");
}

/// The weight that a weigher reports counts as garbage too.
#[test]
fn the_weight_of_what_is_retired_counts() {
    let builder = SessionCache::builder().capacity(10).weigher(|_: &Session<u64>| 100_000);
    let cache = builder.garbage_limit(100 << 20).build().unwrap();
    for n in 0..50 {
        store(&cache, Session::new(id(1), n));
    }
    let garbage = cache.stats().garbage;
    assert!(garbage.bytes >= garbage.sessions * 100_000 && garbage.sessions > 0, "{garbage:?}");
}

#[test]
fn what_lies_behind_a_session_is_garbage_too() {
    let cache = SessionCache::<Secret>::new(10).unwrap();
    for (n, length) in [(1, 10), (2, 1000), (3, 16_000), (4, 20_000)] {
        let session = SessionBuilder::new(id(n)).build_bytes(&vec![7; length]);
        store(&cache, session);
    }
    cache.collect();
    let before = cache.stats().garbage.bytes;
    assert_eq!(before, 0);
    (1..=4).for_each(|n| assert!(cache.remove_id(&id(n))));
    // A secret in pages of its own is not counted.
    assert_eq!(cache.stats().garbage.bytes, 192 + 1280 + 16_384 + 192);
}

/// What lies behind the blocks counts as stored, too: it is garbage when all are removed.
#[test]
fn secrets_of_any_length_keep_the_limit() {
    let limit = 4 << 20;
    let cache =
        SessionCache::<Secret>::builder().capacity(400).garbage_limit(limit).build().unwrap();
    let add = |n: u64| cache.add(SessionBuilder::new(id(n)).build_bytes(&[7; 8000]));
    (0..250).for_each(|n| assert!(add(n).is_ok()));
    cache.collect();
    let (entered, is_inside) = mpsc::channel();
    let (release, may_go) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let cache = &cache;
        scope.spawn(move || {
            cache.read(&id(0), |_| {
                entered.send(()).unwrap();
                let _ = may_go.recv();
            });
        });
        is_inside.recv().unwrap();
        let replaced = (0..10_000).take_while(|n| add(1 + n % 200).is_ok()).count();
        assert!((100..5_000).contains(&replaced), "{replaced} were replaced");
        assert_eq!(cache.clear(), 250);
        let garbage = cache.stats().garbage;
        assert!(garbage.bytes <= limit as u64, "{garbage:?}");
        drop(release);
    });
    assert_whole(&cache);
}
