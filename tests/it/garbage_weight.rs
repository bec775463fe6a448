//! Garbage by weight: replacements beside each other do not pass the limit together.

use sessile::{Rejection, Session, SessionCache};
use std::sync::mpsc;
use testkit::{id, race, scaled};

const MIB: usize = 1 << 20;
const LIMIT: usize = (20 << 20) + (64 << 10);
/// With the reader's, nine: less than half of the limit.
const KEYS: u64 = 8;

fn stalled<R>(cache: &SessionCache<u64>, work: impl FnOnce() -> R) -> R {
    let (entered, is_inside) = mpsc::channel();
    let (release, may_go) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            cache.read(&id(u64::MAX), |_| {
                entered.send(()).unwrap();
                let _ = may_go.recv();
            })
        });
        is_inside.recv().unwrap();
        let result = work();
        drop(release);
        assert!(reader.join().unwrap().is_some());
        result
    })
}

/// Threads that replace until they are refused; then everything is removed. Returns the most
/// garbage.
fn most_garbage(threads: usize, round: u64) -> u64 {
    let builder =
        SessionCache::builder().capacity(100).garbage_limit(LIMIT).weigher(|_: &Session<u64>| MIB);
    let cache = builder.build().unwrap();
    let add = |n: u64, payload| cache.add(Session::new(id(n), payload));
    assert!((0..KEYS).chain([u64::MAX]).all(|n| add(n, n).is_ok_and(|added| added.changed())));
    stalled(&cache, || {
        race(threads, |thread| {
            for n in 0.. {
                match add((thread as u64 + n * round) % KEYS, n) {
                    Ok(_) => assert!(n < 1000, "never refused"),
                    Err(rejected) => return assert_eq!(rejected.reason(), Rejection::Garbage),
                }
            }
        });
        let used = cache.stats().garbage.bytes;
        assert!(
            used + KEYS * MIB as u64 + 3 * MIB as u64 > LIMIT as u64,
            "the limit is used: {used}"
        );
        cache.clear();
        cache.stats().garbage.bytes
    })
}

#[test]
fn replacements_beside_each_other_keep_the_limit() {
    for round in 0..scaled(200, 20) {
        let most = most_garbage(8, round);
        assert!(most <= LIMIT as u64, "round {round}: {most} of {LIMIT}");
    }
}

#[test]
#[ignore = "minutes"]
fn many_replacements_beside_each_other_keep_the_limit() {
    let over =
        |threads| (0..3000).filter(|&round| most_garbage(threads, round) > LIMIT as u64).count();
    for threads in [8, 24] {
        println!("{threads} threads: over the limit in {} of 3000 rounds", over(threads));
    }
    assert_eq!(over(24), 0);
}
