//! Modes: what the cache does by itself, changed at run time.

use sessile::{Added, Context, Mode, Rejection, RemovalCause, Session, SessionCache};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use testkit::{Removals, START, assert_whole, at, clocked, id, numbers, session, store};

fn mode(change: impl FnOnce(&mut Mode)) -> Mode {
    let mut mode = Mode::default();
    change(&mut mode);
    mode
}

#[test]
fn a_mode_is_read_back_as_it_was_set() {
    let cache = SessionCache::<u64>::new(10).unwrap();
    assert_eq!(cache.mode(), Mode::default());
    let default = Mode::default();
    assert!(default.store && default.lookup && default.auto_flush && default.keep_tier_hits);
    assert!(!default.update_time);
    for bits in 0..32u32 {
        let flag = |bit: u32| bits & (1 << bit) != 0;
        let mode = Mode {
            store: flag(0),
            lookup: flag(1),
            auto_flush: flag(2),
            update_time: flag(3),
            keep_tier_hits: flag(4),
        };
        cache.set_mode(mode);
        assert_eq!(cache.mode(), mode);
        let built = SessionCache::<u64>::builder().mode(mode).build().unwrap();
        assert_eq!(built.mode(), mode);
    }
}

#[test]
fn with_storing_off_nothing_is_stored_and_the_rest_goes_on() {
    let cache = SessionCache::new(10).unwrap();
    store(&cache, session(1));
    cache.set_mode(mode(|mode| mode.store = false));
    let refused = session(2);
    assert!(
        matches!(cache.add(refused.clone()), Err(rejected) if rejected.reason() == Rejection::StoreDisabled)
    );
    assert_eq!(Session::handle_count(&refused), 1);
    assert!(cache.get(&id(1)).is_some());
    assert!(cache.take(&id(1)).is_some());
    cache.set_mode(Mode::default());
    store(&cache, refused);
    assert_whole(&cache);
}

#[test]
fn with_lookups_off_nothing_is_found_and_nothing_is_lost() {
    let cache = SessionCache::new(10).unwrap();
    store(&cache, session(1));
    cache.set_mode(mode(|mode| mode.lookup = false));
    assert!(cache.get(&id(1)).is_none());
    assert!(cache.take(&id(1)).is_none());
    assert!(cache.read(&id(1), |_| ()).is_none());
    assert_eq!((cache.len(), cache.stats().hits, cache.stats().taken), (1, 0, 0));
    store(&cache, session(2));
    assert!(cache.remove_id(&id(2)), "removal is no lookup");
    cache.set_mode(Mode::default());
    assert!(cache.get(&id(1)).is_some());
    assert_whole(&cache);
}

#[test]
fn a_cache_that_stores_and_finds_nothing_is_no_cache() {
    let off = mode(|mode| (mode.store, mode.lookup) = (false, false));
    let cache = SessionCache::builder().mode(off).build().unwrap();
    for n in 0..100 {
        assert!(!cache.add(session(n)).is_ok_and(|added| added.changed()));
        assert!(cache.get(&id(n)).is_none() && cache.take(&id(n)).is_none());
    }
    assert!(cache.is_empty());
    assert_eq!(cache.stats().rejected, 100);
}

#[test]
fn an_add_dates_the_session_anew_when_told_to() {
    let (builder, clock) = clocked(10);
    let cache = builder.mode(mode(|mode| mode.update_time = true)).build().unwrap();
    let old = Session::<u64>::builder(id(1))
        .created_at(START - 500)
        .timeout(Duration::from_secs(600))
        .build(1);
    store(&cache, old.clone());
    assert_eq!((old.created_at(), old.expires_at()), (Some(at(START)), Some(at(START + 600))));
    clock.advance(50);
    assert!(matches!(cache.add(old.clone()), Ok(Added::Identical)));
    assert_eq!(old.created_at(), Some(at(START)), "the identical object is left alone");
    let new = Session::new(id(1), 2);
    new.set_created_at(START);
    assert!(matches!(cache.add(new.clone()), Ok(Added::Replaced(_))));
    assert_eq!(new.created_at(), Some(at(START + 50)));
    cache.set_mode(Mode::default());
    assert!(matches!(cache.add(old.clone()), Ok(Added::Replaced(_))));
    assert_eq!(old.created_at(), Some(at(START)));
}

#[test]
fn a_hit_extends_the_session_up_to_its_deadline_when_told_to() {
    let (builder, clock) = clocked(10);
    let cache = builder.mode(mode(|mode| mode.update_time = true)).build().unwrap();
    let one = Session::<u64>::builder(id(1))
        .timeout(Duration::from_secs(100))
        .deadline(START + 1000)
        .build(1);
    store(&cache, one.clone());
    for hit in 1..=9 {
        clock.set(START + hit * 99);
        assert!(cache.get(&id(1)).is_some(), "hit {hit}");
    }
    for second in [960, 1000] {
        clock.set(START + second);
        assert!(cache.read(&id(1), |_| ()).is_some());
        assert_eq!(one.expires_at(), Some(at(START + 1000)));
    }
    clock.set(START + 1001);
    assert!(cache.get(&id(1)).is_none(), "never past the deadline");
}

/// A lookup reads the clock first. Whoever is overtaken after that by a lookup of a later second
/// does not set its date back.
#[test]
fn a_lookup_that_slept_does_not_set_the_date_back() {
    let (builder, clock) = clocked(10);
    let cache = builder.mode(mode(|mode| mode.update_time = true)).build().unwrap();
    store(&cache, session(1));
    let view = cache.view(Context::NONE);
    let overtaken = view.get_if(&id(1), |_| {
        clock.set(START + 50);
        cache.get(&id(1)).is_some()
    });
    let (found, _) = overtaken.expect("it is stored");
    assert_eq!(found.created_at(), Some(at(START + 50)));
}

#[test]
fn a_hit_extends_nothing_by_default() {
    let (builder, clock) = clocked(10);
    let cache = builder.build().unwrap();
    store(&cache, session(1));
    clock.advance(7200);
    let found = cache.get(&id(1)).unwrap();
    assert_eq!(found.created_at(), Some(at(START)));
    clock.advance(1);
    assert!(cache.get(&id(1)).is_none());
}

#[test]
fn the_tiers_answers_are_kept_or_not_as_told() {
    let removals = Removals::default();
    let asked = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&asked);
    let cache = SessionCache::builder()
        .capacity(10)
        .mode(mode(|mode| mode.keep_tier_hits = false))
        .on_removed(removals.hook())
        .on_miss(move |id, _| Some(Session::new(*id, counter.fetch_add(1, Ordering::Relaxed))))
        .build()
        .unwrap();
    for n in 0..10 {
        assert_eq!(*cache.get(&id(1)).unwrap(), n);
    }
    assert!(cache.is_empty());
    cache.set_mode(Mode::default());
    for _ in 0..10 {
        assert_eq!(*cache.get(&id(1)).unwrap(), 10);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 11);
    assert_eq!(numbers(&cache), [10]);
    let stats = cache.stats();
    assert_eq!((stats.tier_hits, stats.misses, stats.hits, stats.added), (11, 11, 9, 1));
    assert!(removals.take().is_empty());
    assert!(cache.remove_id(&id(1)));
    assert_eq!(removals.take(), [(10, RemovalCause::Removed)]);
    assert_whole(&cache);
}

/// `SSL_SESS_CACHE_NO_INTERNAL_STORE`: the cache is a second tier's, and hears of every session.
#[test]
fn with_storing_off_the_hook_still_hears_of_each_session() {
    let heard = Arc::new(AtomicU64::new(0));
    let log = Arc::clone(&heard);
    let (builder, _clock) = clocked(10);
    let hook = move |session: &Session<u64>| {
        assert_eq!(session.expires_at(), Some(at(START + 7200)), "dated, as if it were stored");
        log.fetch_add(1, Ordering::Relaxed);
    };
    let cache = builder.mode(mode(|mode| mode.store = false)).on_added(hook).build().unwrap();
    for n in 0..5 {
        assert_eq!(cache.add(session(n)).unwrap_err().reason(), Rejection::StoreDisabled);
    }
    let dead = Session::<u64>::builder(id(9)).resumable(false).build(9);
    assert_eq!(cache.add(dead).unwrap_err().reason(), Rejection::NotResumable);
    assert_eq!((heard.load(Ordering::Relaxed), cache.len()), (5, 0));
    assert_eq!((cache.stats().added, cache.stats().rejected), (0, 6));
}

#[test]
fn with_lookups_off_each_lookup_is_a_miss() {
    let cache = SessionCache::new(10).unwrap();
    assert!(cache.add(session(1)).is_ok());
    cache.set_mode(mode(|mode| mode.lookup = false));
    assert!(cache.get(&id(1)).is_none() && cache.take(&id(1)).is_none());
    assert!(cache.read(&id(1), |_| ()).is_none());
    let view = cache.view(sessile::Context::NONE);
    assert!(view.get_if(&id(1), |_| true).is_none() && view.take_if(&id(1), |_| true).is_none());
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.timeouts, stats.context_misses), (0, 5, 0, 0));
}
