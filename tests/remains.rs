//! What stays of caches that are gone, beside threads that live on, and of threads that are gone,
//! beside a reader that stays. One test, because it measures the whole process.

use sessile::SessionCache;
use std::sync::{Barrier, mpsc};
use testkit::allocator::{ALL_SIZES, Probe, weigh};
use testkit::{id, scaled, session, store};

#[global_allocator]
static ALLOCATOR: Probe = Probe;

/// Lets `threads` use what `make` makes, drops it, and returns by how many bytes the process has
/// grown while they live on.
fn left_by(threads: usize, make: impl Fn() -> Vec<SessionCache<u64>>) -> isize {
    let step = Barrier::new(threads + 1);
    let other = SessionCache::<u64>::new(100).unwrap();
    let caches = std::sync::RwLock::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..threads as u64 {
            let (step, caches, other) = (&step, &caches, &other);
            scope.spawn(move || {
                assert!(other.get(&id(thread)).is_none());
                step.wait();
                step.wait();
                for cache in caches.read().unwrap().iter() {
                    for n in 0..200 {
                        let n = thread * 1000 + n;
                        store(cache, session(n));
                        drop((n % 3 > 0).then(|| cache.take(&id(n))));
                    }
                }
                step.wait();
                step.wait();
            });
        }
        step.wait();
        let left = weigh(ALL_SIZES, |left| {
            *caches.write().unwrap() = make();
            step.wait();
            step.wait();
            let used = std::mem::take(&mut *caches.write().unwrap());
            used.iter().for_each(|cache| cache.set_capacity(1000).unwrap());
            drop(used);
            left()
        });
        step.wait();
        left
    })
}

/// By how many bytes the process grows when threads use a cache and exit, one after the other,
/// beside a reader that stays.
fn left_beside_a_reader(threads: u64) -> isize {
    let cache = SessionCache::new(1000).unwrap();
    (0..100).for_each(|n| store(&cache, session(n)));
    let (entered, is_inside) = mpsc::channel();
    let (release, may_go) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let cache = &cache;
        let reader = scope.spawn(move || {
            cache.read(&id(1), |_| {
                entered.send(()).unwrap();
                let _ = may_go.recv();
            });
        });
        is_inside.recv().unwrap();
        let left = weigh(ALL_SIZES, |left| {
            for _ in 0..threads {
                // A scope does not wait for the end of the thread's storage, a join does.
                let visit = scope.spawn(|| assert!(cache.get(&id(2)).is_some()));
                visit.join().unwrap();
            }
            left()
        });
        drop(release);
        reader.join().unwrap();
        left
    })
}

/// What one thread has of a cache while both live.
fn per_cache_and_thread() -> isize {
    let caches: Vec<SessionCache<u64>> = (0..100).map(|_| SessionCache::new(10).unwrap()).collect();
    let use_all = || caches.iter().for_each(|cache| assert!(cache.get(&id(1)).is_none()));
    use_all();
    let grown = weigh(ALL_SIZES, |grown| {
        let use_and_tell = || {
            use_all();
            grown()
        };
        std::thread::scope(|scope| scope.spawn(use_and_tell).join().unwrap())
    });
    grown / caches.len() as isize
}

#[test]
fn next_to_nothing_remains() {
    let capacity = scaled(8_000_000, 1_000_000) as usize;
    // What the process has for itself from now on.
    left_by(1, || vec![SessionCache::new(100).unwrap()]);
    let large = left_by(4, || vec![SessionCache::new(capacity).unwrap()]);
    println!("a large cache that four threads used leaves {large} bytes");
    assert!(large <= 4 * 40, "{large} bytes stay of a large cache");

    let count = scaled(2000, 200) as isize;
    let many = left_by(8, || (0..count).map(|_| SessionCache::new(100).unwrap()).collect());
    println!("{count} caches that eight threads used leave {many} bytes");
    assert!(many <= count * 8 * 80, "{many} bytes stay of {count} caches");

    let threads = scaled(10_000, 1_000);
    let left = left_beside_a_reader(threads);
    println!("{threads} threads that exited beside a reader leave {left} bytes");
    assert!(left < 1 << 20, "{left} bytes stay of {threads} threads");

    println!("a thread has {} bytes in each cache it uses", per_cache_and_thread());
}
