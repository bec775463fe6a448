//! The size of the table, in buckets: by the capacity, or following the number of sessions where
//! there is no bound, or weights are one.
#![forbid(unsafe_code)]

use super::SessionCache;
use super::operation::Operation;
use crate::error::{BuildError, Rejection};
use crate::raw::Table;
use crate::session::Block;
use crate::sync::MODELLED;

/// Buckets that an add moves on its way, and under one guard where a whole migration is worked off.
/// One in a model: a migration shall not be over before others can meet its middle.
const BUCKETS_PER_ADD: usize = if MODELLED { 1 } else { 8 };
pub(super) const BUCKETS_PER_SLICE: usize = if MODELLED { 1 } else { 32 };

/// Rounds that are waited for what other threads have in hand: permits, or the right to move.
pub(super) const PATIENCE: u32 = 64;

/// Turns that are waited for a mover that may be about to add a table. In a model it always sleeps.
const TURNS_MAX: u32 = if MODELLED { 1 } else { 64 };

/// A table that follows its sessions grows when it is fuller than this.
const GROW_ABOVE_PERCENT: usize = 70;

/// And never below this, even if one of its sets is full.
const GROW_NEVER_BELOW_PERCENT: usize = 40;

/// Where weights are a bound, it shrinks when it is emptier than this: well below half of what
/// makes it grow.
const SHRINK_BELOW_PERCENT: usize = 12;

/// Emptied tables that may wait for readers. With more, sizes have to wait unless they grow by
/// much: a stalled reader must not cost memory.
const EMPTIED_MAX: u64 = 4;

const SLOTS: usize = Table::<Block<()>>::SLOTS;
const BUCKETS_MIN: usize = Table::<Block<()>>::BUCKETS_MIN;

/// The first size of an unbounded cache, in sessions.
const UNBOUNDED_START: usize = if MODELLED { 2 * SLOTS } else { 1024 };

/// Why a resize did not come further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stall {
    /// Another thread moves.
    Busy,
    /// The new table found no memory.
    OutOfMemory,
    /// Too many emptied tables wait for a stalled reader.
    Held,
}

/// The buckets for a capacity.
///
/// One set up to 14 sessions: exact. Above that two slots a session up to 4096 sessions, where
/// chance is rough and slots are cheap, and 1.4 beyond: two choices of seven then overflow for one
/// session in a hundred thousand (1.33: one in ten thousand, 1.15: one in 200; simulated). More
/// slots hold more sessions and offer fewer of them as victims, for which more buckets are looked
/// at in small tables.
fn buckets_for(capacity: usize) -> usize {
    let sessions = if capacity == usize::MAX { UNBOUNDED_START } else { capacity };
    if sessions <= 2 * SLOTS {
        return BUCKETS_MIN;
    }
    let slots = if sessions <= 4096 {
        sessions.saturating_mul(2)
    } else {
        sessions.saturating_add(sessions / 5 * 2)
    };
    slots.div_ceil(SLOTS)
}

/// The same, of a capacity that may be too large for a table.
pub(super) fn checked_buckets_for(capacity: usize) -> Result<usize, BuildError> {
    let fitting = Some(buckets_for(capacity));
    let fitting = fitting.filter(|&buckets| buckets <= Table::<Block<()>>::BUCKETS_MAX);
    fitting.ok_or(BuildError::CapacityTooLarge)
}

/// Twice the buckets, or as many as there may be if those are not many more.
fn next_size(buckets: usize, most: usize) -> usize {
    let twice = buckets.saturating_mul(2);
    if most <= twice.saturating_add(buckets / 2) { most } else { twice }
}

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// Whether the table follows the number of its sessions.
    #[inline]
    pub(super) fn follows_sessions(&self) -> bool {
        self.budget.is_weight_bound() || self.budget.is_unbounded()
    }

    /// The most buckets that the table may have.
    fn most_buckets(&self) -> usize {
        match self.budget.permits.limit() {
            usize::MAX => usize::MAX,
            limit => buckets_for(limit),
        }
    }

    /// The table to move to from one of so many buckets, unless that is the size that is wanted.
    /// `prepared` may be of that size.
    pub(super) fn successor_of(
        &self,
        present: usize,
        prepared: Option<Box<Table<Block<T>>>>,
    ) -> Result<Option<Box<Table<Block<T>>>>, Stall> {
        let wanted = self.wanted_buckets();
        if wanted == present {
            return Ok(None);
        }
        // Tables that grow by a quarter or more each time are no more memory together than a few
        // times the last one.
        let grows_much = wanted >= present.saturating_add(present / 4);
        if !grows_much && self.domain.deferred() >= EMPTIED_MAX {
            return Err(Stall::Held);
        }
        let ready = prepared.filter(|ready| ready.len() == wanted);
        let next = ready.or_else(|| Table::new(wanted));
        next.map(Some).ok_or(Stall::OutOfMemory)
    }

    /// The table size that is wanted now. What was asked for may be out of date: the sessions that
    /// are there now must find room.
    fn wanted_buckets(&self) -> usize {
        let most = self.most_buckets();
        if self.follows_sessions() { self.following_buckets(most) } else { most }
    }

    /// The buckets of a table that follows its sessions, of which it may have so many.
    pub(super) fn following_buckets(&self, most: usize) -> usize {
        let wanted = self.table.resize().wanted();
        wanted.max(buckets_for(self.budget.permits.out())).min(most)
    }

    fn is_fuller_than(&self, table: &Table<Block<T>>, percent: usize) -> bool {
        self.budget.permits.out().saturating_mul(100) > table.slots() * percent
    }

    /// Where a session goes on to from a table whose set is full: while the mover slept, others
    /// have filled it. `None` where sessions are evicted and there is no such table yet, and where
    /// the table is mostly empty: then a crowd of one id shares the set, as in every table.
    pub(super) fn onward<'g>(&self, table: &'g Table<Block<T>>) -> Option<&'g Table<Block<T>>> {
        let may_grow = self.is_fuller_than(table, GROW_NEVER_BELOW_PERCENT);
        if !self.budget.is_unbounded() || !may_grow {
            return table.next();
        }
        let larger = table.len().saturating_mul(2);
        self.table.resize().raise_wanted(larger);
        table.succeeded_by(larger)
    }

    /// Whether weights leave the table so empty that victims are hard to find. Without them nothing
    /// is evicted from a table that follows its sessions.
    fn is_too_empty(&self, table: &Table<Block<T>>) -> bool {
        self.budget.is_weight_bound()
            && !table.is_one_set()
            && !self.is_fuller_than(table, SHRINK_BELOW_PERCENT)
    }

    /// Wants a table of two slots a session.
    fn want_fewer_buckets(&self) {
        let stored = self.budget.permits.out();
        let fitting = (2 * stored).div_ceil(SLOTS).max(BUCKETS_MIN);
        self.table.resize().set_wanted(fitting);
        self.table.resize().request();
    }

    /// Shrinks the table to the end if a sweep has left it too empty.
    pub(super) fn fit_table_after_sweep(&self) {
        if self.budget.is_weight_bound() {
            let operation = Operation::begin(self);
            if self.is_too_empty(operation.oldest_table().newest()) {
                self.want_fewer_buckets();
                operation.migrate_all(None).finish((), |()| None);
            }
        }
    }
}

impl<T: Send + Sync + 'static> Operation<'_, T> {
    /// Lets a table that follows its sessions do so, and moves a few buckets while a migration is
    /// under way.
    #[inline]
    pub(super) fn fit_table(&self, table: &Table<Block<T>>) {
        if self.cache().table.resize().is_requested() {
            self.help_migration(table);
        } else if self.cache().follows_sessions() {
            self.follow_sessions(table);
        }
    }

    #[inline(never)]
    fn follow_sessions(&self, table: &Table<Block<T>>) {
        if self.cache().is_fuller_than(table, GROW_ABOVE_PERCENT) {
            let _ = self.grow(table);
        } else if self.cache().is_too_empty(table) {
            self.cache().want_fewer_buckets();
            let _ = self.migrate(BUCKETS_PER_ADD, &mut None);
        }
    }

    /// Moves a few buckets. In a cache without a bound, where the mover may find its way blocked by
    /// what others add, an add waits a bounded time for its turn once the new table is half full.
    #[cold]
    fn help_migration(&self, table: &Table<Block<T>>) {
        for _ in 0..PATIENCE {
            let must_help =
                self.cache().budget.is_unbounded() && self.cache().is_fuller_than(table, 50);
            if self.migrate(BUCKETS_PER_ADD, &mut None) != Err(Stall::Busy) || !must_help {
                return;
            }
            crate::sync::yield_now();
        }
    }

    /// Wants a larger table than `table`, and begins the migration to it; if another thread has the
    /// resize lock and does not use it, the larger one is there all the same. False when there
    /// shall be none.
    ///
    /// A table that is mostly empty does not grow, however full one of its sets is: more than
    /// fourteen sessions with one id (in as many contexts) share a set in every table.
    #[cold]
    pub(super) fn grow(&self, table: &Table<Block<T>>) -> Result<bool, Rejection> {
        let cache = self.cache();
        if table.next().is_some() {
            return Ok(true);
        }
        let larger = next_size(table.len(), cache.most_buckets());
        if larger <= table.len() || !cache.is_fuller_than(table, GROW_NEVER_BELOW_PERCENT) {
            return Ok(false);
        }
        cache.table.resize().raise_wanted(larger);
        cache.table.resize().request();
        for turn in 1.. {
            match self.migrate(BUCKETS_PER_SLICE, &mut None) {
                Err(Stall::OutOfMemory) => return Err(Rejection::Allocation),
                Err(Stall::Held) => return Err(Rejection::Garbage),
                Err(Stall::Busy) if table.next().is_none() && turn < TURNS_MAX => {
                    crate::sync::yield_now()
                }
                Err(Stall::Busy) | Ok(_) => break,
            }
        }
        // The mover sleeps, or has older tables to empty first.
        table.succeeded_by(larger).ok_or(Rejection::Allocation)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::Capacity;
    use crate::session::{Session, SessionId};

    fn id(n: u64) -> SessionId {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        SessionId::from(bytes)
    }

    /// Light sessions, then heavy ones, then none.
    #[test]
    fn a_table_follows_the_number_that_weights_allow() {
        let builder = SessionCache::builder().capacity(1_000_000).max_weight(4 << 20);
        let cache = builder.weigher(|one: &Session<u64>| **one as usize).build().unwrap();
        let slots = || Operation::begin(&cache).oldest_table().newest().slots();
        let add = |n, weight| {
            assert!(cache.add(Session::new(id(n), weight)).is_ok_and(|added| added.changed()))
        };
        assert_eq!(slots(), 2 * SLOTS);
        (0..10_000).for_each(|n| add(n, 1 << 10));
        assert_eq!(cache.len(), 4096);
        assert!((4096 * 10 / 7..4096 * 4).contains(&slots()), "{}", slots());
        (10_000..20_000).for_each(|n| add(n, 64 << 10));
        assert_eq!(cache.len(), 64);
        assert!((64..64 * 8).contains(&slots()), "{}", slots());
        (20_000..30_000).for_each(|n| add(n, 1 << 10));
        assert!((4096 * 10 / 7..4096 * 4).contains(&slots()), "{}", slots());
        assert_eq!(cache.clear(), 4096);
        assert_eq!(slots(), 2 * SLOTS, "a sweep that empties it leaves a small one");
    }

    /// A mover that sleeps in the middle of a migration: adds find room, lookups find all, and when
    /// it wakes nobody goes.
    #[test]
    fn an_unbounded_cache_grows_beside_a_sleeping_mover() {
        let cache = SessionCache::new(Capacity::Unbounded).unwrap();
        let add = |n| assert!(cache.add(Session::new(id(n), n)).is_ok_and(|added| added.changed()));
        let tables = || Operation::begin(&cache).oldest_table().chain().count();
        let mut count = 0;
        while tables() == 1 {
            add(count);
            count += 1;
        }
        let operation = Operation::begin(&cache);
        let mover = cache.table.try_move(operation.oldest_table()).expect("nobody moves");
        let asleep = 20 * count;
        (count..asleep).for_each(add);
        assert!(tables() > 2);
        assert!((0..asleep).all(|n| cache.get(&id(n)).is_some_and(|one| *one == n)));
        assert_eq!(cache.snapshot().len() as u64, asleep);
        drop(mover);
        drop(operation);
        (asleep..2 * asleep).for_each(add);
        assert_eq!(tables(), 1, "all are emptied but the last");
        assert!((0..2 * asleep).all(|n| cache.get(&id(n)).is_some_and(|one| *one == n)));
        assert_eq!((cache.len() as u64, cache.stats().evicted), (2 * asleep, 0));
    }

    /// Emptied tables may wait for a reader: together they are no more than a few times the one in
    /// force.
    #[test]
    fn tables_grow_in_long_steps_and_are_not_too_empty_then() {
        for most in (3..3000).chain([1 << 20, 1_000_003]) {
            let mut buckets = 2;
            while buckets < most {
                let next = next_size(buckets, most);
                assert!(next <= most && 4 * next >= 5 * buckets, "{buckets} to {next} of {most}");
                assert!(next * SHRINK_BELOW_PERCENT < buckets * GROW_NEVER_BELOW_PERCENT);
                buckets = next;
            }
        }
    }
}
