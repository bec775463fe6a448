//! The slots that an `add` sweeps for expired sessions.
#![forbid(unsafe_code)]

use super::budget::Permit;
use super::operation::Operation;
use crate::error::RemovalCause;
use crate::raw::Table;
use crate::session::Block;

/// Adds per slot that is looked at although nothing can have expired. Its session is cold, and a
/// look at it costs a large cache as much as a quarter of an add.
const ADDS_PER_IDLE_SWEEP: u64 = 64;

impl<T: Send + Sync + 'static> Operation<'_, T> {
    /// Looks at one slot and removes what is expired there: the bounded work that keeps a cache
    /// without timers clean.
    ///
    /// As long as nothing can have expired, only one add in sixty-four does, to find sessions whose
    /// dates were changed while they were stored. Where something can, and the cache is nearly
    /// full, it is a bucket of slots: what has expired shall be gone before anything else has to
    /// go.
    #[inline]
    pub(super) fn sweep_some(&self, now: u64) {
        let may_have_expired = self.cache().eviction.sweeper.may_have_expired(now);
        let is_due = may_have_expired
            || self.thread().placements.get() % ADDS_PER_IDLE_SWEEP == 0
            || self.oldest_table().is_one_set();
        if is_due {
            let is_urgent = may_have_expired && self.cache().budget.is_nearly_used();
            self.sweep_slots(if is_urgent { Table::<Block<T>>::SLOTS } else { 1 }, now);
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
        (0..most).any(|_| self.sweep_slots(Table::<Block<T>>::SLOTS, now))
    }

    /// Looks at the next slots. True if something left.
    #[cold]
    fn sweep_slots(&self, slots: usize, now: u64) -> bool {
        let table = self.oldest_table().newest();
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
            sweeper.end_round(std::ptr::eq(self.oldest_table(), table));
        }
        has_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionCache;
    use crate::cache::eviction::Sweeper;

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
        let slots = operation.oldest_table().slots();
        let sweep = |slots| operation.sweep_slots(slots, 6);
        // Two rounds: what was noted before the first one is forgotten with the second.
        sweep(slots);
        assert!(!sweep(slots - 1) && sweeper.may_have_expired(6));
        assert!(!sweep(1) && !sweeper.may_have_expired(6));
    }
}
