//! Memory: bounded whatever comes and goes. One test, because it measures the whole process.

use sessile::{Session, SessionCache};
use testkit::allocator::{ALL_SIZES, Probe, weigh};
use testkit::{id, reclaim, scaled, session, store};

#[global_allocator]
static ALLOCATOR: Probe = Probe;

/// By how many bytes the process has grown when `f` is through.
fn growth(f: impl FnOnce()) -> isize {
    weigh(ALL_SIZES, |grown| {
        f();
        grown()
    })
}

fn many_caches_come_and_go(count: u64) {
    for n in 0..count {
        let cache = SessionCache::new(100).unwrap();
        store(&cache, session(n));
        assert!(cache.remove_id(&id(n)));
    }
}

fn many_threads_come_and_go(cache: &SessionCache<u64>, count: u64) {
    for n in 0..count {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                for m in 0..20 {
                    store(cache, session(n * 20 + m));
                }
            });
            thread.join().unwrap();
        });
    }
    reclaim(cache);
}

#[test]
fn memory_stays_bounded() {
    many_caches_come_and_go(10);
    let grown = growth(|| many_caches_come_and_go(scaled(2000, 500)));
    assert!(grown < 100_000, "caches that are gone left {grown} bytes with the thread");

    let cache = SessionCache::new(100).unwrap();
    many_threads_come_and_go(&cache, 10);
    let grown = growth(|| many_threads_come_and_go(&cache, scaled(1000, 300)));
    assert!(grown < 100_000, "threads that are gone left {grown} bytes with the cache");

    let churn = |count: u64| (0..count).for_each(|n| store(&cache, session(n)));
    churn(10_000);
    let grown = growth(|| churn(scaled(1_000_000, 200_000)));
    assert!(grown < 200_000, "churn grew the process by {grown} bytes");

    let resize = |count: u64| {
        for round in 0..count {
            cache.set_capacity(1000 + round as usize % 7 * 1000).unwrap();
            churn(500);
        }
        cache.clear();
        cache.set_capacity(100).unwrap();
        reclaim(&cache);
    };
    resize(7);
    let grown = growth(|| resize(scaled(700, 70)));
    assert!(grown < 200_000, "resizing grew the process by {grown} bytes");

    let all = growth(|| drop(cache));
    assert!(all < 0, "what the cache had is given back");
    let sessions = |count: u64| drop((0..count).map(session).collect::<Vec<Session<u64>>>());
    let handles = growth(|| sessions(scaled(1_000_000, 100_000)));
    assert!(handles <= 3 << 20, "the slab keeps {handles} bytes for later");
    let handles = growth(|| {
        sessions(scaled(1_000_000, 100_000));
        drop(SessionCache::<u64>::new(1));
    });
    assert!(handles <= 0, "a cache that goes leaves {handles} bytes in the slab");
}
