//! Memory that is not swapped out.
#![forbid(unsafe_code)]

use super::POOLS;
use crate::sync::untracked::{AtomicBool, Ordering};
use crate::sync::yield_now;

/// Set before chunks are locked, so that chunks that are made meanwhile are, too.
static WANTED: AtomicBool = AtomicBool::new(false);

/// Whether chunks are to be locked, and nothing is to come from elsewhere.
#[inline]
pub(super) fn are_wanted() -> bool {
    // ORDERING: Relaxed: `lock` looks at every depot afterwards. Whoever makes a chunk holds its
    // depot, so either it has seen the flag, or `lock` finds the chunk.
    WANTED.load(Ordering::Relaxed)
}

/// The system does not lock the memory.
pub(crate) struct NotLocked;

/// Locks the memory of all pools from now on.
pub(crate) fn lock() -> Result<(), NotLocked> {
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        return Err(NotLocked);
    }
    // ORDERING: Relaxed, as above: the exchange is in force before a depot is looked at.
    let was_wanted = WANTED.swap(true, Ordering::Relaxed);
    for pool in &POOLS {
        let is_locked = loop {
            match pool.lock() {
                Some(is_locked) => break is_locked,
                // Somebody has the depot for some microseconds.
                None => yield_now(),
            }
        };
        if !is_locked {
            // ORDERING: Relaxed, as above.
            WANTED.store(was_wanted, Ordering::Relaxed);
            return Err(NotLocked);
        }
    }
    Ok(())
}
