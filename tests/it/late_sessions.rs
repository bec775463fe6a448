//! Sessions that are on their way to the cache while they are removed: they do not stay.

use sessile::{
    Added, Context, Hooks, Mode, Operation, Rejection, RemovalCause, Session, SessionCache,
    SessionId,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use testkit::{Own, clocked, id, session, store};

/// A way to remove a session of key 1, which is not stored.
type Removal = fn(&SessionCache<u64>);

const REMOVALS: [Removal; 4] = [
    |cache| assert!(!cache.remove_id(&id(1))),
    |cache| assert!(!cache.remove(&session(1))),
    |cache| assert_eq!(cache.clear(), 0),
    |cache| assert_eq!(cache.remove_if(|_| true), 0),
];

#[test]
fn what_is_removed_while_it_is_asked_for_does_not_stay() {
    for removal in REMOVALS {
        let own = Own::default();
        let place = own.clone();
        let hook = move |_: &SessionId, _: &Context| {
            let answer = session(1);
            // Another thread removes it while the answer is on its way.
            thread::scope(|scope| _ = scope.spawn(|| removal(&place.cache())));
            Some(answer)
        };
        let cache = own.is(SessionCache::builder().capacity(10).on_miss(hook).build().unwrap());
        assert!(cache.get(&id(1)).is_some(), "it was asked for before the removal");
        assert!(cache.peek(&id(1)).is_none(), "the removal is over");
        assert_eq!(cache.stats().rejections.of(Rejection::NotResumable), 1);
    }
}

#[test]
fn what_is_removed_while_somebody_has_taken_it_is_not_given_back() {
    let cache = SessionCache::builder().capacity(10).watch_removals(true).build().unwrap();
    let view = cache.view(Context::NONE);
    let take = || {
        store(&cache, session(1));
        let watch = view.watch(&id(1));
        assert!(cache.take(&id(1)).is_some());
        watch
    };
    for removal in REMOVALS {
        let watch = take();
        removal(&cache);
        assert!(cache.has_removed_since(watch));
        let refused = cache.add_unless_removed(session(1), watch).unwrap_err();
        assert_eq!((refused.reason(), cache.len()), (Rejection::NotResumable, 0));
        assert!(refused.into_session().is_resumable(), "its owner may use it otherwise");
    }
    // Another key is told apart, nearly always.
    let kept = (0..64).filter(|&other| {
        let watch = take();
        cache.remove_id(&id(100 + other));
        let is_kept = cache.add_unless_removed(session(1), watch).is_ok();
        assert_eq!(is_kept, !cache.has_removed_since(watch));
        is_kept
    });
    assert!(kept.count() > 50);
    let watch = take();
    assert!(matches!(cache.add_unless_removed(session(1), watch), Ok(Added::Inserted)));
    assert!(matches!(
        cache.add_from_tier_unless_removed(session(1), watch),
        Ok(Added::Replaced(_))
    ));
}

#[test]
fn a_cache_that_watches_no_removals_takes_nothing_back() {
    let cache = SessionCache::new(10).unwrap();
    let watch = cache.view(Context::NONE).watch(&id(1));
    assert!(cache.has_removed_since(watch));
    assert!(cache.add_unless_removed(session(1), watch).is_err());
}

/// The removal comes when the answer was looked at for the last time before it is stored: while it
/// is weighed.
#[test]
fn what_is_removed_while_it_is_weighed_leaves_again() {
    for removal in REMOVALS {
        let own = Own::default();
        let (place, gone) = (own.clone(), own.clone());
        let heard = Arc::new(Mutex::new(Vec::<(SessionId, Option<RemovalCause>)>::new()));
        let (absent, left) = (Arc::clone(&heard), Arc::clone(&heard));
        let weigher = move |_: &Session<u64>| {
            thread::scope(|scope| _ = scope.spawn(|| removal(&place.cache())));
            1
        };
        let hooks = Hooks::new()
            .on_miss(|_, _| Some(session(1)))
            .on_absent(move |query| absent.lock().unwrap().push((*query.id(), None)))
            .on_removed(move |one, cause| {
                assert!(gone.cache().peek(&one.id()).is_none());
                left.lock().unwrap().push((one.id(), Some(cause)));
            });
        let builder = SessionCache::builder().capacity(10).max_weight(100).weigher(weigher);
        let cache = own.is(builder.hooks(hooks).build().unwrap());
        assert!(cache.get(&id(1)).is_some() && cache.peek(&id(1)).is_none());
        let heard = heard.lock().unwrap();
        assert_eq!(heard.last(), Some(&(id(1), Some(RemovalCause::Flushed))), "no removal");
        assert_eq!((cache.stats().number, cache.stats().flushed), (0, 1));
    }
}

/// A removal that finds nothing tells the tier, also if an answer has come since it looked: here
/// because another object is asked to be removed.
#[test]
fn a_removal_beside_an_answer_reaches_the_tier() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let hooks = Hooks::new()
        .on_miss(|_, _| Some(session(1)))
        .on_absent(move |query| log.lock().unwrap().push(*query.id()));
    let cache = SessionCache::builder().capacity(10).hooks(hooks).build().unwrap();
    assert!(cache.get(&id(1)).is_some() && cache.peek(&id(1)).is_some());
    assert!(!cache.remove(&session(1)));
    assert_eq!(*heard.lock().unwrap(), [id(1)]);
}

/// Hooks hear of it when it is known whether it stays: a second tier asks the cache what it holds.
#[test]
fn hooks_find_what_they_hear_of() {
    for way in [SessionCache::add_unless_removed, SessionCache::add_from_tier_unless_removed] {
        let own = Own::default();
        let (place, gone) = (own.clone(), own.clone());
        let hooks = Hooks::new()
            .on_added(move |_| assert!(place.cache().peek(&id(1)).is_some()))
            .on_removed(move |one: &Session<u64>, cause| {
                assert_eq!((**one, cause), (7, RemovalCause::Replaced));
                assert_eq!(*gone.cache().get(&id(1)).unwrap(), 1);
            });
        let builder = SessionCache::builder().capacity(10).watch_removals(true).hooks(hooks);
        let cache = own.is(builder.build().unwrap());
        assert!(matches!(cache.add(Session::new(id(1), 7)), Ok(Added::Inserted)));
        let watch = cache.view(Context::NONE).watch(&id(1));
        assert!(matches!(way(&cache, session(1), watch), Ok(Added::Replaced(_))));
    }
}

#[test]
fn a_hook_that_panics_brings_nothing_back() {
    for is_removed in [false, true] {
        let own = Own::default();
        let place = own.clone();
        let weigher = move |_: &Session<u64>| {
            if is_removed {
                assert!(!place.cache().remove_id(&id(1)));
            }
            1
        };
        let builder = SessionCache::builder().capacity(10).max_weight(100).weigher(weigher);
        let hooks = Hooks::new().on_added(|_| panic!("came")).on_removed(|_, _| panic!("left"));
        let builder = builder.hooks(hooks).watch_removals(true);
        let cache = own.is(builder.build().unwrap());
        let (watch, one) = (cache.view(Context::NONE).watch(&id(1)), session(1));
        let give_back = || cache.add_unless_removed(one.clone(), watch);
        assert!(catch_unwind(AssertUnwindSafe(give_back)).is_err());
        assert_eq!((cache.get(&id(1)).is_some(), one.is_resumable()), (!is_removed, !is_removed));
    }
}

#[test]
fn a_watch_is_of_one_key_and_one_cache() {
    let cache = || SessionCache::builder().capacity(10).watch_removals(true).build().unwrap();
    let (cache, other) = (cache(), cache());
    let foreign = other.view(Context::NONE).watch(&id(1));
    assert!(cache.has_removed_since(foreign));
    assert!(cache.add_unless_removed(session(1), foreign).is_err());
    let refused = (2..66).filter(|&another| {
        let watch = cache.view(Context::NONE).watch(&id(another));
        cache.add_unless_removed(session(1), watch).is_err()
    });
    assert!(refused.count() > 50, "keys whose hashes are alike are one in 1024");
}

/// A cache in front of a tier that has session 1 until it is taken.
fn before_a_tier(
    before: impl Fn(&SessionCache<u64>, Operation) + Send + Sync + 'static,
) -> Arc<SessionCache<u64>> {
    let own = Own::default();
    let (place, is_there) = (own.clone(), Arc::new(AtomicBool::new(true)));
    let taken = Arc::clone(&is_there);
    let on_removed = move |_: &Session<u64>, cause| {
        if cause == RemovalCause::Taken {
            taken.store(false, Ordering::SeqCst);
        }
    };
    let hooks = Hooks::new().on_removed(on_removed).on_query(move |query| {
        let is_there = match query.operation() {
            Operation::Take => {
                before(&place.cache(), Operation::Take);
                is_there.swap(false, Ordering::SeqCst)
            }
            other => {
                let answer = is_there.load(Ordering::SeqCst);
                before(&place.cache(), other);
                answer
            }
        };
        is_there.then(|| session(1))
    });
    own.is(SessionCache::builder().capacity(10).hooks(hooks).build().unwrap())
}

#[test]
fn what_a_tier_gave_to_a_taker_is_taken_once() {
    // Another thread takes it while the answer to a get is on its way.
    let cache = before_a_tier(|cache, asked| {
        if asked == Operation::Get {
            let taken = thread::scope(|scope| scope.spawn(|| cache.take(&id(1))).join().unwrap());
            assert!(taken.is_some());
        }
    });
    assert!(cache.get(&id(1)).is_some(), "it was asked for before");
    assert!(cache.take(&id(1)).is_none(), "the tier gave it away");

    // Another thread takes a copy that was kept.
    let is_first = AtomicBool::new(true);
    let cache = before_a_tier(move |cache, asked| {
        if asked == Operation::Get && is_first.swap(false, Ordering::Relaxed) {
            let get_and_take = || (cache.get(&id(1)), cache.take(&id(1)));
            let got = thread::scope(|scope| scope.spawn(get_and_take).join().unwrap());
            assert!(got.0.is_some() && got.1.is_some());
        }
    });
    assert!(cache.get(&id(1)).is_some(), "it was asked for before");
    assert!(cache.take(&id(1)).is_none(), "the tier was told");

    // Another thread asks for it while the tier is giving it away.
    let is_first = AtomicBool::new(true);
    let cache = before_a_tier(move |cache, asked| {
        if asked == Operation::Take && is_first.swap(false, Ordering::Relaxed) {
            let got = thread::scope(|scope| scope.spawn(|| cache.get(&id(1))).join().unwrap());
            assert!(got.is_some());
        }
    });
    assert!(cache.take(&id(1)).is_some());
    assert!(cache.take(&id(1)).is_none() && cache.is_empty());
}

/// Whatever another call does with the same object meanwhile.
#[test]
fn a_tier_may_answer_with_an_object_that_is_arriving_elsewhere() {
    let own = Own::default();
    let (place, shared) = (own.clone(), session(1));
    let (answer, is_first) = (shared.clone(), AtomicBool::new(true));
    let weigher = move |_: &Session<u64>| {
        if is_first.swap(false, Ordering::Relaxed) {
            // The object is on its way, and another thread is answered with it.
            let get = || place.cache().get(&id(1)).is_some();
            assert!(thread::scope(|scope| scope.spawn(get).join().unwrap()));
        }
        1
    };
    let builder = SessionCache::builder().capacity(10).max_weight(100).weigher(weigher);
    let builder = builder.on_miss(move |_, _| Some(answer.clone()));
    let cache = own.is(builder.build().unwrap());
    assert!(cache.get(&id(1)).is_some_and(|got| Session::ptr_eq(&got, &shared)));
    assert!(shared.is_resumable() && cache.peek(&id(1)).is_some());
}

/// Neither what is not valid yet, nor what lookups do not look for.
#[test]
fn no_copy_survives_a_take_from_the_tier() {
    for is_of_the_future in [true, false] {
        let is_there = AtomicBool::new(true);
        let (builder, clock) = clocked(10);
        let time = Arc::clone(&clock);
        let hooks = Hooks::new().on_query(move |query| {
            let is_taken = query.operation() == Operation::Take;
            time.advance(u64::from(is_taken) * 10);
            let is_there = is_there.fetch_and(!is_taken, Ordering::Relaxed);
            is_there.then(|| session(1))
        });
        let mode = Mode { lookup: is_of_the_future, ..Mode::default() };
        let cache = builder.hooks(hooks).mode(mode).build().unwrap();
        let copy = session(1);
        if is_of_the_future {
            copy.set_created_at(cache.now() + Duration::from_secs(5));
        }
        assert!(matches!(cache.add_from_tier(copy), Ok(Added::Inserted)));
        assert!(cache.take(&id(1)).is_some(), "by the tier");
        assert!(cache.take(&id(1)).is_none() && cache.is_empty());
    }
}

/// A program that asks its tier itself, and has no miss hook.
#[test]
fn a_fetched_session_is_not_added_behind_a_taker() {
    let cache = SessionCache::builder().capacity(10).watch_removals(true).build().unwrap();
    let watch = cache.view(Context::NONE).watch(&id(1));
    assert!(cache.add_from_tier_unless_removed(session(1), watch).is_ok());
    assert!(cache.take(&id(1)).is_some());
    assert!(cache.add_from_tier_unless_removed(session(1), watch).is_err());
}

/// What is stored stays in sight when a tier answers with it once more.
#[test]
fn what_is_stored_is_not_hidden_by_the_same_object() {
    let cache = SessionCache::builder().capacity(10).watch_removals(true).build().unwrap();
    let (watch, one) = (cache.view(Context::NONE).watch(&id(1)), session(1));
    assert!(matches!(cache.add_unless_removed(one.clone(), watch), Ok(Added::Inserted)));
    assert!(matches!(cache.add_unless_removed(one.clone(), watch), Ok(Added::Identical)));
    assert_eq!((Session::handle_count(&one), cache.stats().identical), (2, 1));
}
