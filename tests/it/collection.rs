//! The cache as a collection: membership, removal by a predicate, many sessions at once, export and
//! import.

use sessile::{
    Context, InvalidExport, Protocol, Rejection, Secret, Session, SessionBuilder, SessionCache,
    Source, Stats,
};
use std::time::Duration;
use testkit::{START, assert_whole, at, clocked, id, numbers, session, store};

fn full() -> SessionCache<u64> {
    let cache = SessionCache::new(100).unwrap();
    (&cache).extend((0..50).map(session));
    cache
}

#[test]
fn membership_counts_nothing_and_ends_with_removal() {
    let cache = full();
    assert!(cache.contains(&id(7)) && !cache.contains(&id(50)));
    assert_eq!((cache.stats().hits, cache.stats().misses), (0, 0));
    assert!(cache.remove_id(&id(7)) && !cache.contains(&id(7)));
    let elsewhere = cache.view(Context::from_bytes([1; 32]));
    assert!(!elsewhere.contains(&id(8)) && cache.view(Context::NONE).contains(&id(8)));
}

#[test]
fn a_predicate_removes_what_it_names_and_may_use_the_cache() {
    let cache = full();
    let removed = cache.remove_if(|session| {
        assert!(cache.contains(&session.id()), "no guard is held");
        **session % 2 == 1
    });
    assert_eq!((removed, cache.stats().removed), (25, 25));
    assert_eq!(numbers(&cache), (0..50).step_by(2).collect::<Vec<_>>());
    assert_eq!(cache.view(Context::from_bytes([1; 32])).remove_if(|_| true), 0);
    assert_eq!(cache.view(Context::NONE).remove_if(|_| true), 25);
    assert_whole(&cache);
}

/// What is asked about is what was stored; a newer session under the same key stays.
#[test]
fn a_session_that_is_replaced_meanwhile_stays() {
    let cache = full();
    let removed = cache.remove_if(|session| {
        let newer = Session::new(session.id(), 100 + **session);
        **session < 3 && cache.add(newer).is_ok()
    });
    assert_eq!((removed, cache.len()), (0, 50));
    assert_eq!(numbers(&cache)[47..], [100, 101, 102]);
}

#[test]
fn iteration_and_extension_are_those_of_a_collection() {
    let mut cache = full();
    let mut seen: Vec<u64> = (&cache).into_iter().map(|session| *session).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..50).collect::<Vec<_>>());
    let refused = session(60);
    refused.set_not_resumable();
    cache.extend([session(51), refused]);
    assert_eq!(cache.len(), 51);
    assert_eq!(cache.stats().rejections.of(Rejection::NotResumable), 1);
}

fn encode(payload: &u64) -> Option<Secret> {
    (*payload != 3).then(|| Secret::from(&payload.to_le_bytes()[..]))
}

fn decode(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?)).filter(|payload| *payload != 4)
}

#[test]
fn an_import_has_the_keys_and_dates_of_the_export() {
    let (builder, clock) = clocked(100);
    let old = builder.build().unwrap();
    (&old).extend((0..5).map(session));
    let named = |n: u64| SessionBuilder::new(id(n)).context(Context::from_bytes([9; 32]));
    let dated = named(10).protocol(Protocol::TLS1_3).timeout(Duration::from_secs(50));
    (&old).extend([dated.deadline(START + 40).build(10), named(11).deadline(START + 9).build(11)]);
    let bytes = old.export(encode);

    clock.advance(10);
    let (builder, _) = clocked::<u64>(100);
    let new = builder.clock(clock).build().unwrap();
    assert_eq!(new.import(&bytes, decode), Ok(4), "without 3, 4, and 11, which has expired");
    assert_eq!(numbers(&new), [0, 1, 2, 10]);
    assert_eq!(new.stats().rejections.of(Rejection::Expired), 1);
    let view = new.view(Context::from_bytes([9; 32])).protocol(Protocol::TLS1_3);
    let carried = view.get(&id(10)).unwrap();
    assert_eq!((carried.created_at(), carried.deadline()), (Some(at(START)), Some(at(START + 40))));
    assert_eq!(carried.timeout(), Some(Duration::from_secs(50)));
    assert_whole(&new);
}

#[test]
fn what_is_no_export_changes_nothing() {
    let old = full();
    let bytes = old.export(encode);
    let new = SessionCache::new(100).unwrap();
    for length in [0, 1, 8 + 1, 8 + 40, bytes.len() - 1] {
        assert_eq!(new.import(&bytes[..length], decode), Err(InvalidExport), "{length} bytes");
    }
    let mut other = bytes.to_vec();
    other[7] += 1;
    assert_eq!(new.import(&other, decode), Err(InvalidExport), "another version");
    assert!(new.is_empty());
    assert_eq!(new.import(&bytes[..8], decode), Ok(0), "an empty cache's export");
}

/// Whoever wrote the export may go on, and so may whoever revoked its context.
#[test]
fn what_is_imported_may_have_been_used_elsewhere() {
    let (builder, clock) = clocked(100);
    let cache = builder.build().unwrap();
    store(&cache, session(1));
    let export = cache.export(|number| Some(Secret::from(&number.to_le_bytes()[..])));
    let import = || {
        let decode = |bytes: &[u8]| Some(u64::from_le_bytes(bytes.try_into().ok()?));
        cache.import(&export, decode).unwrap()
    };
    let source = || cache.view(Context::NONE).take_if(&id(1), |_| true).map(|(_, source)| source);
    assert_eq!(source(), Some(Source::Cache));
    assert_eq!((import(), source()), (1, Some(Source::Tier)), "no early data with it");
    clock.advance(10);
    cache.revoke(Context::NONE);
    let before = cache.stats();
    assert_eq!((import(), source()), (0, None));
    let after = cache.stats();
    let revoked = |stats: &Stats| stats.rejections.of(Rejection::Revoked);
    assert_eq!(revoked(&after), revoked(&before) + 1);
    assert_eq!(after.rejected, after.rejections.iter().map(|(_, count)| count).sum());
}
