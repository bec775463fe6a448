//! Taking: a session is handed out once.

use sessile::{Added, Context, RemovalCause, Session, SessionCache, SessionId, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::{
    Gate, Ledger, Payload, Removals, Rng, add_patiently, assert_whole, clocked, id, race, reclaim,
    scaled, session, store,
};

#[test]
fn a_taken_session_is_gone() {
    let removals = Removals::default();
    let cache = SessionCache::builder().capacity(10).on_removed(removals.hook()).build().unwrap();
    let one = session(1);
    store(&cache, one.clone());
    let taken = cache.take(&id(1)).unwrap();
    assert!(Session::ptr_eq(&taken, &one));
    assert!(taken.is_resumable());
    assert!(cache.take(&id(1)).is_none() && cache.get(&id(1)).is_none());
    assert!(!cache.remove(&one));
    assert_eq!(removals.take(), [(1, RemovalCause::Taken)]);
    let stats = cache.stats();
    assert_eq!((stats.taken, stats.hits, stats.misses, stats.removed), (1, 1, 2, 0));
    drop(taken);
    reclaim(&cache);
    assert_eq!(Session::handle_count(&one), 1);
    assert_whole(&cache);
}

#[test]
fn five_tickets_are_five_resumptions_and_the_sixth_offer_misses() {
    let cache = SessionCache::new(100).unwrap();
    for ticket in 0..5 {
        store(&cache, session(ticket));
    }
    for ticket in 0..5 {
        assert_eq!(*cache.take(&id(ticket)).unwrap(), ticket);
        assert!(cache.take(&id(ticket)).is_none());
    }
    let stats = cache.stats();
    assert_eq!((stats.taken, stats.misses, stats.number), (5, 5, 0));
}

#[test]
fn an_expired_session_is_not_taken() {
    let removals = Removals::default();
    let (builder, clock) = clocked(10);
    let cache = builder.on_removed(removals.hook()).build().unwrap();
    store(&cache, session(1));
    clock.advance(7201);
    assert!(cache.take(&id(1)).is_none());
    assert_eq!(removals.take(), [(1, RemovalCause::Expired)]);
    let stats = cache.stats();
    assert_eq!((stats.timeouts, stats.expired, stats.taken, stats.hits), (1, 1, 0, 0));
    assert_whole(&cache);
}

#[test]
fn a_session_that_may_not_be_resumed_is_not_taken() {
    let removals = Removals::default();
    let cache = SessionCache::builder().capacity(10).on_removed(removals.hook()).build().unwrap();
    let one = session(1);
    store(&cache, one.clone());
    one.set_not_resumable();
    assert!(cache.take(&id(1)).is_none());
    assert_eq!(removals.take(), [(1, RemovalCause::Removed)]);
    assert!(cache.is_empty());
    assert_whole(&cache);
}

#[test]
fn of_racing_takers_exactly_one_wins() {
    for capacity in [1, 14, 200] {
        let cache = SessionCache::new(capacity).unwrap();
        let rounds = scaled(20_000, 2_000);
        let wins: Vec<AtomicUsize> = (0..rounds).map(|_| AtomicUsize::new(0)).collect();
        let gate = Gate::new(4);
        race(4, |thread| {
            let member = gate.member();
            for round in 0..rounds {
                if thread == 0 {
                    let added = add_patiently(&cache, session(round));
                    assert!(matches!(added, Ok(Added::Inserted)), "{added:?}");
                }
                if round % 64 == 0 {
                    assert!(member.meet(round as usize / 64));
                }
                // Everybody goes for what was added last, and the round before, again.
                for target in [round, round.saturating_sub(1)] {
                    if let Some(won) = cache.take(&id(target)) {
                        wins[*won as usize].fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        let left: u64 = cache.clear() as u64;
        let won: u64 = wins.iter().map(|wins| wins.load(Ordering::Relaxed) as u64).sum();
        assert!(
            wins.iter().all(|wins| wins.load(Ordering::Relaxed) <= 1),
            "a session was taken twice"
        );
        assert_eq!(won + left + cache.stats().evicted, rounds);
        assert_eq!(cache.stats().taken, won);
        assert_whole(&cache);
    }
}

/// What became of each session, as the hook heard it. Panics on a second end.
struct Ends(Vec<AtomicUsize>);

const TAKEN: usize = 1;
const REMOVED: usize = 2;
const REPLACED: usize = 3;

impl Ends {
    fn note(&self, serial: u64, cause: RemovalCause) {
        let end = match cause {
            RemovalCause::Taken => TAKEN,
            RemovalCause::Removed => REMOVED,
            RemovalCause::Replaced => REPLACED,
            other => panic!("nothing here is {other:?}"),
        };
        let before = self.0[serial as usize].swap(end, Ordering::Relaxed);
        assert_eq!(before, 0, "session {serial} left twice");
    }

    fn how_many(&self, end: usize) -> usize {
        self.0.iter().filter(|one| one.load(Ordering::Relaxed) == end).count()
    }
}

/// Each session has one end: taken, removed by identity, removed by id, replaced, or still there.
fn race_for_few_keys(threads: usize, rounds: u64) {
    let ends = Arc::new(Ends((0..threads as u64 * rounds).map(|_| AtomicUsize::new(0)).collect()));
    let told = Arc::clone(&ends);
    let ledger = Ledger::new();
    let cache: SessionCache<Payload> = SessionCache::builder()
        .capacity(14)
        .on_removed(move |session: &Session<Payload>, cause| told.note(session.number(), cause))
        .build()
        .unwrap();
    let won = race(threads, |thread| {
        let mut random = Rng::with_seed(thread as u64);
        let (mut taken, mut removed, mut replaced) = (vec![], 0, vec![]);
        for round in 0..rounds {
            let key = id(random.u64(..3));
            match random.u64(..5) {
                0 | 1 => {
                    let serial = thread as u64 * rounds + round;
                    match cache.add(Session::new(key, ledger.payload(serial))) {
                        Ok(Added::Inserted) => {}
                        Ok(Added::Replaced(old)) => replaced.push(old.number()),
                        Ok(Added::Identical) | Err(_) => panic!("every object is new and good"),
                    }
                }
                2 => taken.extend(cache.take(&key).map(|session| session.number())),
                3 => removed += usize::from(cache.remove_id(&key)),
                _ => {
                    removed +=
                        usize::from(cache.get(&key).is_some_and(|found| cache.remove(&found)))
                }
            }
        }
        (taken, removed, replaced)
    });
    let taken: Vec<u64> = won.iter().flat_map(|won| won.0.clone()).collect();
    let replaced: Vec<u64> = won.iter().flat_map(|won| won.2.clone()).collect();
    let end_of = |serial: &u64| ends.0[*serial as usize].load(Ordering::Relaxed);
    assert!(taken.iter().all(|serial| end_of(serial) == TAKEN));
    assert!(replaced.iter().all(|serial| end_of(serial) == REPLACED));
    assert_eq!((taken.len(), replaced.len()), (ends.how_many(TAKEN), ends.how_many(REPLACED)));
    // A lookup may be the one that removes what `remove` has just marked.
    assert!(won.iter().map(|won| won.1).sum::<usize>() <= ends.how_many(REMOVED));
    assert!(cache.snapshot().iter().all(|session| end_of(&session.number()) == 0));
    let stats = cache.stats();
    assert_eq!(stats.added + stats.replaced, ledger.made() as u64);
    assert_eq!(stats.removed, ends.how_many(REMOVED) as u64);
    assert_whole(&cache);
    drop(cache);
    assert_eq!(ledger.alive(), 0);
}

#[test]
fn of_racing_takers_removers_and_replacers_exactly_one_wins() {
    for threads in [2, 4, 8] {
        race_for_few_keys(threads, scaled(100_000, 10_000) / threads as u64);
    }
}

/// What is not wanted stays, is no hit, and is not asked of a second tier either.
#[test]
fn a_lookup_can_be_made_to_depend_on_the_session() {
    let asked = Arc::new(AtomicUsize::new(0));
    let log = Arc::clone(&asked);
    let supply = move |id: &SessionId, _: &Context| {
        log.fetch_add(1, Ordering::Relaxed);
        Some(Session::new(*id, 100))
    };
    let cache = SessionCache::builder().capacity(10).on_miss(supply).build().unwrap();
    assert!(cache.add(session(1)).is_ok());
    let view = cache.view(Context::NONE);
    let questions = AtomicUsize::new(0);
    let second = |_: &Session<u64>| questions.fetch_add(1, Ordering::Relaxed) > 0;
    assert!(view.take_if(&id(1), second).is_none(), "asked once about each session");
    assert!(view.get_if(&id(1), |one| **one == 2).is_none());
    assert_eq!((cache.stats().hits, cache.stats().misses, cache.len()), (0, 2, 1));
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    let found = view.get_if(&id(1), |one| **one == 1).unwrap();
    assert_eq!((*found.0, found.1), (1, Source::Cache));
    let taken = view.take_if(&id(1), |one| **one == 1).unwrap();
    assert_eq!((*taken.0, taken.1), (1, Source::Cache));
    assert_eq!((cache.stats().hits, cache.stats().taken), (2, 1));
    let supplied = view.take_if(&id(1), |_| true).unwrap();
    assert_eq!((*supplied.0, supplied.1), (100, Source::Tier));
    assert!(view.take_if(&id(1), |one| **one == 1).is_none(), "nor from the tier");
    assert_eq!((asked.load(Ordering::Relaxed), cache.len()), (2, 0));
    assert_whole(&cache);
}
