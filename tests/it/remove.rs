//! Removing: by identity, by id, once.

use sessile::{Added, Context, Protocol, RemovalCause, Session, SessionCache, TicketRing};
use std::cell::Cell;
use testkit::{Removals, assert_whole, clocked, id, numbers, reclaim, session, store};

#[test]
fn a_stored_object_is_removed_once() {
    let cache = SessionCache::new(10).unwrap();
    let one = session(1);
    store(&cache, one.clone());
    assert!(cache.remove(&one));
    assert!(!cache.remove(&one));
    assert!(cache.get(&id(1)).is_none());
    assert_eq!(cache.stats().removed, 1);
    reclaim(&cache);
    assert_eq!(Session::handle_count(&one), 1);
    assert_whole(&cache);
}

#[test]
fn an_object_that_was_never_stored_is_not_removed() {
    let removals = Removals::default();
    let cache = SessionCache::builder().capacity(10).on_removed(removals.hook()).build().unwrap();
    store(&cache, session(1));
    let before = cache.stats();
    let stranger = session(2);
    assert!(!cache.remove(&stranger));
    assert!(!cache.remove_id(&id(2)));
    assert_eq!(cache.stats(), before);
    assert!(removals.take().is_empty(), "the hook hears of removals only");
    assert_eq!(numbers(&cache), [1]);
}

#[test]
fn another_object_with_the_same_key_is_left_alone() {
    let cache = SessionCache::new(10).unwrap();
    let stored = session(1);
    store(&cache, stored.clone());
    let twin = session(1);
    assert!(!cache.remove(&twin));
    assert!(stored.is_resumable() && !twin.is_resumable());
    assert!(Session::ptr_eq(&cache.get(&id(1)).unwrap(), &stored));
}

#[test]
fn remove_marks_its_argument_non_resumable_either_way() {
    let cache = SessionCache::new(10).unwrap();
    let (stored, stranger) = (session(1), session(2));
    store(&cache, stored.clone());
    assert!(cache.remove(&stored));
    assert!(!cache.remove(&stranger));
    assert!(!stored.is_resumable());
    assert!(!stranger.is_resumable());
}

#[test]
fn a_duplicate_made_before_the_removal_stays_resumable() {
    let cache = SessionCache::new(10).unwrap();
    let one = session(1);
    let duplicate = Session::new(one.id(), *one);
    store(&cache, one.clone());
    assert!(cache.remove(&one));
    assert!(duplicate.is_resumable());
    assert!(matches!(cache.add(duplicate), Ok(Added::Inserted)));
    assert!(cache.get(&id(1)).is_some());
}

#[test]
fn removal_by_id_takes_whatever_is_stored_and_marks_nothing() {
    let removals = Removals::default();
    let (builder, clock) = clocked(10);
    let cache = builder.on_removed(removals.hook()).build().unwrap();
    let one = session(1);
    store(&cache, one.clone());
    assert!(cache.remove_id(&id(1)));
    assert!(one.is_resumable());
    store(&cache, session(2));
    clock.advance(100_000);
    assert!(cache.remove_id(&id(2)), "an expired session too");
    assert_eq!(removals.take(), [(1, RemovalCause::Removed), (2, RemovalCause::Removed)]);
    assert_eq!(cache.stats().removed, 2);
    assert_whole(&cache);
}

#[test]
fn remove_uses_the_context_and_protocol_of_the_session() {
    let cache = SessionCache::new(10).unwrap();
    let context = Context::from_bytes([5; 32]);
    let of = |context, protocol| {
        Session::<u64>::builder(id(1)).context(context).protocol(protocol).build(1)
    };
    let stored = [
        of(Context::NONE, Protocol::UNSPECIFIED),
        of(context, Protocol::UNSPECIFIED),
        of(context, Protocol::TLS1_2),
        of(context, Protocol::TLS1_3),
    ];
    for one in &stored {
        assert!(matches!(cache.add(one.clone()), Ok(Added::Inserted)));
    }
    for (removed, one) in stored.iter().enumerate() {
        assert!(cache.remove(one));
        assert_eq!(cache.len(), 3 - removed);
    }
}

#[test]
fn removing_all_of_many_leaves_nothing() {
    let cache = SessionCache::new(5_000).unwrap();
    let all: Vec<_> = (0..5_000).map(session).collect();
    for one in &all {
        store(&cache, one.clone());
    }
    let stored = cache.len();
    let removed = all.iter().filter(|one| cache.remove(one)).count();
    assert_eq!(removed, stored);
    assert!(cache.is_empty());
    assert!(cache.snapshot().is_empty());
    reclaim(&cache);
    assert!(all.iter().all(|one| Session::handle_count(one) == 1));
    assert_whole(&cache);
}

#[test]
fn a_view_removes_in_its_own_context_only() {
    let cache = SessionCache::new(10).unwrap();
    let (web, api) = (Context::from_bytes([1; 32]), Context::from_bytes([2; 32]));
    let one = Session::<u64>::builder(id(1)).context(web).build(1);
    store(&cache, one.clone());
    assert!(!cache.view(api).remove(&one));
    assert!(!cache.view(api).remove_id(&id(1)));
    assert!(!cache.remove_id(&id(1)));
    assert!(one.is_resumable(), "a session of another context is left as it is");
    assert!(cache.view(web).get(&id(1)).is_some());
    assert!(cache.view(web).remove(&one));
    assert!(!cache.view(web).remove(&one));
}

/// Of three threads that meet one server, one holds what it moves while the others replace its
/// entry and remove theirs.
#[test]
fn tickets_that_move_do_not_outlive_a_removal() {
    type Entry = Session<TicketRing<u64>>;
    let cache = SessionCache::builder().capacity(10).watch_removals(true).build().unwrap();
    let made = || Session::new(id(1), TicketRing::new(100));
    let replace = || -> (Entry, Entry) {
        let entry = made();
        let Ok(Added::Replaced(older)) = cache.add(entry.clone()) else { panic!("one is there") };
        (entry, older)
    };
    let watch = cache.view(Context::NONE).watch(&id(1));
    let first = made();
    first.put(1, 10).unwrap();
    cache.add(first).unwrap();
    let calls = Cell::new(0);
    let entry = || {
        calls.set(calls.get() + 1);
        if calls.get() == 1 {
            let (own, older) = replace();
            let (_, of_this_thread) = replace();
            assert_eq!(of_this_thread.close(), []);
            assert!(cache.remove_id(&id(1)));
            return Some((own, Some(older)));
        }
        let own = made();
        cache.add_unless_removed(own.clone(), watch).ok()?;
        Some((own, None))
    };
    assert!(TicketRing::put_into_entry(vec![(2, 10)], entry, |entry| Some(&**entry)).is_none());
    assert_eq!((calls.get(), cache.len()), (2, 0), "the first ticket was removed");
}
