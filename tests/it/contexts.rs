//! Contexts: a session stored for one does not exist for another.

use sessile::{Added, Context, Generation, Mode, Protocol, Rejection, Session, SessionCache};
use std::sync::{Arc, Mutex};
use testkit::{Rng, START, assert_whole, clocked, id, race, session, store};

fn context(n: u8) -> Context {
    Context::from_bytes([n; 32])
}

fn of(context: Context, n: u64) -> Session<u64> {
    Session::<u64>::builder(id(n)).context(context).build(n)
}

#[test]
fn the_same_context_resumes_and_a_changed_one_does_not() {
    let cache = SessionCache::new(10).unwrap();
    let (first, changed) = (context(1), context(2));
    store(&cache, of(first, 1));
    assert!(cache.view(first).get(&id(1)).is_some());
    assert!(cache.view(changed).get(&id(1)).is_none());
    assert!(cache.view(changed).take(&id(1)).is_none());
    assert!(cache.view(changed).read(&id(1), |_| ()).is_none());
    assert!(cache.get(&id(1)).is_none(), "no context is a context too");
    assert!(cache.view(first).get(&id(1)).is_some(), "the entry stays stored");
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.context_misses, stats.misses), (2, 4, 0));
}

#[test]
fn a_mismatch_is_counted_apart_from_a_miss_and_from_a_timeout() {
    let (builder, clock) = clocked(10);
    let cache = builder.build().unwrap();
    store(&cache, of(context(1), 1));
    store(&cache, of(context(2), 1));
    assert!(cache.view(context(3)).get(&id(1)).is_none());
    assert!(cache.view(context(3)).get(&id(2)).is_none());
    clock.advance(10_000);
    assert!(cache.view(context(1)).get(&id(1)).is_none());
    let stats = cache.stats();
    assert_eq!((stats.context_misses, stats.misses, stats.timeouts), (1, 1, 1));
    assert_eq!(cache.len(), 1, "the other context's is not touched");
}

#[test]
fn one_id_in_many_contexts_is_many_sessions() {
    let cache = SessionCache::new(14).unwrap();
    for n in 0..14 {
        let one = Session::<u64>::builder(id(1)).context(context(n)).build(u64::from(n));
        assert!(matches!(cache.add(one), Ok(Added::Inserted)));
    }
    for n in 0..14 {
        assert_eq!(*cache.view(context(n)).get(&id(1)).unwrap(), u64::from(n));
    }
    assert_eq!(*cache.get(&id(1)).unwrap(), 0, "all zero is no context");
    assert!(cache.view(context(7)).remove_id(&id(1)));
    assert_eq!(cache.len(), 13);
    assert_whole(&cache);
}

/// A set holds fourteen of one id. What goes beyond is evicted, and costs no room for others.
#[test]
fn one_id_in_very_many_contexts_is_bounded_by_its_set() {
    let cache = SessionCache::new(100).unwrap();
    let mut bytes = [0; 32];
    for n in 0..1000u64 {
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        let one = Session::<u64>::builder(id(1)).context(Context::from_bytes(bytes)).build(n);
        assert!(matches!(cache.add(one), Ok(Added::Inserted)));
        assert_eq!(cache.len() as u64, (n + 1).min(14));
        assert!(cache.view(Context::from_bytes(bytes)).get(&id(1)).is_some());
    }
    assert_eq!(cache.stats().evicted, 986);
    assert_whole(&cache);
    assert_eq!(cache.clear(), 14);
    for n in 0..100 {
        store(&cache, of(Context::NONE, n));
    }
    assert_eq!((cache.len(), cache.stats().evicted), (100, 986));
}

#[test]
fn a_million_lookups_across_contexts_hit_nothing() {
    let cache = SessionCache::new(4000).unwrap();
    let contexts: Vec<Context> = (0..8).map(context).collect();
    for n in 0..2000 {
        store(&cache, of(contexts[n as usize % 8], n));
    }
    assert_eq!(cache.len(), 2000);
    let lookups_each = 500_000;
    race(2, |thread| {
        let mut random = Rng::with_seed(thread as u64);
        for lookup in 0..lookups_each {
            let n = random.u64(..2000);
            let other = (n + 1 + random.u64(..7)) % 8;
            let view = cache.view(contexts[other as usize]);
            let found = match lookup % 3 {
                0 => view.get(&id(n)).is_some(),
                1 => view.read(&id(n), |_| ()).is_some(),
                _ => view.take(&id(n)).is_some(),
            };
            assert!(!found, "session {n} was seen from context {other}");
        }
    });
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.context_misses), (0, 2 * lookups_each));
    assert_eq!(cache.len(), 2000);
    for n in 0..2000 {
        assert!(cache.view(contexts[n as usize % 8]).get(&id(n)).is_some());
    }
}

#[test]
fn no_version_is_taken_for_another() {
    let cache = SessionCache::new(10).unwrap();
    let thirteen = Session::<u64>::builder(id(1)).protocol(Protocol::TLS1_3).build(1);
    store(&cache, thirteen);
    let view = cache.view(Context::NONE);
    for protocol in [Protocol::TLS1_2, Protocol::UNSPECIFIED, Protocol(0xFEFD)] {
        assert!(view.protocol(protocol).get(&id(1)).is_none());
        assert!(!view.protocol(protocol).remove_id(&id(1)));
    }
    assert!(view.protocol(Protocol::TLS1_3).take(&id(1)).is_some());
}

#[test]
fn a_view_refuses_what_belongs_elsewhere() {
    let cache = SessionCache::new(10).unwrap();
    let view = cache.view(context(1));
    let stranger = of(context(2), 1);
    assert!(
        matches!(view.add(stranger.clone()), Err(rejected) if rejected.reason() == Rejection::Context)
    );
    assert_eq!(Session::handle_count(&stranger), 1);
    assert!(matches!(view.add(of(context(1), 1)), Ok(Added::Inserted)));
    let narrow = view.protocol(Protocol::TLS1_3);
    assert!(
        matches!(narrow.add(of(context(1), 2)), Err(rejected) if rejected.reason() == Rejection::Context)
    );
    let stats = cache.stats();
    assert_eq!((stats.added, stats.rejected, stats.number), (1, 2, 1));
    assert_whole(&cache);
}

#[test]
fn a_view_walks_over_its_own_sessions_only() {
    let (builder, clock) = clocked(1000);
    let cache = builder.build().unwrap();
    for n in 0..300 {
        let protocol = if n % 2 == 0 { Protocol::TLS1_2 } else { Protocol::TLS1_3 };
        let of_context = context((n % 3) as u8);
        let one = Session::<u64>::builder(id(n)).context(of_context).protocol(protocol);
        let lifetime = std::time::Duration::from_secs(100 + n % 5);
        store(&cache, one.timeout(lifetime).build(n));
    }
    let view = cache.view(context(1));
    assert_eq!((view.len(), view.is_empty(), view.context()), (100, false, context(1)));
    assert!(view.iter().all(|one| one.context() == context(1)));
    assert_eq!(view.protocol(Protocol::TLS1_2).snapshot().len(), 50);
    clock.advance(103);
    assert_eq!(view.flush_expired_at(START + 103), 60);
    assert_eq!((view.len(), cache.len()), (40, 240));
    assert_eq!(view.protocol(Protocol::TLS1_3).clear(), 20);
    assert_eq!(view.clear(), 20);
    assert!(view.is_empty());
    assert_eq!((cache.len(), view.cache().len()), (200, 200));
    assert_whole(&cache);
}

#[cfg(feature = "digest")]
#[test]
fn a_digest_separates_its_parts() {
    let digest = |parts: &[&str]| Context::digest(parts);
    let all = [
        digest(&[]),
        digest(&[""]),
        digest(&["", ""]),
        digest(&["ab", "c"]),
        digest(&["a", "bc"]),
        digest(&["abc"]),
        digest(&["c", "ab"]),
    ];
    for (n, one) in all.iter().enumerate() {
        assert!(!one.is_none());
        assert!(all.iter().skip(n + 1).all(|other| one != other));
    }
    assert_eq!(digest(&["web", "mtls"]), Context::digest([b"web".to_vec(), b"mtls".to_vec()]));
    assert!(Context::NONE.is_none() && Context::from_bytes([0; 32]).is_none());
    assert_eq!(Context::default(), Context::NONE);
}

/// A digest that changed between releases would orphan every session of a shared store.
#[cfg(feature = "digest")]
#[test]
fn a_digest_is_sha256_over_lengths_and_parts() {
    let hex = "d7bb699f2fc0470ecb7fdd7164c849bae62dc48411a9a3df73fece56bcae43de";
    let bytes: Vec<u8> =
        (0..64).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    let expected = Context::from_bytes(bytes.try_into().unwrap());
    assert_eq!(Context::digest(["web", ""]), expected);
}

fn in_context(n: u64, context: Context) -> Session<u64> {
    Session::<u64>::builder(id(n)).context(context).build(n)
}

#[test]
fn a_revoked_context_has_no_session_any_more_and_others_keep_theirs() {
    let (one, other) = (Context::from_bytes([1; 32]), Context::from_bytes([2; 32]));
    for capacity in [14, 1000] {
        let cache = SessionCache::new(capacity).unwrap();
        for n in 0..6 {
            assert!(cache.add(in_context(n, if n < 3 { one } else { other })).is_ok());
        }
        let before = Generation::present();
        let began = cache.revoke(one);
        assert!(before < began && Generation::present() >= began);
        assert!(cache.is_revoked(&one, before) && !cache.is_revoked(&one, began));
        assert!(!cache.is_revoked(&other, before));
        let view = cache.view(one);
        assert!((0..3).all(|n| view.peek(&id(n)).is_none()));
        assert!(view.snapshot().is_empty());
        assert!(view.get(&id(0)).is_none() && view.take(&id(1)).is_none());
        assert!(view.read(&id(2), |_| ()).is_none());
        assert!((3..6).all(|n| cache.view(other).get(&id(n)).is_some()));
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.removed, stats.number), (3, 3, 3, 3));
        assert_whole(&cache);
    }
}

#[test]
fn what_comes_after_a_revocation_is_found_and_what_was_there_never_comes_back() {
    let context = Context::from_bytes([1; 32]);
    let cache = SessionCache::new(100).unwrap();
    let (old, taken) = (in_context(1, context), in_context(2, context));
    assert!(cache.add(old.clone()).is_ok() && cache.add(taken.clone()).is_ok());
    assert!(cache.view(context).take(&id(2)).is_some());
    let under_way = Generation::present();
    cache.view(context).revoke();
    for gone in [&old, &taken] {
        let rejected = cache.add(gone.clone()).unwrap_err();
        assert_eq!(rejected.reason(), Rejection::Revoked);
    }
    // A handshake that began before the revocation and ended after it.
    let late = Session::<u64>::builder(id(3)).context(context).generation(under_way).build(3);
    assert_eq!(cache.add(late).unwrap_err().reason(), Rejection::Revoked);
    let new = in_context(1, context);
    assert!(
        matches!(cache.add(new.clone()), Ok(Added::Replaced(replaced)) if Session::ptr_eq(&replaced, &old))
    );
    assert!(Session::ptr_eq(&cache.view(context).get(&id(1)).unwrap(), &new));
    assert!(new.generation() > under_way);
    cache.revoke(context);
    assert!(cache.view(context).get(&id(1)).is_none(), "once more");
    cache.set_mode(Mode { update_time: true, ..Mode::default() });
    assert!(
        cache.is_revoked(&context, under_way),
        "a mode that is set later forgets no revocation"
    );
    assert_whole(&cache);
}

/// A revoked session is memory only: the sweep of later adds frees it, and a flush at once.
#[test]
fn revoked_sessions_leave_by_sweep_and_flush() {
    let context = Context::from_bytes([1; 32]);
    let cache = SessionCache::new(1000).unwrap();
    (0..300).for_each(|n| assert!(cache.add(in_context(n, context)).is_ok()));
    cache.revoke(context);
    assert_eq!(cache.len(), 300);
    assert_eq!(cache.flush_expired(), 300);
    assert!(cache.is_empty());
    (0..300).for_each(|n| assert!(cache.add(in_context(n, context)).is_ok()));
    cache.revoke(context);
    (1000..200_000).for_each(|n| drop(cache.add(session(n % 10 + 1000))));
    assert_eq!(cache.len(), 10, "{:?}", cache.stats());
    assert_whole(&cache);
}

/// A tier does not know of revocations: what it supplies must have been made afterwards.
#[test]
fn a_tier_does_not_bring_a_revoked_session_back() {
    let context = Context::from_bytes([1; 32]);
    let (builder, clock) = clocked(100);
    let made = Arc::new(Mutex::new(None));
    let answers = Arc::clone(&made);
    let cache = builder.on_miss(move |_, _| answers.lock().unwrap().clone()).build().unwrap();
    let of = |n: u64| Session::<u64>::builder(id(n)).context(context);
    clock.advance(10);
    cache.revoke(context);
    clock.advance(10);
    let cases = [
        (of(1).build(1), false),
        (of(2).created_at(START + 10).build(2), false),
        (of(3).created_at(START + 11).build(3), true),
    ];
    for (answer, is_found) in cases {
        let id = answer.id();
        *made.lock().unwrap() = Some(answer);
        assert_eq!(cache.view(context).take(&id).is_some(), is_found, "{id:?}");
        assert_eq!(cache.view(context).get(&id).is_some(), is_found, "{id:?}");
    }
}

/// What a second tier supplies is judged by the date of the last revocation, not of the first.
#[test]
fn a_context_is_revoked_again_at_a_later_date() {
    let (builder, clock) = clocked::<u64>(10);
    let cache = builder.build().unwrap();
    let context = context(1);
    assert_eq!(cache.revoked_at(&context), None);
    for seconds in [START, START + 100] {
        clock.set(seconds);
        cache.revoke(context);
        assert_eq!(cache.revoked_at(&context), Some(sessile::Timestamp::from(seconds)));
    }
}

/// In whichever order the two are met.
#[test]
fn what_may_not_be_used_yet_is_a_miss_though_the_id_is_known_elsewhere() {
    for is_first in [true, false] {
        let (builder, _clock) = clocked(10);
        let cache = builder.build().unwrap();
        let early =
            Session::<u64>::builder(id(1)).context(context(1)).created_at(START + 50).build(1);
        let mut both = [early, of(context(2), 1)];
        if is_first {
            both.reverse();
        }
        both.into_iter().for_each(|one| store(&cache, one));
        assert!(cache.view(context(1)).get(&id(1)).is_none());
        assert_eq!((cache.stats().misses, cache.stats().context_misses), (1, 0));
    }
}
