//! What must hold of a cache whenever no operation is under way.
#![forbid(unsafe_code)]

use crate::{Ledger, Payload};
use anyhow::{Result, ensure};
use sessile::{Session, SessionCache};
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
