//! Panics in user code: nothing is lost, the caller hears of it, table and counts are whole
//! afterwards.

use sessile::{Added, Clock, Context, Mode, Session, SessionCache, SessionId, Timestamp};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use testkit::{End, Own, START, assert_whole, at, id, numbers, reclaim, scaled, session, store};

/// Runs `f` and checks that it panics.
fn panics<R>(what: &str, f: impl FnOnce() -> R) {
    assert!(catch_unwind(AssertUnwindSafe(f)).is_err(), "{what} did not panic");
}

/// A cache whose removal, arrival and miss hooks panic while armed.
fn explosive(capacity: usize) -> (SessionCache<u64>, Arc<AtomicBool>) {
    let armed = Arc::new(AtomicBool::new(false));
    let fuse = |name: &'static str| {
        let armed = Arc::clone(&armed);
        move || assert!(!armed.load(Ordering::Relaxed), "{name}")
    };
    let (added, removed, missed) = (fuse("added"), fuse("removed"), fuse("missed"));
    let cache = SessionCache::builder()
        .capacity(capacity)
        .clock(sessile::ManualClock::new(START))
        .on_added(move |_: &Session<u64>| added())
        .on_removed(move |_, _| removed())
        .on_miss(move |_, _| {
            missed();
            None
        })
        .build()
        .unwrap();
    (cache, armed)
}

/// Runs `f` with the hooks armed: it panics and leaves the cache whole.
fn explode<R>(cache: &SessionCache<u64>, armed: &AtomicBool, what: &str, f: impl FnOnce() -> R) {
    armed.store(true, Ordering::Relaxed);
    panics(what, f);
    armed.store(false, Ordering::Relaxed);
    assert_whole(cache);
}

#[test]
fn a_hook_that_panics_leaves_the_operation_done() {
    let (cache, armed) = &explosive(3);
    explode(cache, armed, "insert", || cache.add(session(1)));
    assert_eq!(numbers(cache), [1]);
    explode(cache, armed, "replace", || cache.add(Session::new(id(1), 10)));
    assert_eq!(numbers(cache), [10]);
    assert!(
        cache.add(session(2)).is_ok_and(|added| added.changed())
            && cache.add(session(3)).is_ok_and(|added| added.changed())
    );
    explode(cache, armed, "evict", || cache.add(session(4)));
    assert_eq!(numbers(cache), [2, 3, 4]);
    explode(cache, armed, "take", || cache.take(&id(2)));
    explode(cache, armed, "remove by id", || cache.remove_id(&id(3)));
    assert_eq!(numbers(cache), [4]);
    let stored = cache.get(&id(4)).unwrap();
    explode(cache, armed, "remove", || cache.remove(&stored));
    assert!(cache.is_empty());
    explode(cache, armed, "miss", || cache.get(&id(9)));
    explode(cache, armed, "miss of a take", || cache.take(&id(9)));
    explode(cache, armed, "miss of a read", || cache.read(&id(9), |_| ()));
    let brief = session(5);
    store(cache, brief.clone());
    brief.set_created_at(START - 10_000);
    explode(cache, armed, "expiry at lookup", || cache.get(&id(5)));
    store(cache, session(6));
    explode(cache, armed, "clear", || cache.clear());
    assert!(cache.is_empty());
    assert!(
        cache.add(session(7)).is_ok_and(|added| added.changed())
            && cache.add(session(8)).is_ok_and(|added| added.changed())
    );
    explode(cache, armed, "shrink", || cache.set_capacity(1));
    cache.set_capacity(1).unwrap();
    assert_eq!(cache.len(), 1);
    drop((brief, stored));
    reclaim(cache);
    assert_eq!((cache.stats().garbage.sessions, cache.stats().drop_panics), (0, 0));
}

#[test]
fn every_departure_is_told_even_if_a_hook_panics() {
    let told = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&told);
    let cache = SessionCache::builder()
        .capacity(2000)
        .on_removed(move |_: &Session<u64>, _| {
            panic!("number {}", counter.fetch_add(1, Ordering::Relaxed))
        })
        .build()
        .unwrap();
    for n in 0..1000 {
        store(&cache, session(n));
    }
    // The panic may end the walk early; each call goes on where the table is.
    let mut calls = 0;
    while !cache.is_empty() {
        panics("clear", || cache.clear());
        calls += 1;
        assert!(calls <= 1000 && told.load(Ordering::Relaxed) == 1000 - cache.len());
        assert_whole(&cache);
    }
    assert_eq!(cache.stats().flushed, 1000);
}

/// A shrinking that is interrupted by a panicking hook leaves a cache that holds what it says.
#[test]
fn a_hook_that_panics_while_the_capacity_falls_leaves_one_capacity() {
    for (from, to) in [(10, 5), (2000, 100), (20, 14)] {
        let (cache, armed) = explosive(from);
        for n in 0..from as u64 {
            store(&cache, session(n));
        }
        armed.store(true, Ordering::Relaxed);
        panics("shrink", || cache.set_capacity(to));
        armed.store(false, Ordering::Relaxed);
        assert_whole(&cache);
        let capacity = cache.capacity();
        assert!([from, to].contains(&capacity));
        cache.clear();
        for n in 0..capacity as u64 {
            store(&cache, session(n));
        }
        assert_eq!(cache.len(), capacity, "shrunk from {from} to {to}: it says {capacity}");
        cache.set_capacity(to).unwrap();
        assert_eq!((cache.len(), cache.capacity()), (to, to));
    }
}

#[test]
fn a_weigher_that_panics_changes_nothing() {
    let armed = Arc::new(AtomicBool::new(true));
    let fuse = Arc::clone(&armed);
    let cache = SessionCache::builder()
        .capacity(3)
        .max_weight(30)
        .weigher(
            move |_: &Session<u64>| {
                if fuse.load(Ordering::Relaxed) { panic!("weigher") } else { 10 }
            },
        )
        .build()
        .unwrap();
    let mine = session(1);
    let before = cache.stats();
    panics("add", || cache.add(mine.clone()));
    assert_eq!(cache.stats(), before);
    assert_eq!(Session::handle_count(&mine), 1);
    armed.store(false, Ordering::Relaxed);
    assert!(matches!(cache.add(mine), Ok(Added::Inserted)));
    for n in 2..4 {
        store(&cache, session(n));
    }
    armed.store(true, Ordering::Relaxed);
    panics("replace", || cache.add(session(1)));
    panics("evict", || cache.add(session(4)));
    assert_eq!(numbers(&cache), [1, 2, 3]);
    assert_whole(&cache);
}

#[test]
fn a_reader_that_panics_holds_nothing_back() {
    let cache = SessionCache::new(3).unwrap();
    let mine = session(1);
    store(&cache, mine.clone());
    panics("read", || cache.read(&id(1), |_| panic!("reader")));
    assert!(cache.remove_id(&id(1)));
    reclaim(&cache);
    assert_eq!(Session::handle_count(&mine), 1);
    assert_eq!(cache.stats().hits, 1);
    assert_whole(&cache);
}

/// A clock that panics while armed.
struct Explosive(Arc<AtomicBool>);

impl Clock for Explosive {
    fn now(&self) -> Timestamp {
        assert!(!self.0.load(Ordering::Relaxed), "clock");
        at(START)
    }
}

#[test]
fn a_clock_that_panics_changes_nothing() {
    let armed = Arc::new(AtomicBool::new(false));
    let cache =
        SessionCache::builder().capacity(10).clock(Explosive(Arc::clone(&armed))).build().unwrap();
    for n in 0..10 {
        store(&cache, session(n));
    }
    let (before, mine) = (cache.stats(), session(10));
    armed.store(true, Ordering::Relaxed);
    panics("add", || cache.add(mine.clone()));
    panics("get", || cache.get(&id(1)));
    panics("read", || cache.read(&id(1), |_| ()));
    panics("take", || cache.take(&id(1)));
    assert_eq!(cache.stats(), before);
    assert_eq!(Session::handle_count(&mine), 1);
    // A shrink needs the time too, if at all.
    let shrunk = catch_unwind(AssertUnwindSafe(|| cache.set_capacity(5)));
    armed.store(false, Ordering::Relaxed);
    assert_whole(&cache);
    let capacity = cache.capacity();
    assert_eq!(capacity, if shrunk.is_ok() { 5 } else { 10 });
    cache.clear();
    for n in 20..40 {
        store(&cache, session(n));
    }
    assert_eq!(cache.len(), capacity);
    assert_whole(&cache);
}

/// A payload whose drop panics if it is told to, and is counted either way.
struct Bomb(bool, Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
        assert!(!self.0, "a bomb");
    }
}

#[test]
fn a_deferred_drop_that_panics_is_counted_and_goes_no_further() {
    let freed = Arc::new(AtomicUsize::new(0));
    let cache = SessionCache::new(10).unwrap();
    for n in 0..10 {
        store(&cache, Session::new(id(n), Bomb(n % 2 == 0, Arc::clone(&freed))));
    }
    assert_eq!(cache.clear(), 10);
    reclaim(&cache);
    assert_eq!(freed.load(Ordering::Relaxed), 10);
    assert_eq!(cache.stats().drop_panics, 5);
    assert_eq!(cache.stats().garbage.sessions, 0);
    // In steady state too, where retirements free what was retired before.
    for n in 0..1000 {
        drop(cache.add(Session::new(id(n % 3), Bomb(false, Arc::clone(&freed)))));
    }
    for n in 0..1000 {
        let bomb = Session::new(id(100 + n % 3), Bomb(n % 4 == 0, Arc::clone(&freed)));
        let added = catch_unwind(AssertUnwindSafe(|| cache.add(bomb)));
        if let Ok(Ok(Added::Replaced(old))) = added {
            // The caller's own handle may be the last: then the panic is the caller's.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(old)));
        }
    }
    assert_whole(&cache);
    reclaim(&cache);
    assert_eq!(freed.load(Ordering::Relaxed), 2010 - cache.len());
}

#[test]
fn the_last_handle_of_a_caller_panics_at_the_caller() {
    let freed = Arc::new(AtomicUsize::new(0));
    let cache = SessionCache::new(10).unwrap();
    store(&cache, Session::new(id(1), Bomb(true, Arc::clone(&freed))));
    let taken = cache.take(&id(1)).unwrap();
    reclaim(&cache);
    panics("the last drop", || drop(taken));
    assert_eq!((freed.load(Ordering::Relaxed), cache.stats().drop_panics), (1, 0));
    assert_whole(&cache);
}

#[test]
fn a_drop_that_panics_when_the_cache_goes_costs_nobody_else_his() {
    for capacity in [10, 100] {
        let freed = Arc::new(AtomicUsize::new(0));
        let cache = SessionCache::new(capacity).unwrap();
        for n in 0..capacity as u64 {
            store(&cache, Session::new(id(n), Bomb(n == 3, Arc::clone(&freed))));
        }
        let all = cache.len();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(cache)));
        assert_eq!(freed.load(Ordering::Relaxed), capacity, "all {all} are freed");
    }
}

#[test]
fn a_rejected_session_whose_drop_panics_changes_nothing() {
    let freed = Arc::new(AtomicUsize::new(0));
    let cache = SessionCache::new(10).unwrap();
    let dead =
        Session::<Bomb>::builder(id(1)).resumable(false).build(Bomb(true, Arc::clone(&freed)));
    panics("add", || drop(cache.add(dead)));
    assert_eq!((freed.load(Ordering::Relaxed), cache.len(), cache.stats().rejected), (1, 0, 1));
    assert_whole(&cache);
}

#[test]
fn the_first_panic_is_the_one_that_is_heard() {
    let (cache, armed) = explosive(1);
    store(&cache, session(1));
    armed.store(true, Ordering::Relaxed);
    let heard = catch_unwind(AssertUnwindSafe(|| cache.add(session(2)))).unwrap_err();
    assert_eq!(heard.downcast_ref::<String>().map(String::as_str), Some("removed"));
}

thread_local! {
    static IS_RESIZING: Cell<bool> = const { Cell::new(false) };
}

/// A payload whose drop panics on a thread that is inside a resize.
struct Tripwire;

impl Drop for Tripwire {
    fn drop(&mut self) {
        assert!(!IS_RESIZING.get(), "a tripwire");
    }
}

/// A resize holds handles of its own for a while. If they turn out to be the last ones, their drops
/// do not unwind through it.
#[test]
fn drops_that_panic_do_not_unwind_through_a_resize() {
    let cache = SessionCache::new(4000).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                for n in 0..4000 {
                    drop(cache.take(&id(n)));
                    if n % 16 == 0 {
                        cache.collect();
                    }
                }
            }
        });
        let _end = End(&done);
        for round in
            (0..500).take_while(|&round| round < scaled(20, 10) || cache.stats().drop_panics == 0)
        {
            (0..4000).for_each(|n| store(&cache, Session::new(id(n), Tripwire)));
            let capacity = if round % 2 == 0 { 500 } else { 4000 };
            IS_RESIZING.set(true);
            let resized = cache.set_capacity(capacity);
            IS_RESIZING.set(false);
            resized.unwrap();
            assert_eq!(cache.capacity(), capacity);
        }
    });
    assert!(cache.stats().drop_panics > 0, "the resize had the last handle now and then");
    assert_whole(&cache);
}

/// A payload that panics in its drop while armed.
struct Fragile(Arc<AtomicBool>);

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!self.0.load(Ordering::Relaxed), "dropped");
    }
}

/// An add that has evicted and is refused all the same, of a session whose drop panics: the hook is
/// told of the evicted.
#[test]
fn a_refused_session_is_dropped_after_the_hook_was_told() {
    const HEAVY: usize = 100 << 10;
    let (told, armed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let tell = Arc::clone(&told);
    let cache = SessionCache::builder()
        .garbage_limit(1 << 20)
        // The first three fill the cache; each later one takes the room of a third of one.
        .weigher(
            |session: &Session<Fragile>| {
                if (0..3).any(|n| id(n) == session.id()) { 3 * HEAVY } else { HEAVY }
            },
        )
        .max_weight(9 * HEAVY)
        .on_removed(move |_, _| _ = tell.fetch_add(1, Ordering::Relaxed))
        .build()
        .unwrap();
    let session = |n| Session::new(id(n), Fragile(Arc::clone(&armed)));
    (0..3).for_each(|n| store(&cache, session(n)));
    // An add evicts others, which cannot be freed, and is refused all the same.
    let told_at_last = cache.read(&id(2), |_| {
        (3..100).find_map(|n| {
            let (before, newcomer) = (told.load(Ordering::Relaxed), session(n));
            armed.store(true, Ordering::Relaxed);
            let added = catch_unwind(AssertUnwindSafe(|| {
                cache.add(newcomer).is_ok_and(|added| added.changed())
            }));
            armed.store(false, Ordering::Relaxed);
            added.is_err().then(|| told.load(Ordering::Relaxed) - before)
        })
    });
    assert!(
        matches!(told_at_last, Some(Some(1..))),
        "the hook is told of the evicted: {told_at_last:?}"
    );
    assert_eq!(cache.stats().evicted, told.load(Ordering::Relaxed) as u64);
}

/// A hook that removes the session that is being added, frees it and panics, while the payload
/// panics when it is dropped: the second panic must not meet the first.
#[test]
fn a_hook_and_a_payload_that_panic_together_do_not_abort() {
    let freed = Arc::new(AtomicUsize::new(0));
    let own = Own::default();
    let hooked = own.clone();
    let hook = move |session: &Session<Bomb>| {
        hooked.cache().remove_id(&session.id());
        hooked.cache().collect();
        panic!("added");
    };
    let cache = own.is(SessionCache::builder().capacity(10).on_added(hook).build().unwrap());
    let bomb = Session::new(id(1), Bomb(true, Arc::clone(&freed)));
    let heard = catch_unwind(AssertUnwindSafe(|| drop(cache.add(bomb)))).unwrap_err();
    assert_eq!(heard.downcast_ref::<&str>(), Some(&"added"));
    reclaim(&cache);
    assert_eq!((freed.load(Ordering::Relaxed), cache.stats().drop_panics), (1, 1));
    assert_whole(&cache);
}

/// The same for what an operation is about to return: the replaced, the taken, the refused session,
/// and one that the second tier supplied.
#[test]
fn what_is_about_to_be_returned_does_not_meet_the_panic_of_a_hook() {
    let freed = Arc::new(AtomicUsize::new(0));
    let bomb = |n| Session::new(id(n), Bomb(true, Arc::clone(&freed)));
    let supplied = Arc::clone(&freed);
    let build = |armed: &Arc<AtomicBool>| {
        let (removed, added, supplied) =
            (Arc::clone(armed), Arc::clone(armed), Arc::clone(&supplied));
        let builder = SessionCache::builder().capacity(10);
        let builder =
            builder.on_removed(move |_, _| assert!(!removed.load(Ordering::Relaxed), "removed"));
        let builder = builder.on_added(move |_| assert!(!added.load(Ordering::Relaxed), "added"));
        let supply = move |id: &SessionId, _: &Context| {
            Some(Session::new(*id, Bomb(true, Arc::clone(&supplied))))
        };
        builder.on_miss(supply).build().unwrap()
    };
    type Use<'u> = &'u dyn Fn(&SessionCache<Bomb>);
    let uses: [(&str, Use<'_>); 4] = [
        ("replace", &|cache| drop(cache.add(bomb(1)))),
        ("take", &|cache| drop(cache.take(&id(1)))),
        ("take from the tier", &|cache| drop(cache.take(&id(2)))),
        ("store off", &|cache| {
            cache.set_mode(Mode { store: false, ..Mode::default() });
            drop(cache.add(bomb(3)));
        }),
    ];
    for (what, operation) in uses {
        let armed = Arc::new(AtomicBool::new(false));
        let cache = build(&armed);
        assert!(cache.add(bomb(1)).is_ok(), "{what}");
        armed.store(true, Ordering::Relaxed);
        panics(what, || operation(&cache));
        armed.store(false, Ordering::Relaxed);
        reclaim(&cache);
        assert_whole(&cache);
        cache.clear();
        reclaim(&cache);
    }
    assert_eq!(freed.load(Ordering::Relaxed), 7, "four stored, one of each kind beside them");
}
