//! Who goes is one of the old, also when threads overtake one another in the middle of a search for
//! a victim.

use sessile::{RemovalCause, Session, SessionCache};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::{id, race, scaled, store};

/// Sessions that are evicted before so many others have come after them count as young.
const YOUNG: u64 = 16;

/// The young among so many evictions.
fn young_victims(capacity: usize, threads: usize, adds: u64) -> (u64, u64) {
    let [next, young, all] = [(); 3].map(|()| Arc::new(AtomicU64::new(0)));
    let hook = {
        let (next, young, all) = (Arc::clone(&next), Arc::clone(&young), Arc::clone(&all));
        move |session: &Session<u64>, cause| {
            assert_eq!(cause, RemovalCause::Evicted);
            all.fetch_add(1, Ordering::Relaxed);
            let came_after = next.load(Ordering::Relaxed).saturating_sub(**session);
            young.fetch_add(u64::from(came_after < YOUNG), Ordering::Relaxed);
        }
    };
    let cache = SessionCache::builder().capacity(capacity).on_removed(hook).build().unwrap();
    race(threads, |_| {
        for _ in 0..adds {
            let n = next.fetch_add(1, Ordering::Relaxed);
            store(&cache, Session::new(id(n), n));
        }
    });
    (young.load(Ordering::Relaxed), all.load(Ordering::Relaxed))
}

#[test]
fn the_young_are_not_evicted() {
    let adds = scaled(400_000, 40_000);
    let shares = [64, 100, 200].map(|capacity| {
        let (alone, many) = (young_victims(capacity, 1, adds), young_victims(capacity, 6, adds));
        eprintln!("capacity {capacity}: young victims {alone:?} alone, {many:?} of six threads");
        (capacity, alone, many)
    });
    for (capacity, (young, _), (young_of_many, evicted)) in shares {
        assert_eq!(young, 0, "capacity {capacity}, one thread");
        assert!(
            young_of_many * 100_000 <= evicted,
            "capacity {capacity}: {young_of_many} of {evicted}"
        );
    }
}
