//! What must hold of a cache whenever no operation is under way.
#![forbid(unsafe_code)]

use crate::{Ledger, Payload};
use anyhow::{Result, ensure};
use sessile::{Added, Rejected, Rejection, Session, SessionCache};
use std::collections::HashSet;

/// Checks that the counters balance, that nothing is stored twice, and that the capacity is kept.
///
/// # Errors
/// With what does not hold.
pub fn ensure_whole<T: Send + Sync + 'static>(cache: &SessionCache<T>) -> Result<()> {
    let stats = cache.stats();
    let left = stats.removed + stats.taken + stats.evicted + stats.expired + stats.flushed;
    let stored = cache.len();
    ensure!(
        stats.added - left == stats.number,
        "what came and went is not what is there: {stats:?}"
    );
    ensure!(stats.evicted == stats.cache_full, "evictions are counted twice: {stats:?}");
    ensure!(stats.number == stored as u64, "{stored} stored: {stats:?}");
    ensure!(cache.is_empty() == (stored == 0), "{stored} stored in an empty cache");
    ensure!(stored <= cache.capacity(), "{stored} of {} stored", cache.capacity());
    let all = cache.snapshot();
    ensure!(all.len() == stored, "{} shown, {stored} counted", all.len());
    let key = |one: &Session<T>| (one.context(), one.protocol(), one.id());
    let keys: HashSet<_> = all.iter().map(key).collect();
    ensure!(keys.len() == all.len(), "a key is stored twice");
    Ok(())
}

/// As [`ensure_whole`].
///
/// # Panics
/// When it does not hold.
#[track_caller]
pub fn assert_whole<T: Send + Sync + 'static>(cache: &SessionCache<T>) {
    ensure_whole(cache).expect("a whole cache");
}

/// Adds a session that is not stored yet.
///
/// # Panics
/// When the cache refuses it, or has it.
#[track_caller]
pub fn store<T: Send + Sync + 'static>(cache: &SessionCache<T>, session: Session<T>) {
    assert!(cache.add(session).is_ok_and(|added| added.changed()), "inserted, or replaced another");
}

/// Adds a session, again where there was contention: a thread that lost its processor in an
/// operation may hold what the others need, the only permit of a cache for one.
pub fn add_patiently<T: Send + Sync + 'static>(
    cache: &SessionCache<T>,
    session: Session<T>,
) -> Result<Added<T>, Rejected<T>> {
    let mut added = cache.add(session);
    loop {
        match added {
            Err(rejected) if rejected.reason() == Rejection::Contention => {
                added = cache.add(rejected.into_session());
            }
            added => return added,
        }
    }
}

/// Frees what was retired before.
pub fn reclaim<T: Send + Sync + 'static>(cache: &SessionCache<T>) {
    for _ in 0..3 {
        cache.collect();
    }
}

/// Frees what was retired and checks that nothing is left of it.
///
/// # Errors
/// When garbage is left.
pub fn ensure_reclaimed<T: Send + Sync + 'static>(cache: &SessionCache<T>) -> Result<()> {
    cache.collect();
    cache.collect();
    let garbage = cache.stats().garbage;
    ensure!(garbage.sessions == 0 && garbage.bytes == 0, "garbage is left: {garbage:?}");
    Ok(())
}

/// Checks that a cache is whole, and that its sessions are all that is alive once what it retired
/// is freed.
///
/// # Errors
/// With what does not hold.
pub fn ensure_accounted(cache: &SessionCache<Payload>, ledger: &Ledger) -> Result<()> {
    ensure_whole(cache)?;
    ensure_reclaimed(cache)?;
    ledger.ensure_alive(cache.len())
}
