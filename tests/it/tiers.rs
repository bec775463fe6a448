//! The second tier behind the miss hook: asked once, checked, counted, kept.

use sessile::{
    Added, Clock, Context, Hooks, Mode, Operation, Protocol, Query, Rejection, RemovalCause,
    Session, SessionCache, SessionCacheBuilder, SessionId, Source,
};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::{
    Own, START, assert_whole, at, clocked, id, numbers, reclaim, scaled, session, store,
};

/// A store outside of the cache, and the lookups that reached it.
#[derive(Clone, Default)]
struct Tier {
    sessions: Arc<Mutex<HashMap<SessionId, Session<u64>>>>,
    asked: Arc<Mutex<Vec<(SessionId, Context)>>>,
}

impl Tier {
    fn behind(&self, builder: SessionCacheBuilder<u64>) -> SessionCacheBuilder<u64> {
        let tier = self.clone();
        builder.on_miss(move |id, context| {
            tier.asked.lock().unwrap().push((*id, *context));
            tier.sessions.lock().unwrap().get(id).cloned()
        })
    }

    fn store(&self, session: &Session<u64>) {
        self.sessions.lock().unwrap().insert(session.id(), session.clone());
    }

    fn times_asked(&self) -> usize {
        std::mem::take(&mut *self.asked.lock().unwrap()).len()
    }
}

fn tiered(capacity: usize) -> (SessionCache<u64>, Tier, Arc<sessile::ManualClock>) {
    let tier = Tier::default();
    let (builder, clock) = clocked(capacity);
    (tier.behind(builder).build().unwrap(), tier, clock)
}

#[test]
fn it_is_asked_once_and_only_after_a_miss() {
    let (cache, tier, _clock) = tiered(10);
    store(&cache, session(1));
    assert!(cache.get(&id(1)).is_some() && cache.read(&id(1), |_| ()).is_some());
    assert_eq!(tier.times_asked(), 0);
    assert!(cache.get(&id(2)).is_none());
    assert_eq!(tier.times_asked(), 1);
    assert!(cache.read(&id(2), |_| ()).is_none());
    assert_eq!(tier.times_asked(), 1);
    assert!(cache.take(&id(2)).is_none());
    assert_eq!(tier.times_asked(), 1);
    assert!(!cache.remove_id(&id(2)));
    assert!(cache.take(&id(1)).is_some());
    assert_eq!(tier.times_asked(), 0);
}

#[test]
fn it_hears_the_id_and_the_context_that_were_asked_for() {
    let (cache, tier, _clock) = tiered(10);
    let context = Context::from_bytes([3; 32]);
    assert!(cache.view(context).get(&id(1)).is_none());
    assert!(cache.get(&id(2)).is_none());
    assert_eq!(*tier.asked.lock().unwrap(), [(id(1), context), (id(2), Context::NONE)]);
}

#[test]
fn what_was_deleted_from_the_first_tier_comes_back_from_the_second() {
    let (cache, tier, _clock) = tiered(10);
    let one = session(1);
    tier.store(&one);
    store(&cache, one.clone());
    assert!(cache.remove_id(&id(1)));
    assert!(Session::ptr_eq(&cache.get(&id(1)).unwrap(), &one));
    assert_eq!(numbers(&cache), [1], "and is kept again");
    assert!(Session::ptr_eq(&cache.get(&id(1)).unwrap(), &one));
    assert_eq!(tier.times_asked(), 1);
    let stats = cache.stats();
    assert_eq!((stats.tier_hits, stats.hits, stats.misses, stats.added), (1, 1, 1, 2));
    assert_whole(&cache);
}

#[test]
fn a_read_lends_what_the_tier_supplied() {
    let (cache, tier, _clock) = tiered(10);
    tier.store(&session(7));
    assert_eq!(cache.read(&id(7), |found| **found), Some(7));
    assert_eq!(cache.read(&id(7), |found| **found), Some(7));
    assert_eq!(tier.times_asked(), 1);
}

#[test]
fn what_cannot_be_kept_is_still_resumed() {
    let (cache, tier, _clock) = tiered(10);
    tier.store(&session(1));
    cache.set_mode(Mode { store: false, ..Mode::default() });
    for _ in 0..3 {
        assert_eq!(*cache.get(&id(1)).unwrap(), 1);
    }
    assert_eq!(tier.times_asked(), 3);
    assert!(cache.is_empty());
    assert_eq!((cache.stats().tier_hits, cache.stats().rejected), (3, 3));
}

#[test]
fn with_lookups_off_the_second_tier_alone_answers() {
    let (cache, tier, _clock) = tiered(10);
    let (stored, other) = (session(1), Session::new(id(1), 100));
    store(&cache, stored);
    tier.store(&other);
    cache.set_mode(Mode { lookup: false, keep_tier_hits: false, ..Mode::default() });
    assert_eq!(*cache.get(&id(1)).unwrap(), 100);
    assert_eq!(*cache.take(&id(1)).unwrap(), 100);
    assert_eq!(cache.read(&id(1), |found| **found), Some(100));
    assert_eq!(numbers(&cache), [1]);
}

#[test]
fn a_session_that_was_taken_from_it_is_not_kept() {
    for lookup in [true, false] {
        let (cache, tier, _clock) = tiered(10);
        cache.set_mode(Mode { lookup, ..Mode::default() });
        tier.store(&session(1));
        assert!(cache.take(&id(1)).is_some());
        assert!(cache.is_empty(), "single use: nothing stays behind, lookups {lookup}");
        assert_eq!((cache.stats().tier_hits, cache.stats().taken, cache.stats().added), (1, 0, 0));
    }
}

#[test]
fn an_unfit_answer_is_a_miss_and_is_given_back() {
    let (cache, tier, clock) = tiered(10);
    let of = |n: u64| Session::<u64>::builder(id(n));
    let dead = of(1).resumable(false).build(1);
    let expired = of(1).created_at(START - 100).timeout(Duration::from_secs(99)).build(1);
    let early = of(1).created_at(START + 1).build(1);
    let foreign = of(1).context(Context::from_bytes([1; 32])).build(1);
    let version = of(1).protocol(Protocol::TLS1_2).build(1);
    let other_id = of(2).build(2);
    for unfit in [dead, expired, early, foreign, version, other_id] {
        tier.sessions.lock().unwrap().insert(id(1), unfit.clone());
        assert!(cache.get(&id(1)).is_none(), "{unfit:?}");
        assert!(cache.take(&id(1)).is_none() && cache.read(&id(1), |_| ()).is_none());
        tier.sessions.lock().unwrap().clear();
        assert_eq!(Session::handle_count(&unfit), 1);
    }
    assert_eq!((cache.stats().tier_hits, cache.stats().misses, cache.len()), (0, 18, 0));
    assert_eq!(sessile::Clock::now(&clock), at(START));
}

#[test]
fn an_undated_answer_is_dated_by_the_cache() {
    let (cache, tier, clock) = tiered(10);
    tier.store(&session(1));
    let found = cache.take(&id(1)).unwrap();
    assert_eq!((found.created_at(), found.expires_at()), (Some(at(START)), Some(at(START + 7200))));
    clock.advance(7201);
    assert!(cache.take(&id(1)).is_none(), "and so it expires in the tier too");
}

#[test]
fn it_is_asked_when_what_is_stored_has_expired() {
    let (cache, tier, clock) = tiered(10);
    store(&cache, session(1));
    clock.advance(7201);
    tier.store(&Session::new(id(1), 100));
    assert_eq!(*cache.get(&id(1)).unwrap(), 100);
    assert_eq!(numbers(&cache), [100]);
    let stats = cache.stats();
    assert_eq!((stats.timeouts, stats.expired, stats.tier_hits, stats.misses), (1, 1, 1, 0));
    assert_whole(&cache);
}

/// A cache of one, everything written through: what was evicted a moment ago still resumes.
#[test]
fn what_a_cache_of_one_evicted_a_moment_ago_still_resumes() {
    for (first, second) in [(1000, 2000), (2000, 1000)] {
        for single_use in [false, true] {
            let tier = Tier::default();
            let outer = tier.clone();
            let (builder, _clock) = clocked(1);
            let cache =
                tier.behind(builder).on_added(move |added| outer.store(added)).build().unwrap();
            let of = |n, seconds| {
                Session::<u64>::builder(id(n)).timeout(Duration::from_secs(seconds)).build(n)
            };
            store(&cache, of(1, first));
            store(&cache, of(2, second));
            assert_eq!(numbers(&cache), [2]);
            let offered = if single_use { cache.take(&id(1)) } else { cache.get(&id(1)) };
            assert_eq!(*offered.unwrap(), 1);
            assert_eq!(numbers(&cache), if single_use { [2] } else { [1] });
            assert_eq!(cache.stats().cache_full, if single_use { 1 } else { 2 });
        }
    }
}

/// A tier that is told of every departure holds what left for want of room, and nothing that was
/// taken.
#[test]
fn a_victim_cache_catches_what_is_evicted() {
    let tier = Tier::default();
    let store = tier.clone();
    let builder = SessionCache::builder().capacity(14).on_removed(move |session, cause| {
        if cause == RemovalCause::Evicted {
            store.store(session);
        }
    });
    let cache = tier.behind(builder).build().unwrap();
    for n in 0..200 {
        assert!(matches!(cache.add(session(n)), Ok(Added::Inserted)));
    }
    for n in 0..200 {
        assert_eq!(*cache.take(&id(n)).unwrap(), n);
        tier.sessions.lock().unwrap().remove(&id(n));
        assert!(cache.take(&id(n)).is_none(), "once only");
    }
    reclaim(&cache);
    assert_whole(&cache);
}

#[test]
fn it_hears_the_whole_question() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (questions, removals) = (Arc::clone(&asked), Arc::clone(&asked));
    let note =
        |query: &Query<'_>| (*query.id(), *query.context(), query.protocol(), query.operation());
    let hooks = Hooks::<u64>::new().on_query(move |query| {
        questions.lock().unwrap().push(note(query));
        None
    });
    let hooks = hooks.on_absent(move |query| removals.lock().unwrap().push(note(query)));
    let cache = SessionCache::builder().capacity(10).hooks(hooks).build().unwrap();
    let context = Context::from_bytes([3; 32]);
    let view = cache.view(context).protocol(Protocol::TLS1_3);
    assert!(view.get(&id(1)).is_none() && view.take(&id(2)).is_none() && !view.remove_id(&id(3)));
    assert!(cache.read(&id(4), |_| ()).is_none());
    assert!(!cache.remove(&session(5)));
    let (none, any) = (Context::NONE, Protocol::UNSPECIFIED);
    let expected = [
        (id(1), context, Protocol::TLS1_3, Operation::Get),
        (id(2), context, Protocol::TLS1_3, Operation::Take),
        (id(3), context, Protocol::TLS1_3, Operation::Remove),
        (id(4), none, any, Operation::Get),
        (id(5), none, any, Operation::Remove),
    ];
    assert_eq!(*asked.lock().unwrap(), expected);
}

/// A removal by identity of a session that was replaced says nothing of the one that is stored.
#[test]
fn it_hears_of_removals_only_where_nothing_is_stored() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let builder = SessionCache::builder().capacity(10);
    let cache =
        builder.on_absent(move |query| log.lock().unwrap().push(*query.id())).build().unwrap();
    let (old, new) = (session(1), session(1));
    assert!(cache.add(old.clone()).is_ok() && cache.add(new.clone()).is_ok());
    assert!(!cache.remove(&old) && cache.remove(&new));
    assert!(heard.lock().unwrap().is_empty());
    assert!(!cache.remove(&new) && !cache.remove_id(&id(1)));
    assert_eq!(*heard.lock().unwrap(), [id(1), id(1)]);
}

#[test]
fn it_is_told_what_was_taken_from_it_and_not_what_it_supplied() {
    let (added, removed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (news, gone) = (Arc::clone(&added), Arc::clone(&removed));
    let tier = Tier::default();
    let (builder, _clock) = clocked(10);
    let builder = tier.behind(builder).on_added(move |one| news.lock().unwrap().push(one.id()));
    let builder =
        builder.on_removed(move |one, cause| gone.lock().unwrap().push((one.id(), cause)));
    let cache = builder.build().unwrap();
    tier.store(&session(1));
    tier.store(&session(2));
    assert!(cache.get(&id(1)).is_some(), "kept, and no news to the tier");
    assert!(cache.take(&id(2)).is_some());
    assert_eq!(*added.lock().unwrap(), []);
    assert_eq!(*removed.lock().unwrap(), [(id(2), RemovalCause::Taken)]);
    assert_eq!((cache.stats().taken, cache.len()), (0, 1));
}

#[test]
fn an_answer_keeps_the_dates_that_it_brings() {
    let (cache, tier, clock) = tiered(10);
    let brought =
        Session::<u64>::builder(id(1)).created_at(START - 50).timeout(Duration::from_secs(60));
    tier.store(&brought.deadline(START + 5).build(1));
    let found = cache.get(&id(1)).unwrap();
    assert_eq!(
        (found.created_at(), found.expires_at()),
        (Some(at(START - 50)), Some(at(START + 5)))
    );
    clock.set(START + 6);
    assert!(cache.get(&id(1)).is_none());
}

/// What the hooks promise: a tier that looks at what is stored ends as the cache ends, whatever the
/// order in which its hooks are called and however slow they are.
#[test]
fn a_tier_that_reads_the_state_ends_as_the_cache_ends() {
    let own = Own::<u64>::default();
    let tier = Arc::new(Mutex::new(HashMap::<SessionId, u64>::new()));
    let copy = {
        let (own, tier) = (own.clone(), Arc::clone(&tier));
        move |id: SessionId| {
            std::thread::yield_now();
            let mut tier = tier.lock().unwrap();
            match own.cache().peek(&id) {
                Some(stored) => tier.insert(id, *stored),
                None => tier.remove(&id),
            };
        }
    };
    let gone = copy.clone();
    let builder =
        SessionCache::builder().capacity(14).on_added(move |one: &Session<u64>| copy(one.id()));
    let cache = own.is(builder.on_removed(move |one, _| gone(one.id())).build().unwrap());
    for round in 0..scaled(2_000, 200) {
        testkit::race(4, |thread| {
            for step in 0..8 {
                let key = (thread as u64 + step + round) % 3;
                match step % 4 {
                    0 | 1 => drop(cache.add(Session::new(id(key), round * 100 + step))),
                    2 => drop(cache.take(&id(key))),
                    _ => drop(cache.remove_id(&id(key))),
                }
            }
        });
        let stored: HashMap<_, _> = cache.iter().map(|one| (one.id(), *one)).collect();
        assert_eq!(*tier.lock().unwrap(), stored, "round {round}");
    }
}

/// A session that was kept for a `get` and is taken later still came from the tier, where another
/// process may have taken it too.
#[test]
fn what_it_supplied_is_known_by_its_source_for_ever() {
    let (cache, tier, _clock) = tiered(10);
    tier.store(&session(1));
    let view = cache.view(Context::NONE);
    assert_eq!(view.get_if(&id(1), |_| true).map(|found| found.1), Some(Source::Tier));
    assert_eq!(cache.len(), 1);
    assert!(cache.get(&id(1)).is_some() && cache.read(&id(1), |_| ()).is_some());
    assert_eq!(view.get_if(&id(1), |_| true).map(|found| found.1), Some(Source::Tier));
    assert_eq!(view.take_if(&id(1), |_| true).map(|found| found.1), Some(Source::Tier));
    assert_eq!((cache.stats().tier_hits, cache.stats().hits), (1, 4));
}

/// Whoever puts back what it took is a second tier: somebody else may have been given the session.
#[test]
fn what_was_taken_once_is_not_of_the_cache_any_more() {
    let cache = SessionCache::new(10).unwrap();
    store(&cache, session(1));
    for source in [Source::Cache, Source::Tier] {
        let (taken, from) =
            cache.view(Context::NONE).take_if(&id(1), |_| true).expect("it is stored");
        assert_eq!(from, source);
        store(&cache, taken);
    }
}

#[test]
fn what_is_added_as_a_tiers_is_no_news_and_is_told_apart() {
    let (cache, _, clock) = tiered(10);
    let told = Arc::new(Mutex::new(Vec::new()));
    let added = Arc::clone(&told);
    cache.set_hooks(
        Hooks::new().on_added(move |session: &Session<u64>| added.lock().unwrap().push(**session)),
    );
    let from = |number: u64| Session::<u64>::builder(id(number)).created_at(clock.now());
    assert!(matches!(cache.add_from_tier(from(1).build(1)), Ok(Added::Inserted)));
    cache.add(from(2).build(2)).unwrap();
    assert_eq!(*told.lock().unwrap(), [2]);
    let source = |number| cache.view(Context::NONE).take_if(&id(number), |_| true).unwrap().1;
    assert_eq!((source(1), source(2)), (Source::Tier, Source::Cache));

    cache.revoke(Context::NONE);
    let refused = cache.add_from_tier(from(3).build(3)).unwrap_err();
    assert_eq!(refused.reason(), Rejection::Revoked);
    clock.advance(1);
    cache.add_from_tier(from(4).build(4)).unwrap();
}

/// A hook that panics in a removal ends the removal all the same.
#[test]
fn a_removal_whose_hook_panics_is_over() {
    let (tier, (builder, _clock)) = (Tier::default(), clocked(10));
    let cache = tier.behind(builder).on_absent(|_| panic!("absent")).build().unwrap();
    let removal = AssertUnwindSafe(|| cache.remove_id(&id(1)));
    assert!(catch_unwind(removal).is_err());
    tier.store(&session(1));
    assert!(cache.get(&id(1)).is_some() && cache.peek(&id(1)).is_some());
}
