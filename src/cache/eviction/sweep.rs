//! When something may have expired, and how far the sweep of adds is.
#![forbid(unsafe_code)]

use crate::sync::untracked::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// When something may have expired, and where the sweep of `add` stands. Hints: a lookup always
/// checks for itself.
pub(in crate::cache) struct Sweeper {
    /// Nothing stored expires before the end of this second, as far as adds and sweeps have seen.
    soonest: AtomicU64,
    /// The same for the sweep under way, which replaces `soonest` at its end.
    pending: AtomicU64,
    cursor: AtomicUsize,
    is_interrupted: AtomicBool,
}

/// How many buckets are swept for a newcomer that met nothing expired while something may have
/// expired. Halved each time that none is met, so that where few have expired it costs little;
/// whole again once one is.
pub(in crate::cache) struct SweepEffort(AtomicUsize);

impl SweepEffort {
    const BUCKETS_MAX: usize = 16;

    // ORDERING: Relaxed throughout: one thread's own.

    pub(in crate::cache) fn buckets(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(in crate::cache) fn learn(&self, has_met: bool) {
        let next = if has_met { Self::BUCKETS_MAX } else { (self.buckets() / 2).max(1) };
        self.0.store(next, Ordering::Relaxed);
    }
}

impl Default for SweepEffort {
    fn default() -> Self {
        Self(AtomicUsize::new(Self::BUCKETS_MAX))
    }
}

// ORDERING: Relaxed throughout: hints.

impl Sweeper {
    pub(in crate::cache) fn new() -> Self {
        let never = || AtomicU64::new(u64::MAX);
        let is_interrupted = AtomicBool::new(false);
        Self { soonest: never(), pending: never(), cursor: AtomicUsize::new(0), is_interrupted }
    }

    #[inline]
    pub(in crate::cache) fn may_have_expired(&self, now: u64) -> bool {
        now > self.soonest.load(Ordering::Relaxed)
    }

    #[inline]
    pub(in crate::cache) fn note_expiry(&self, expires: u64) {
        for bound in [&self.pending, &self.soonest] {
            if expires < bound.load(Ordering::Relaxed) {
                bound.fetch_min(expires, Ordering::Relaxed);
            }
        }
    }

    /// The first of the next `n` slots to look at.
    pub(in crate::cache) fn advance(&self, n: usize) -> usize {
        self.cursor.fetch_add(n, Ordering::Relaxed)
    }

    /// The round under way does not see every session.
    pub(in crate::cache) fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::Relaxed);
    }

    /// The last slot was looked at. What was met in a whole round is what is stored; else what was
    /// expected before is expected still.
    pub(in crate::cache) fn end_round(&self, is_whole: bool) {
        let soonest = self.pending.swap(u64::MAX, Ordering::Relaxed);
        if self.is_interrupted.swap(false, Ordering::Relaxed) || !is_whole {
            self.soonest.fetch_min(soonest, Ordering::Relaxed);
            return;
        }
        self.soonest.store(soonest, Ordering::Relaxed);
        // What was noted between the two is in the new `pending`.
        self.soonest.fetch_min(self.pending.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(in crate::cache) fn note_survivor(&self, expires: u64) {
        if expires < self.pending.load(Ordering::Relaxed) {
            self.pending.fetch_min(expires, Ordering::Relaxed);
        }
    }
}
