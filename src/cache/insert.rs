//! Storing a session that was admitted: identical, replaced, or inserted.
#![forbid(unsafe_code)]

use super::Key;
use super::budget::{Permit, Reservation};
use super::operation::Operation;
use super::reserve::{PendingInsert, Setback};
use crate::error::{Added, Rejection, RemovalCause};
use crate::hint::unlikely;
use crate::raw::{Entry, Occupied, Probe, Table, Vacant};
use crate::session::{Block, Session};

impl<T: Send + Sync + 'static> Operation<'_, T> {
    /// Stores a session. One of its counts is the table's afterwards, unless it was identical.
    ///
    /// # Errors
    /// The session was not stored.
    #[inline(always)]
    pub(super) fn insert(
        &self,
        session: &Session<T>,
        probe: &Probe,
        now: u64,
    ) -> Result<Added<T>, Rejection> {
        let Some(claimant) = self.cache().table.claimant(self.guard().index()) else {
            return Err(Rejection::Contention);
        };
        let weight = self.cache().budget.weight_of(session.block());
        let mut insert = PendingInsert {
            session,
            probe,
            now,
            claimant: claimant.number,
            reservation: Reservation::of_weight(weight),
            attempts: 0,
            starved: 0,
        };
        let stored = loop {
            match self.attempt(&mut insert) {
                Ok(stored) => break Ok(stored),
                // Each failed attempt is another thread's progress, or counted in `insert`.
                Err(Setback::Retry) => crate::sync::relax(),
                Err(Setback::Rejected(rejection)) => break Err(rejection),
            }
        };
        self.cache().budget.give_back(&insert.reservation, &self.thread().spare);
        stored
    }

    fn attempt(&self, insert: &mut PendingInsert<'_, T>) -> Result<Added<T>, Setback> {
        let (table, key) = (self.oldest_table(), Key::of_block(insert.session.block()));
        if unlikely(table.next().is_some()) {
            return self.attempt_in_chain(table, key, insert);
        }
        let member = self.member_of_claim();
        self.insert_at(table.entry(insert.probe, &member, |block| key.is_of(block)), insert)
    }

    /// [`attempt`](Self::attempt) during a migration.
    #[cold]
    #[inline(never)]
    fn attempt_in_chain(
        &self,
        table: &Table<Block<T>>,
        key: Key<'_>,
        insert: &mut PendingInsert<'_, T>,
    ) -> Result<Added<T>, Setback> {
        let member = self.member_of_claim();
        let entry = table.entry_in_chain(insert.probe, &member, |block| key.is_of(block));
        self.insert_at(entry, insert)
    }

    #[inline(always)]
    fn insert_at(
        &self,
        entry: Entry<'_, Block<T>>,
        insert: &mut PendingInsert<'_, T>,
    ) -> Result<Added<T>, Setback> {
        match entry {
            // LINEARIZE: the identical add, at the load of the word.
            Entry::Occupied(member) if member.holds(insert.address()) => Ok(Added::Identical),
            Entry::Occupied(member) => {
                self.check_garbage(insert)?;
                self.replace(member, insert)
            }
            Entry::Vacant(vacant) => {
                self.check_garbage(insert)?;
                self.insert_into(vacant, insert)
            }
            Entry::Resized => Err(Setback::Retry),
        }
    }

    fn replace(
        &self,
        member: Occupied<'_, Block<T>>,
        insert: &mut PendingInsert<'_, T>,
    ) -> Result<Added<T>, Setback> {
        let budget = &self.cache().budget;
        let old_weight = budget.weight_of(member.block());
        let weight = insert.reservation.needed;
        let more = weight.saturating_sub(old_weight);
        if budget.is_weighed() {
            // What the two weigh in common is garbage once the old one is, and others could be let
            // in for it meanwhile.
            budget.announce_garbage(&mut insert.reservation, weight - more);
            self.reserve_weight(insert, more, Some(member.address()))?;
        }
        let tick = self.next_tick(member.table());
        // LINEARIZE: the replacement.
        let unlinked = member.replace(insert.address(), tick);
        let Some(unlinked) = unlinked else { return Err(Setback::Retry) };
        if member.table().is_one_set() {
            member.table().renumber_if_due(tick);
        }
        insert.reservation.weight -= more;
        budget.give_weight(old_weight.saturating_sub(weight));
        // The clone is the caller's own count.
        let old = unlinked.session().clone();
        self.retire(unlinked, RemovalCause::Replaced, Permit::Kept);
        Ok(Added::Replaced(old))
    }

    #[inline(always)]
    fn insert_into(
        &self,
        vacant: Vacant<'_, Block<T>>,
        insert: &mut PendingInsert<'_, T>,
    ) -> Result<Added<T>, Setback> {
        let table = vacant.table();
        if self.cache().budget.is_weighed() {
            self.reserve_weight(insert, insert.reservation.needed, None)?;
        }
        let place = self.choose_slot(vacant, insert)?;
        let (address, probe, claimant) = (insert.address(), insert.probe, insert.claimant);
        // LINEARIZE: the insertion, and an eviction before it if the slot is a member's.
        let tick = vacant.insert(place, address, probe, claimant, |displaced| {
            if let Some(displaced) = displaced {
                self.evict_displaced(displaced, table, insert);
            }
            self.next_tick(table)
        });
        let Some(tick) = tick else { return Err(Setback::Retry) };
        if unlikely(table.is_one_set()) {
            table.renumber_if_due(tick);
        }
        insert.reservation.permit = false;
        insert.reservation.weight -= insert.reservation.needed;
        self.fit_table(table);
        self.trim_excess(insert);
        Ok(Added::Inserted)
    }

    /// The tick of a session that is placed now.
    #[inline]
    fn next_tick(&self, table: &Table<Block<T>>) -> usize {
        let cache = self.cache();
        let clock = &cache.eviction.clock;
        if unlikely(table.is_one_set()) {
            return clock.advance();
        }
        let thread = self.thread();
        thread.placements.add(1);
        clock.record_insert(&thread.tick_counter, || cache.budget.stored_by_weight());
        clock.tick()
    }

    /// Evicts one session if the capacity was lowered while this add held a permit.
    #[inline]
    fn trim_excess(&self, insert: &mut PendingInsert<'_, T>) {
        if unlikely(self.cache().budget.permits.excess() > 0) {
            let keep = Some(insert.address());
            self.evict_elsewhere(insert, keep);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SessionCache, SessionId};

    /// A mover that sleeps when it has linked a larger table, and an adder that sleeps when it has
    /// found its key absent in the old one. Whoever adds the key meanwhile closes its home there.
    #[test]
    fn an_add_closes_its_home_in_the_table_that_is_emptied() {
        for n in 0..20 {
            let cache = SessionCache::new(10).unwrap();
            let [sleeper, newcomer] =
                [1, 2].map(|number| Session::new(SessionId::from([n; 32]), number));
            let operation = Operation::begin(&cache);
            let (table, probe) = (operation.oldest_table(), cache.probe_of(sleeper.block()));
            let entry = table.entry(&probe, &operation.member_of_claim(), |_| false);
            let Entry::Vacant(vacant) = entry else { panic!("nothing is stored") };
            assert!(table.succeeded_by(2 * table.len()).is_some());
            assert!(matches!(cache.add(newcomer), Ok(Added::Inserted)));
            let free = vacant.set().free().expect("a set has slots");
            let mut is_claimed = false;
            let inserted = vacant.insert(free, sleeper.address(), &probe, 100, |displaced| {
                is_claimed = displaced.is_none();
                0
            });
            assert!(is_claimed && inserted.is_none(), "the key is inserted into both tables");
        }
    }
}
