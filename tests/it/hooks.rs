//! Hooks: called once per event, outside of everything, free to do anything with the cache.

use sessile::{Added, Hooks, Mode, Rejection, RemovalCause, Session, SessionCache};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use testkit::{Own, Removals, assert_whole, clocked, id, numbers, reclaim, scaled, session, store};

type Log = Arc<Mutex<Vec<String>>>;

fn logged(capacity: usize) -> (SessionCache<u64>, Log, Arc<sessile::ManualClock>) {
    let log = Log::default();
    let (added, removed, missed) = (Arc::clone(&log), Arc::clone(&log), Arc::clone(&log));
    let (builder, clock) = clocked(capacity);
    let cache = builder
        .on_added(move |one: &Session<u64>| added.lock().unwrap().push(format!("added {}", **one)))
        .on_removed(move |one, cause| removed.lock().unwrap().push(format!("{cause:?} {}", **one)))
        .on_miss(move |_, _| {
            missed.lock().unwrap().push("miss".into());
            None
        })
        .build()
        .unwrap();
    (cache, log, clock)
}

#[test]
fn each_event_is_told_once() {
    let (cache, log, clock) = logged(2);
    let told = |expected: &[&str]| assert_eq!(std::mem::take(&mut *log.lock().unwrap()), expected);
    let one = session(1);
    store(&cache, one.clone());
    told(&["added 1"]);
    assert!(matches!(cache.add(one), Ok(Added::Identical)));
    told(&[]);
    store(&cache, Session::new(id(1), 10));
    told(&["Replaced 1", "added 10"]);
    store(&cache, session(2));
    store(&cache, session(3));
    told(&["added 2", "Evicted 10", "added 3"]);
    assert!(cache.get(&id(2)).is_some());
    told(&[]);
    assert!(cache.get(&id(1)).is_none());
    told(&["miss"]);
    assert!(cache.take(&id(2)).is_some());
    told(&["Taken 2"]);
    assert!(cache.remove_id(&id(3)));
    told(&["Removed 3"]);
    assert!(!cache.remove_id(&id(3)) && !cache.remove(&session(3)));
    told(&[]);
    store(&cache, session(4));
    clock.advance(7201);
    assert!(cache.get(&id(4)).is_none());
    told(&["added 4", "Expired 4", "miss"]);
    store(&cache, session(5));
    assert_eq!(cache.clear(), 1);
    told(&["added 5", "Flushed 5"]);
    drop(cache);
    told(&[]);
}

#[test]
fn when_a_hook_runs_its_event_has_happened() {
    let own = Own::default();
    let seen = Arc::new(AtomicU64::new(0));
    let (in_added, in_removed, counter) = (own.clone(), own.clone(), Arc::clone(&seen));
    let built = SessionCache::builder()
        .capacity(1)
        .on_added(move |one: &Session<u64>| {
            let cache = in_added.cache();
            assert!(Session::ptr_eq(&cache.get(&one.id()).unwrap(), one));
        })
        .on_removed(move |one, _| {
            let cache = in_removed.cache();
            let stored = cache.get(&one.id());
            assert!(stored.is_none_or(|stored| !Session::ptr_eq(&stored, one)));
            counter.fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();
    let cache = own.is(built);
    for n in 0..100 {
        store(&cache, session(n));
        store(&cache, session(n));
    }
    assert!(cache.take(&id(99)).is_some());
    assert_eq!(seen.load(Ordering::Relaxed), 200);
}

thread_local! {
    /// How deep hooks call operations that call hooks.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Runs `f` unless the hooks are nested too deeply already.
fn nested(f: impl FnOnce()) {
    let depth = DEPTH.get();
    if depth < 3 {
        DEPTH.set(depth + 1);
        f();
        DEPTH.set(depth);
    }
}

/// Every operation there is, on keys near `n`.
fn do_everything(cache: &SessionCache<u64>, n: u64) {
    store(cache, session(n + 1));
    let found = cache.get(&id(n + 1));
    cache.read(&id(n + 1), |found| cache.get(&found.id()));
    found.inspect(|found| drop(cache.add(found.clone())));
    drop(cache.take(&id(n + 1)));
    let other = session(n + 2);
    store(cache, other.clone());
    cache.remove(&other);
    cache.remove_id(&id(n + 3));
    cache.flush_expired_at(0);
    cache.set_capacity(2 + n as usize % 3).unwrap();
    assert!(cache.len() <= 1000 && cache.snapshot().len() <= 1000);
    cache.set_mode(Mode::default());
    cache.collect();
    assert!(cache.stats().number <= 1000);
    if n % 7 == 0 {
        cache.clear();
    }
}

#[test]
fn a_hook_may_call_every_operation_of_its_cache() {
    let own = Own::default();
    let (added, removed, missed) = (own.clone(), own.clone(), own.clone());
    let built = SessionCache::builder()
        .capacity(3)
        .on_added(move |one: &Session<u64>| nested(|| do_everything(&added.cache(), **one)))
        .on_removed(move |one, _| nested(|| do_everything(&removed.cache(), **one)))
        .on_miss(move |id, _| {
            nested(|| do_everything(&missed.cache(), u64::from(id.as_bytes()[24])));
            None
        })
        .build()
        .unwrap();
    let cache = own.is(built);
    for n in 0..scaled(20, 4) {
        do_everything(&cache, n * 10);
        assert_whole(&cache);
    }
    reclaim(&cache);
    assert_eq!(cache.stats().garbage.sessions, 0);
}

/// The hook that flushes, adds and removes while sessions are evicted: OpenSSL once deadlocked
/// here.
#[test]
fn hooks_that_reenter_from_many_threads_do_not_deadlock() {
    let own = Own::default();
    let removed = own.clone();
    let built = SessionCache::builder()
        .capacity(20)
        .on_removed(move |one: &Session<u64>, _| {
            nested(|| {
                let cache = removed.cache();
                cache.flush_expired_at(0);
                drop(cache.add(session(**one + 1)));
                cache.remove_id(&id(**one + 2));
            });
        })
        .build()
        .unwrap();
    let cache = own.is(built);
    testkit::race(4, |thread| {
        for n in 0..scaled(3_000, 300) {
            drop(cache.add(session(n * 4 + thread as u64)));
            assert!(cache.len() <= 20);
        }
    });
    assert_whole(&cache);
}

#[test]
fn hooks_are_replaced_at_run_time_all_three_at_once() {
    let (cache, log, _clock) = logged(2);
    store(&cache, session(1));
    log.lock().unwrap().clear();
    let removals = Removals::default();
    cache.set_hooks(Hooks::new().on_removed(removals.hook()));
    store(&cache, session(2));
    assert!(cache.get(&id(9)).is_none());
    assert!(cache.remove_id(&id(1)));
    assert_eq!(removals.take(), [(1, RemovalCause::Removed)]);
    cache.set_hooks(Hooks::default());
    assert!(cache.remove_id(&id(2)));
    assert!(removals.take().is_empty() && log.lock().unwrap().is_empty());
}

#[test]
fn hooks_set_by_two_threads_are_those_of_one() {
    let cache = SessionCache::new(10).unwrap();
    let calls = Arc::new(AtomicU64::new(0));
    for round in 0..2000 {
        std::thread::scope(|scope| {
            let raise = || {
                let calls = Arc::clone(&calls);
                move || _ = calls.fetch_add(1, Ordering::Relaxed)
            };
            let (added, removed) = (raise(), raise());
            scope.spawn(|| cache.set_hooks(Hooks::new().on_added(move |_: &Session<u64>| added())));
            scope.spawn(|| cache.set_hooks(Hooks::new().on_removed(move |_, _| removed())));
        });
        assert!(
            cache.add(session(round)).is_ok_and(|added| added.changed())
                && cache.remove_id(&id(round))
        );
        assert_eq!(calls.swap(0, Ordering::Relaxed), 1, "round {round}");
    }
}

#[test]
fn a_hook_may_replace_the_hooks_that_run() {
    let own = Own::default();
    let (inner, removals) = (own.clone(), Removals::default());
    let later = removals.clone();
    let token = Arc::new(());
    let held = Arc::clone(&token);
    let built = SessionCache::builder()
        .on_added(move |_: &Session<u64>| {
            inner.cache().set_hooks(Hooks::new().on_removed(later.hook()));
            assert_eq!(Arc::strong_count(&held), 2, "the hook that runs is still there");
        })
        .build()
        .unwrap();
    let cache = own.is(built);
    store(&cache, session(1));
    assert_eq!(Arc::strong_count(&token), 1, "and is gone when it has run");
    assert!(cache.remove_id(&id(1)));
    assert_eq!(removals.take(), [(1, RemovalCause::Removed)]);
}

#[test]
fn a_hook_may_drop_every_other_handle_of_its_cache() {
    let keeper: Arc<Mutex<Option<Arc<SessionCache<u64>>>>> = Arc::default();
    let (inner, token) = (Arc::clone(&keeper), Arc::new(()));
    let held = Arc::clone(&token);
    let cache = SessionCache::builder()
        .on_added(move |_: &Session<u64>| {
            let _held = &held;
            drop(inner.lock().unwrap().take());
        })
        .build()
        .unwrap();
    let cache = Arc::new(cache);
    let weak = Arc::downgrade(&cache);
    *keeper.lock().unwrap() = Some(cache);
    let mine = session(1);
    // The temporary handle is the last one when the hook has run.
    store(&weak.upgrade().unwrap(), mine.clone());
    assert!(weak.upgrade().is_none());
    assert_eq!((Session::handle_count(&mine), Arc::strong_count(&token)), (1, 1));
}

#[test]
fn a_hook_may_drop_another_cache() {
    let other = SessionCache::new(10).unwrap();
    let mine = session(1);
    store(&other, mine.clone());
    let other = Mutex::new(Some(other));
    let (builder, _clock) = clocked(1);
    let cache = builder
        .on_removed(move |_: &Session<u64>, _| drop(other.lock().unwrap().take()))
        .build()
        .unwrap();
    store(&cache, session(2));
    store(&cache, session(3));
    assert_eq!(Session::handle_count(&mine), 1);
    assert_eq!(numbers(&cache), [3]);
}

/// A session that comes and goes: it is destroyed at once, unless somebody in this very thread
/// holds a guard. The hooks of these operations themselves do not ask again.
fn assert_no_guard(own: &Own) {
    if DEPTH.get() > 0 {
        return;
    }
    nested(|| {
        let (cache, bystander) = (own.cache(), session(77));
        store(&cache, bystander.clone());
        assert!(cache.remove_id(&id(77)));
        reclaim(&cache);
        assert_eq!(Session::handle_count(&bystander), 1, "the hook runs under a guard");
    });
}

#[test]
fn hooks_are_not_called_under_a_guard() {
    let own = Own::default();
    let (added, removed, missed) = (own.clone(), own.clone(), own.clone());
    let (builder, clock) = clocked(3);
    let built = builder
        .on_added(move |_: &Session<u64>| assert_no_guard(&added))
        .on_removed(move |_, _| assert_no_guard(&removed))
        .on_miss(move |_, _| {
            assert_no_guard(&missed);
            None
        })
        .build()
        .unwrap();
    let cache = own.is(built);
    let add = |n| store(&cache, session(n));
    (0..20).for_each(|n| add(n % 4));
    (0..20).for_each(|n| add(n % 2));
    assert!(cache.take(&id(1)).is_some() && cache.remove_id(&id(0)));
    assert!(cache.get(&id(9)).is_none() && cache.take(&id(9)).is_none());
    assert!(cache.read(&id(9), |_| ()).is_none());
    let stored = session(5);
    assert!(cache.add(stored.clone()).is_ok_and(|added| added.changed()) && cache.remove(&stored));
    let forbidden = session(6);
    store(&cache, forbidden.clone());
    forbidden.set_not_resumable();
    assert!(cache.get(&id(6)).is_none());
    add(7);
    clock.advance(7201);
    assert!(cache.get(&id(7)).is_none());
    (10..13).for_each(add);
    cache.set_capacity(2).unwrap();
    clock.advance(7201);
    assert!(cache.flush_expired_at(sessile::Clock::now(&clock)) > 0);
    add(13);
    assert_eq!(cache.clear(), 1);
}

/// With a revocation somewhere each add takes a longer way.
#[test]
fn an_identical_add_is_not_told() {
    let told = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&told);
    let added = move |_: &Session<u64>| _ = counter.fetch_add(1, Ordering::Relaxed);
    let cache = SessionCache::builder().capacity(10).on_added(added).build().unwrap();
    let one = session(1);
    assert!(matches!(cache.add(one.clone()), Ok(Added::Inserted)));
    assert!(matches!(cache.add(one.clone()), Ok(Added::Identical)));
    cache.revoke(sessile::Context::from_bytes([1; 32]));
    assert!(matches!(cache.add(one), Ok(Added::Identical)));
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

/// What is refused, and would have been shown, is the caller's alone again.
#[test]
fn a_refused_session_is_not_kept_for_the_hook() {
    let builder =
        SessionCache::builder().capacity(10).garbage_limit(1).on_added(|_: &Session<u64>| {});
    let cache = builder.build().unwrap();
    store(&cache, session(1));
    let refused = cache.read(&id(1), |_| {
        (0..3).find_map(|_| cache.add(session(2)).err()).expect("what is replaced cannot be freed")
    });
    let refused = refused.expect("it is stored").into_session();
    assert_eq!(Session::handle_count(&refused), 1);
}

/// A full cache whose hook adds each evicted session again, which evicts another.
#[test]
fn a_hook_that_adds_what_was_evicted_comes_to_an_end() {
    let own = Own::default();
    let again = own.clone();
    let refused = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&refused);
    let hook = move |session: &Session<u64>, cause| {
        if cause != RemovalCause::Evicted {
            return;
        }
        if let Err(rejected) = again.cache().add(session.clone()) {
            assert_eq!(rejected.reason(), Rejection::Recursion);
            assert!(Session::ptr_eq(rejected.session(), session));
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    let cache = own.is(SessionCache::builder().capacity(4).on_removed(hook).build().unwrap());
    cache.set_mode(cache.mode());
    (0..4).for_each(|n| assert!(cache.add(session(n)).is_ok()));
    for n in 4..20 {
        assert!(cache.add(session(n)).is_ok());
        assert_eq!(refused.swap(0, Ordering::Relaxed), 1, "the sixteenth within the first");
        assert_eq!(cache.len(), 4);
    }
}
