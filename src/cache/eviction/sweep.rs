//! The slots that an `add` sweeps for expired sessions.

use super::super::budget::Permit;
use super::super::operation::Operation;
use crate::error::RemovalCause;
use crate::raw::{SLOTS, Table};
use crate::session::Block;
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

    fn buckets(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn learn(&self, has_met: bool) {
        let next = if has_met { Self::BUCKETS_MAX } else { (self.buckets() / 2).max(1) };
        self.0.store(next, Ordering::Relaxed);
    }
}

impl Default for SweepEffort {
    fn default() -> Self {
        Self(AtomicUsize::new(Self::BUCKETS_MAX))
    }
}

/// Adds per slot that is looked at although nothing can have expired. Its session is cold, and a
/// look at it costs a large cache as much as a quarter of an add.
const ADDS_PER_IDLE_SWEEP: u64 = 64;

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
    fn advance(&self, n: usize) -> usize {
        self.cursor.fetch_add(n, Ordering::Relaxed)
    }

    /// The round under way does not see every session.
    pub(in crate::cache) fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::Relaxed);
    }

    /// The last slot was looked at. What was met in a whole round is what is stored; else what was
    /// expected before is expected still.
    fn end_round(&self, is_whole: bool) {
        let soonest = self.pending.swap(u64::MAX, Ordering::Relaxed);
        if self.is_interrupted.swap(false, Ordering::Relaxed) || !is_whole {
            self.soonest.fetch_min(soonest, Ordering::Relaxed);
            return;
        }
        self.soonest.store(soonest, Ordering::Relaxed);
        // What was noted between the two is in the new `pending`.
        self.soonest.fetch_min(self.pending.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn note_survivor(&self, expires: u64) {
        if expires < self.pending.load(Ordering::Relaxed) {
            self.pending.fetch_min(expires, Ordering::Relaxed);
        }
    }
}

impl<T: Send + Sync + 'static> Operation<'_, T> {
    /// Looks at one slot and removes what is expired there: the bounded work that keeps a cache
    /// without timers clean.
    ///
    /// As long as nothing can have expired, only one add in sixty-four does, to find sessions whose
    /// dates were changed while they were stored. Where something can, and the cache is nearly
    /// full, it is a bucket of slots: what has expired shall be gone before anything else has to
    /// go.
    #[inline]
    pub(in crate::cache) fn sweep_some(&self, now: u64) {
        let may_have_expired = self.cache().eviction.sweeper.may_have_expired(now);
        let is_due = may_have_expired
            || self.thread().placements.get() % ADDS_PER_IDLE_SWEEP == 0
            || self.tables().oldest().is_one_set();
        if is_due {
            let is_urgent = may_have_expired && self.cache().budget.is_nearly_used();
            self.sweep_slots(if is_urgent { SLOTS } else { 1 }, now);
        }
    }

    /// Sweeps a few buckets for an insertion whose own search met nothing that has expired. True if
    /// that made room.
    pub(super) fn sweep_for_room(&self, table: &Table<Block<T>>, now: u64) -> bool {
        if table.is_one_set()
            || !self.cache().eviction.sweeper.may_have_expired(now)
            || !self.cache().settings.auto_flushes()
        {
            return false;
        }
        let effort = &self.thread().sweep_effort;
        let has_met = self.sweep_buckets(effort.buckets(), now);
        effort.learn(has_met);
        has_met
    }

    /// Looks at up to so many buckets, until something has expired in one. True if it had, and is
    /// gone.
    fn sweep_buckets(&self, most: usize, now: u64) -> bool {
        (0..most).any(|_| self.sweep_slots(SLOTS, now))
    }

    /// Looks at the next slots. True if something left.
    #[cold]
    fn sweep_slots(&self, slots: usize, now: u64) -> bool {
        let table = self.tables().newest();
        let start = self.cache().eviction.sweeper.advance(slots);
        let sweep = |nth| self.sweep_slot(table, nth % table.slots(), now);
        (start..start.saturating_add(slots)).map(sweep).filter(|&has_left| has_left).count() > 0
    }

    /// Removes what is expired or revoked in a slot. True if something was.
    fn sweep_slot(&self, table: &Table<Block<T>>, slot: usize, now: u64) -> bool {
        let sweeper = &self.cache().eviction.sweeper;
        let mut has_left = false;
        if let Some(member) = table.member_at(slot) {
            let block = member.block();
            let cause = match block.is_expired(now) {
                true => Some(RemovalCause::Expired),
                false => self.cache().is_revoked_block(block).then_some(RemovalCause::Removed),
            };
            match cause {
                None => sweeper.note_survivor(block.expires()),
                Some(cause) => {
                    // LINEARIZE: a spontaneous removal, if the exchange succeeds.
                    if let Some(unlinked) = member.remove() {
                        self.retire(unlinked, cause, Permit::GivenBack);
                        has_left = true;
                    }
                }
            }
        }
        if slot + 1 == table.slots() {
            sweeper.end_round(std::ptr::eq(self.tables().oldest(), table));
        }
        has_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionCache;

    #[test]
    fn a_round_of_the_sweep_ends_with_its_last_slot() {
        let sweeper = Sweeper::new();
        sweeper.note_expiry(5);
        assert!(sweeper.may_have_expired(6) && !sweeper.may_have_expired(5));
        // The first round has met nothing, and what was noted before it is expected still.
        sweeper.end_round(true);
        assert!(sweeper.may_have_expired(6));
        sweeper.note_survivor(9);
        sweeper.end_round(true);
        assert!(!sweeper.may_have_expired(9) && sweeper.may_have_expired(10));

        // Of a round that did not see every session nothing is concluded.
        sweeper.end_round(false);
        assert!(sweeper.may_have_expired(10));
        sweeper.interrupt();
        sweeper.end_round(true);
        assert!(sweeper.may_have_expired(10));
        sweeper.end_round(true);
        assert!(!sweeper.may_have_expired(10));

        let cache = SessionCache::<u64>::new(100).unwrap();
        let (sweeper, operation) = (&cache.eviction.sweeper, Operation::begin(&cache));
        sweeper.note_expiry(5);
        let slots = operation.tables().newest().slots();
        let sweep = |slots| operation.sweep_slots(slots, 6);
        // Two rounds: what was noted before the first one is forgotten with the second.
        sweep(slots);
        assert!(!sweep(slots - 1) && sweeper.may_have_expired(6));
        assert!(!sweep(1) && !sweeper.may_have_expired(6));
    }
}
