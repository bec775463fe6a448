//! Capacity at run time: permits at once, slots by migration.

use super::SessionCache;
use super::budget::Permit;
use super::eviction::GOLDEN_RATIO_64;
use super::growth::{BUCKETS_PER_SLICE, PATIENCE, Stall, checked_buckets_for};
use super::operation::Operation;
use crate::error::{BuildError, RemovalCause};
use crate::raw::{Occupied, Owner, Table, Unlinked};
use crate::session::{Block, Session};
use std::cmp::Reverse;

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// [`set_capacity`](Self::set_capacity), with `usize::MAX` for no bound.
    pub(crate) fn set_capacity_in_sessions(&self, sessions: usize) -> Result<(), BuildError> {
        let most = checked_buckets_for(sessions)?;
        let is_weight_bound = self.budget.is_weight_bound();
        let buckets = if is_weight_bound { self.following_buckets(most) } else { most };
        let prepared = Table::new(buckets).ok_or(BuildError::OutOfMemory)?;
        // Before anything is changed: a clock is user code.
        let now = self.time.now();
        self.table.resize().raise_wanted(buckets);
        self.budget.permits.set_limit(sessions);
        // Where threads may keep none any more, adds do not look for spares.
        self.gather_spares();
        self.let_ticks_follow();
        self.table.resize().request();
        // Hooks are called at the end: one that panics finds the resize done.
        let operation = Operation::begin(self).evict_excess(now);
        operation.migrate_all(Some(prepared)).finish((), |()| None);
        Ok(())
    }

    /// Lets as many adds be a tick as suit the number of sessions that may be here, unless weights
    /// decide it.
    ///
    /// Another thread may set another limit meanwhile: the last one counts.
    #[cold]
    fn let_ticks_follow(&self) {
        let mut followed = None;
        while !self.budget.is_weight_bound() && followed != Some(self.budget.permits.limit()) {
            let limit = self.budget.permits.limit();
            self.eviction.clock.set_capacity(limit);
            followed = Some(limit);
        }
    }

    /// Returns all threads' spares to everybody.
    #[cold]
    pub(super) fn gather_spares(&self) {
        let permits = &self.budget.permits;
        self.domain.states_in_use().for_each(|state| permits.reclaim(&state.spare));
    }

    #[cfg(any(sessile_loom, sessile_shuttle))]
    pub(crate) fn slots(&self) -> usize {
        Operation::begin(self).oldest_table().newest().slots()
    }

    /// Up to `n` sessions in the order in which the policy would evict them.
    fn oldest_members(&self, n: usize, now: u64) -> Vec<Session<T>> {
        let tick = self.eviction.clock.tick();
        let mut ranked = Vec::new();
        self.walk(|_, member| {
            // Equal ranks are told apart at random: survivors that were neighbours would share few
            // new sets.
            let hash = self.hash_of(member.block()).wrapping_mul(GOLDEN_RATIO_64);
            let random = hash.rotate_left(32).wrapping_mul(GOLDEN_RATIO_64);
            let rank = (self.eviction.rank(&member, tick, now), random);
            ranked.push((rank, member.session().clone()));
        });
        ranked.sort_unstable_by_key(|(rank, _)| Reverse(*rank));
        let mut oldest: Vec<_> = ranked.into_iter().map(|(_, session)| session).collect();
        oldest.drain(n.min(oldest.len())..).for_each(|session| self.drop_handle(session));
        oldest
    }
}

impl<T: Send + Sync + 'static> Operation<'_, T> {
    /// Evicts until no more permits are out than the limit covers, one guard a session.
    ///
    /// Permits in the hands of adds under way are waited for a bounded time; those adds evict for
    /// themselves (`trim_excess`).
    fn evict_excess(mut self, now: u64) -> Self {
        let cache = self.cache();
        let permits = &cache.budget.permits;
        let mut patience = PATIENCE;
        while permits.excess() > 0 && patience > 0 {
            let mut oldest = Vec::new();
            self = self.renewed(|| {
                cache.gather_spares();
                oldest = cache.oldest_members(permits.excess(), now);
                if oldest.is_empty() {
                    patience -= 1;
                    crate::sync::yield_now();
                }
            });
            for session in oldest {
                let probe = cache.probe_of(session.block());
                if let Some(member) = self.find_same(&session, &probe) {
                    self.evict(&member);
                }
                self = self.renewed(|| cache.drop_handle(session));
            }
        }
        self
    }

    /// Migrates to the end, one guard a slice, unless another thread does.
    pub(super) fn migrate_all(mut self, mut prepared: Option<Box<Table<Block<T>>>>) -> Self {
        let cache = self.cache();
        let mut has_collected = false;
        loop {
            let progress = self.migrate(BUCKETS_PER_SLICE, &mut prepared);
            let is_held = progress == Err(Stall::Held) && !has_collected;
            self = self.renewed(|| {
                if is_held {
                    // Perhaps nobody holds them, and they only were not freed yet.
                    cache.collect();
                }
            });
            has_collected |= is_held;
            let goes_on = match progress {
                Ok(has_more) => has_more || cache.table.resize().is_still_requested(),
                Err(_) => is_held,
            };
            if !goes_on {
                return self;
            }
        }
    }

    /// Brings the tables one slice closer to the size that is wanted. True as long as there is more
    /// to do. Runs no user code.
    pub(super) fn migrate(
        &self,
        buckets: usize,
        prepared: &mut Option<Box<Table<Block<T>>>>,
    ) -> Result<bool, Stall> {
        let mover = self.cache().table.try_move(self.oldest_table()).ok_or(Stall::Busy)?;
        mover.step(buckets, |present| self.cache().successor_of(present, prepared.take()), self)
    }
}

impl<'g, T: Send + Sync + 'static> Owner<'g, Block<T>> for Operation<'_, T> {
    type Handle = Session<T>;

    fn hash(&self, block: &Block<T>) -> u64 {
        self.cache().hash_of(block)
    }

    fn tick(&self) -> usize {
        self.cache().eviction.clock.tick()
    }

    fn onward(&self, table: &'g Table<Block<T>>) -> Option<&'g Table<Block<T>>> {
        self.cache().onward(table)
    }

    fn handle(&self, member: &Occupied<'g, Block<T>>) -> Session<T> {
        member.session().clone()
    }

    fn give_to_table(&self, handle: Session<T>) {
        let _ = handle.into_address();
    }

    fn retire(&self, unlinked: Unlinked<'g, Block<T>>) {
        self.retire_reference(unlinked);
    }

    fn evict(&self, member: &Occupied<'g, Block<T>>) {
        // LINEARIZE: the eviction.
        if let Some(unlinked) = member.remove() {
            Operation::retire(self, unlinked, RemovalCause::Evicted, Permit::GivenBack);
        }
    }

    fn ends_migration(&self) {
        // What moved behind the sweep was not looked at in its round.
        self.cache().eviction.sweeper.interrupt();
    }

    fn retire_table(&self, free: impl FnOnce() + Send + 'static) {
        self.guard().defer(free);
    }
}
