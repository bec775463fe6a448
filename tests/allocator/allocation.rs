//! Allocation failure: what can be refused is refused whole, and adds do not allocate.
//!
//! The allocator of this test refuses what the thread asks for, by number or by size. Out of reach,
//! because the code below us aborts instead of reporting (`handle_alloc_error`):
//! - crossbeam-epoch, when it registers a thread (first use of a cache by a thread) and when it
//!   seals a bag (once in 64 retirements, in `collect`, and for each stray);
//! - the small boxes around a table, the cache's own `Arc`s, and the vectors of `snapshot`,
//!   `set_capacity` and of departures that a removal hook wants to see.
//!
//! So each test warms the thread up first, and refuses either large blocks or everything between
//! two seals.

use sessile::{Added, BuildError, Capacity, Rejection, Session, SessionBuilder, SessionCache};
use std::sync::{Mutex, PoisonError};
use testkit::allocator::{allocations, refusing};
use testkit::{Ledger, assert_whole, id, id_of, numbers, reclaim, session, store};

/// A cache that this thread has used, with nothing waiting.
fn warm(capacity: usize) -> SessionCache<u64> {
    let cache = SessionCache::new(capacity).unwrap();
    for n in 0..2 * capacity as u64 + 1000 {
        store(&cache, session(n));
    }
    reclaim(&cache);
    cache
}

/// Held by tests that need the slab to be without free blocks of one size.
static EMPTY_SLAB: Mutex<()> = Mutex::new(());

#[test]
fn a_session_that_finds_no_memory_gives_the_payload_back() {
    let _alone = EMPTY_SLAB.lock().unwrap_or_else(PoisonError::into_inner);
    let ledger = Ledger::new();
    let builder = Session::<testkit::Payload>::builder(id(1));
    // Until the slab has no free block that it could give.
    let mut held = Vec::with_capacity(100_000);
    let payload = loop {
        let payload = ledger.payload(7);
        match refusing(0, 0, || builder.clone().try_build(payload)) {
            Ok(one) => held.push(one),
            Err(payload) => break payload,
        }
    };
    assert_eq!((payload.number(), ledger.alive()), (7, held.len() + 1));
    let session = builder.try_build(payload).expect("there is memory again");
    assert_eq!((session.number(), Session::handle_count(&session)), (7, 1));
    drop((session, held));
    assert_eq!(ledger.alive(), 0);
}

#[test]
fn bytes_that_find_no_memory_are_refused() {
    for length in [17_000, 1 << 20] {
        let bytes = vec![1; length];
        let refused = refusing(16 << 10, 0, || SessionBuilder::new(id(1)).try_build_bytes(&bytes));
        assert!(refused.is_none());
        assert_eq!(SessionBuilder::new(id(1)).build_bytes(&bytes)[..], bytes);
    }
}

#[test]
fn a_cache_that_finds_no_memory_for_its_table_is_an_error() {
    for capacity in [Capacity::Sessions(1_000_000), Capacity::Sessions(20_480), Capacity::Unbounded]
    {
        let built = refusing(10_000, 0, || SessionCache::<u64>::new(capacity).map(|_| ()));
        assert_eq!(built, Err(BuildError::OutOfMemory), "{capacity:?}");
        assert!(SessionCache::<u64>::new(capacity).is_ok());
    }
}

#[test]
fn a_resize_that_finds_no_memory_changes_nothing() {
    for from in [10, 1000] {
        let cache = warm(from);
        let (before, stored) = (cache.stats(), numbers(&cache));
        for to in [Capacity::Sessions(100_000), Capacity::Sessions(50_000), Capacity::Unbounded] {
            let resized = refusing(10_000, 0, || cache.set_capacity(to));
            assert_eq!(resized, Err(BuildError::OutOfMemory));
            assert_eq!((cache.capacity(), cache.stats()), (from, before.clone()));
            assert_eq!(numbers(&cache), stored);
        }
        store(&cache, session(1_000_000));
        assert!(cache.len() <= from);
        cache.set_capacity(50_000).unwrap();
        assert!(
            (2_000_000..2_010_000)
                .all(|n| cache.add(session(n)).is_ok_and(|added| added.changed()))
        );
        assert!(cache.len() >= 10_000);
        assert_whole(&cache);
    }
}

#[test]
fn a_table_that_cannot_grow_refuses_and_keeps_what_it_has() {
    let cache = SessionCache::new(Capacity::Unbounded).unwrap();
    for n in 0..1000 {
        store(&cache, session(n));
    }
    let mut stored = 1000;
    let refused = loop {
        let one = session(stored);
        match refusing(10_000, 0, || cache.add(one.clone())) {
            Ok(Added::Inserted) => stored += 1,
            other => break (one, other),
        }
    };
    let reason = refused.1.map_err(|rejected| rejected.reason()).unwrap_err();
    assert_eq!(reason, Rejection::Allocation);
    assert_eq!(Session::handle_count(&refused.0), 1);
    assert_eq!(numbers(&cache), (0..stored).collect::<Vec<_>>());
    assert_whole(&cache);
    assert!(matches!(cache.add(refused.0), Ok(Added::Inserted)), "there is memory again");
    for n in stored + 1..stored + 10_000 {
        assert!(matches!(cache.add(session(n)), Ok(Added::Inserted)));
    }
    assert_eq!(cache.len() as u64, stored + 10_000);
    assert_whole(&cache);
}

#[test]
fn between_two_seals_no_operation_needs_memory() {
    for capacity in [1, 14, 100, 5000] {
        let cache = warm(capacity);
        let newcomers: Vec<_> = (0..50).map(|n| session(1_000_000 + n % 40)).collect();
        let before = cache.stats();
        let mut changed = 0;
        refusing(0, 0, || {
            for one in &newcomers {
                changed += u32::from(cache.add(one.clone()).is_ok_and(|added| added.changed()));
                changed += u32::from(cache.add(one.clone()).is_ok_and(|added| added.changed()));
                changed += u32::from(cache.read(&one.id(), |_| ()).is_none());
                changed += u32::from(cache.get(&one.id()).is_none());
            }
            changed += u32::from(cache.take(&newcomers[49].id()).is_none());
            changed += u32::from(cache.remove_id(&id(77_777_777)));
        });
        assert_eq!(changed, 50, "every add went through once, and was seen");
        let after = cache.stats();
        assert_eq!((after.identical - before.identical, after.taken - before.taken), (50, 1));
        assert_whole(&cache);
    }
}

#[test]
fn adds_allocate_a_few_times_in_a_batch_and_lookups_never() {
    for capacity in [10, 5000] {
        let cache = warm(capacity);
        let rounds = 64 * 200;
        let newcomers: Vec<_> = (0..rounds).map(|n| session(2_000_000 + n)).collect();
        let asked = allocations(|| newcomers.iter().for_each(|one| drop(cache.add(one.clone()))));
        assert!(asked as u64 <= rounds / 64 * 8, "{asked} allocations in {rounds} adds");
        // With nothing left to reclaim.
        reclaim(&cache);
        let asked = allocations(|| {
            for one in &newcomers {
                drop(cache.get(&one.id()));
                cache.read(&one.id(), |_| ());
                cache.view(sessile::Context::from_bytes([1; 32])).get(&one.id());
            }
        });
        assert_eq!(asked, 0);
        let taken = allocations(|| newcomers.iter().for_each(|one| drop(cache.take(&one.id()))));
        assert!(taken as u64 <= rounds / 64 * 8, "{taken} allocations in {rounds} takes");
    }
}

/// Whichever block is refused on the way to a session and into the cache: it is stored, or it was
/// never made.
#[test]
fn whichever_allocation_fails_counts_stay_right() {
    let _alone = EMPTY_SLAB.lock().unwrap_or_else(PoisonError::into_inner);
    let ledger = Ledger::new();
    let cache = SessionCache::new(8).unwrap();
    for n in 0..200 {
        store(&cache, ledger.session(n));
    }
    reclaim(&cache);
    // Until the slab has no free block that it could give in place of what is refused.
    let mut held = Vec::with_capacity(100_000);
    loop {
        let (builder, payload) = (SessionBuilder::new(id(1)), ledger.payload(1));
        let Ok(one) = refusing(0, 0, || builder.try_build(payload)) else { break };
        held.push(one);
    }
    let mut refused = 0;
    for passes in 0..20 {
        let before = cache.stats();
        let payload = ledger.payload(passes);
        let builder = Session::<testkit::Payload>::builder(id_of(&[passes as u8 + 1]));
        let added =
            refusing(0, passes as usize, || builder.try_build(payload).map(|one| cache.add(one)));
        let stored = u64::from(added.is_ok());
        // A chunk for it takes three allocations, and one follows if they fail.
        assert!(added.is_ok() || passes <= 3, "the session is all that needs memory");
        refused += u32::from(added.is_err());
        drop(added);
        assert_eq!(cache.stats().added - before.added, stored);
        assert_whole(&cache);
    }
    // Not at once if a test beside this one gave blocks of this size back meanwhile.
    assert!(refused > 0, "memory was needed");
    drop((cache, held));
    assert_eq!(ledger.alive(), 0);
}
