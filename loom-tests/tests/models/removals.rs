//! Removals beside sessions that are on their way to the cache: what is removed does not come back.
//!
//! Guards: the words of `cache::removals`, their two fences, and the order of removal, hooks and
//! the end of the removal.

use loom_tests::thread::AtomicBool;
use loom_tests::{id, model, quiet, spawn_with};
use sessile::{Context, Hooks, Operation, RemovalCause, Session, SessionCache};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A cache in front of a tier that has a session until it is removed or taken.
fn before_a_tier() -> Arc<SessionCache<u64>> {
    let tier = Arc::new(AtomicBool::new(true));
    let (absent, removed) = (Arc::clone(&tier), Arc::clone(&tier));
    let hooks = Hooks::new()
        .on_query(move |query| {
            let is_there = match query.operation() {
                Operation::Take => tier.swap(false, Ordering::Relaxed),
                _ => tier.load(Ordering::Relaxed),
            };
            is_there.then(|| Session::new(id(1), 7))
        })
        .on_absent(move |_| absent.store(false, Ordering::Relaxed))
        .on_removed(move |_, cause| {
            // Not for an answer that leaves again: others may have its key's stripe.
            if [RemovalCause::Removed, RemovalCause::Taken].contains(&cause) {
                removed.store(false, Ordering::Relaxed);
            }
        });
    Arc::new(quiet().capacity(4).hooks(hooks).build().expect("a valid capacity"))
}

fn assert_is_gone(cache: &SessionCache<u64>) {
    assert!(cache.peek(&id(1)).is_none(), "the removal is over");
    assert_eq!((cache.len(), cache.stats().number), (0, 0));
}

/// An answer of the tier beside a removal of its session.
#[model]
fn answer_beside_a_removal() {
    let cache = before_a_tier();
    let reader = spawn_with(&cache, |cache| cache.get(&id(1)).map(|session| *session));
    cache.remove_id(&id(1));
    assert!(cache.get(&id(1)).is_none(), "the tier was told, and nothing is found on its way");
    assert!([None, Some(7)].contains(&reader.join().unwrap()));
    assert_is_gone(&cache);
}

/// An answer of the tier beside a taker, to whom the tier leaves its session.
#[model]
fn answer_beside_a_take() {
    let cache = before_a_tier();
    let reader = spawn_with(&cache, |cache| cache.get(&id(1)).map(|session| *session));
    let taken = cache.take(&id(1)).map(|session| *session);
    let again = cache.take(&id(1)).map(|session| *session);
    assert!(taken.is_none() || again.is_none(), "taken twice");
    reader.join().unwrap();
    assert!(taken.is_none() || cache.peek(&id(1)).is_none(), "the tier has none either");
}

/// The same beside a taker of another answer, which was kept.
#[model(preemptions(2), at_night(3))]
fn answer_beside_a_take_of_another_answer() {
    let cache = before_a_tier();
    let reader = spawn_with(&cache, |cache| cache.get(&id(1)).map(|session| *session));
    assert!(cache.get(&id(1)).is_some(), "nobody has taken it yet");
    let taken = [(); 2].map(|()| cache.take(&id(1)).is_some());
    assert_eq!(taken, [true, false]);
    reader.join().unwrap();
    assert!(cache.peek(&id(1)).is_none());
}

/// A session that was taken is given back beside a removal.
fn give_back_beside(removal: fn(&SessionCache<u64>)) {
    let builder = quiet().capacity(4).watch_removals(true);
    let cache = Arc::new(builder.build().expect("a valid capacity"));
    cache.add(Session::new(id(1), 7)).unwrap();
    let giver = spawn_with(&cache, |cache| {
        let watch = cache.view(Context::NONE).watch(&id(1));
        if let Some(taken) = cache.take(&id(1)) {
            let _ = cache.add_unless_removed(Session::new(id(1), *taken), watch);
        }
    });
    removal(&cache);
    assert!(cache.peek(&id(1)).is_none(), "the removal is over, whatever is on its way");
    assert!(cache.get(&id(1)).is_none() && cache.snapshot().is_empty());
    giver.join().unwrap();
    assert_is_gone(&cache);
}

#[model]
fn give_back_beside_a_removal() {
    give_back_beside(|cache| _ = cache.remove_id(&id(1)));
}

#[model(preemptions(2), at_night(3))]
fn give_back_beside_a_removal_of_some() {
    give_back_beside(|cache| _ = cache.remove_if(|_| true));
}
