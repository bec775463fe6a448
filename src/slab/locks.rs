//! Memory that is not swapped out.
#![forbid(unsafe_code)]

use super::POOLS;
use super::pool::Pool;
use crate::sync::untracked::{AtomicBool, Ordering};
use crate::sync::yield_now;

/// Set before chunks are locked, so that chunks that are made meanwhile are, too.
static WANTED: AtomicBool = AtomicBool::new(false);
/// Whether it ever was set.
static WAS_WANTED: AtomicBool = AtomicBool::new(false);
/// Whoever set it may change the others.
static IS_CHANGING: AtomicBool = AtomicBool::new(false);

/// Attempts to get at a depot, between which others may run.
const PATIENCE: u32 = 10_000;

/// Whether memory is to be locked.
#[inline]
pub(super) fn are_wanted() -> bool {
    // ORDERING: Relaxed: `lock` looks at every depot afterwards. Whoever makes a chunk holds its
    // depot, so either it has seen the flag, or `lock` finds the chunk.
    WANTED.load(Ordering::Relaxed)
}

/// Whether memory may be locked.
#[inline]
pub(super) fn were_wanted() -> bool {
    // ORDERING: Relaxed: whoever locked the memory set the flag before, and handed it over since.
    WAS_WANTED.load(Ordering::Relaxed)
}

/// The system does not lock the memory.
pub(crate) struct NotLocked;

/// Locks the memory of all pools from now on. After a failure nothing is locked that was not
/// before.
pub(crate) fn lock() -> Result<(), NotLocked> {
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        return Err(NotLocked);
    }
    // ORDERING: Acquire: sees the flags as the one before left them, pairs with the store below.
    // Relaxed on failure: nothing is read. Invisible: no model locks memory.
    let try_change =
        || IS_CHANGING.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok();
    if !in_time(try_change) {
        return Err(NotLocked);
    }
    let result = lock_alone();
    // ORDERING: Release: pairs with the exchange above. Invisible: as there.
    IS_CHANGING.store(false, Ordering::Release);
    result
}

fn lock_alone() -> Result<(), NotLocked> {
    // ORDERING: Relaxed throughout: see `are_wanted` and `were_wanted`.
    WAS_WANTED.swap(true, Ordering::Relaxed);
    let was_wanted = WANTED.swap(true, Ordering::Relaxed);
    let is_locked = POOLS.iter().all(|pool| {
        let mut is_locked = false;
        let is_seen = in_time(|| pool.lock().map(|locked| is_locked = locked).is_some());
        is_seen && is_locked
    });
    if is_locked {
        return Ok(());
    }
    if !was_wanted {
        WANTED.store(false, Ordering::Relaxed);
        POOLS.iter().for_each(Pool::unlock);
    }
    Err(NotLocked)
}

/// Tries for a while: a thread may be stopped in a depot, and in a child that was forked meanwhile
/// it stays there.
fn in_time(mut attempt: impl FnMut() -> bool) -> bool {
    (0..PATIENCE).any(|nth| {
        if nth > 0 {
            yield_now();
        }
        attempt()
    })
}
