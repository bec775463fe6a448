//! Sessions that are on their way to the cache while they are removed: they do not stay.

use sessile::{Added, Context, Hooks, Rejection, RemovalCause, Session, SessionCache, SessionId};
use std::sync::{Arc, Mutex};
use std::thread;
use testkit::{Own, id, session, store};

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
