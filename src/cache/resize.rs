//! Capacity at run time: permits at once, slots by migration.

use super::departure::{Departures, Permit};
use super::room::SCRAMBLE;
use super::{At, Guard, SessionCache};
use crate::builder::Capacity;
use crate::error::{BuildError, Rejection};
use crate::policy::rank_of_age;
use crate::raw::{Move, Probe, SLOTS, Table};
use crate::session::{Block, Session};
use crate::sync::MODELLED;
use std::ptr::NonNull;

/// What is left to do after a slice of a migration.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Done,
    More,
    /// Another thread is the mover.
    Busy,
    /// The new table found no memory.
    Stuck,
    /// Too many emptied tables wait for a stalled reader.
    Held,
}

/// Emptied tables that may wait for readers. With more, sizes have to wait: a stalled reader must not cost memory.
const EMPTIED_MAX: u64 = 4;

/// Buckets moved under one guard. One in a model: a migration shall not be over before others can meet its middle.
const BUCKETS_PER_SLICE: usize = if MODELLED { 1 } else { 32 };

/// Buckets that an add moves on its way.
const BUCKETS_PER_ADD: usize = if MODELLED { 1 } else { 8 };

/// Rounds that are waited for what other threads have in hand: permits, or the right to move.
const PATIENCE: u32 = 64;

/// The first size of an unbounded cache, in sessions.
const UNBOUNDED_START: usize = 1024;

/// An unbounded table grows when it is fuller than this.
const GROW_ABOVE_PERCENT: usize = 70;

/// And never below this, even if one of its sets is full.
const GROW_NEVER_BELOW_PERCENT: usize = 40;

/// The buckets for a capacity.
///
/// One set up to 14 sessions: exact. Above that two slots a session up to 4096 sessions, where chance is rough and slots are
/// cheap, and 1.4 beyond: two choices of seven then overflow for one session in a hundred thousand (1.33: one in ten thousand,
/// 1.15: one in 200; simulated). More slots hold more sessions and offer fewer of them as victims, for which more buckets are
/// looked at in small tables.
pub(super) fn buckets_for(capacity: usize) -> usize {
    let sessions = if capacity == usize::MAX { UNBOUNDED_START } else { capacity };
    if sessions <= 2 * SLOTS {
        return Table::<Block<()>>::BUCKETS_MIN;
    }
    let slots =
        if sessions <= 4096 { sessions.saturating_mul(2) } else { sessions.saturating_add(sessions / 5 * 2) };
    slots.div_ceil(SLOTS)
}

/// Which part of the capacity one thread may keep as spare permits: all threads of this machine together a two-thousandth.
pub(super) fn spare_shift() -> u32 {
    // Asked once per process: the answer comes from files.
    static THREADS: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    let threads = *THREADS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from));
    11 + threads.next_power_of_two().ilog2()
}

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// Changes the capacity (`SSL_CTX_sess_set_cache_size(3)`).
    ///
    /// Shrinking evicts the excess before it returns, oldest first. The slots follow by migration: other threads go on
    /// meanwhile, lookups never wait, and a thread that stalls in here holds nobody up (the migration is then finished by
    /// the next one that adds or resizes). While a stalled reader holds back several emptied tables, the slots stay. `capacity()` shows a smaller figure once the excess is gone.
    ///
    /// # Errors
    /// As [`new`](Self::new); the capacity is then unchanged.
    pub fn set_capacity(&self, capacity: impl Into<Capacity>) -> Result<(), BuildError> {
        let sessions = capacity.into().sessions()?;
        let buckets = buckets_for(sessions);
        let prepared = Table::new(buckets)?;
        // Before anything is changed: a clock is user code.
        let now = self.time.now();
        self.mover.want_buckets(buckets);
        self.sessions.set_limit(sessions);
        // Where threads may keep none any more, adds do not look for spares.
        self.gather_spares();
        self.let_ticks_follow_the_limit();
        // Hooks are called at the end: one that panics finds the resize done.
        let mut departures = Departures::none();
        self.mover.want();
        self.evict_excess(now, &mut departures);
        self.migrate_all(Some(prepared), &mut departures);
        self.announce(departures);
        Ok(())
    }

    /// Another thread may set another limit meanwhile: the last one counts.
    fn let_ticks_follow_the_limit(&self) {
        let mut followed = None;
        while followed != Some(self.sessions.limit()) {
            let limit = self.sessions.limit();
            self.recency.set_capacity(limit);
            followed = Some(limit);
        }
    }

    #[cfg(any(sessile_loom, sessile_shuttle))]
    pub(crate) fn slots(&self) -> usize {
        self.chain(&self.domain.pin()).newest().slots()
    }

    pub(super) fn is_unbounded(&self) -> bool {
        self.sessions.is_unlimited()
    }

    /// The table size that is wanted now.
    fn wanted_buckets(&self) -> usize {
        match self.sessions.limit() {
            usize::MAX => self.mover.buckets(),
            limit => buckets_for(limit),
        }
    }

    /// Evicts until no more permits are out than the limit covers.
    ///
    /// Permits in the hands of adds under way are waited for a bounded time; those adds evict for themselves
    /// (`trim_excess`).
    fn evict_excess(&self, now: u64, departures: &mut Departures<T>) {
        let mut patience = PATIENCE;
        while self.sessions.excess() > 0 && patience > 0 {
            self.gather_spares();
            let oldest = self.oldest_members(self.sessions.excess(), now);
            if oldest.is_empty() {
                patience -= 1;
                crate::sync::yield_now();
            }
            for session in oldest {
                let pin = self.domain.pin();
                if let Some(spot) = self.spot_of(&pin, &session) {
                    self.evict_now(&pin, &spot, departures);
                }
                drop(pin);
                self.let_go(session);
            }
        }
    }

    /// Evicts one session if the capacity was lowered while this add held a permit.
    #[inline]
    pub(super) fn trim_excess(
        &self,
        pin: &Guard<'_, T>,
        newcomer: &super::add::Newcomer<T>,
        departures: &mut Departures<T>,
    ) {
        if self.sessions.excess() > 0 {
            let keep = Some(newcomer.block);
            self.evict_elsewhere(pin, newcomer, Permit::GivenBack, keep, departures);
        }
    }

    fn evict_now(&self, pin: &Guard<'_, T>, spot: &At<'_, T>, departures: &mut Departures<T>) -> bool {
        // LINEARIZE: the eviction.
        let evicted = spot.exchange(crate::raw::Word::EMPTY);
        if evicted {
            self.depart(pin, spot, crate::error::RemovalCause::Evicted, Permit::GivenBack, departures);
        }
        evicted
    }

    fn spot_of<'p>(&self, pin: &'p Guard<'_, T>, session: &Session<T>) -> Option<At<'p, T>> {
        let probe = self.probe_of(session.block());
        self.chain(pin).find(&probe, |block| block == session.address())
    }

    /// Up to `n` sessions in the order in which the policy would evict them.
    fn oldest_members(&self, n: usize, now: u64) -> Vec<Session<T>> {
        let tick = self.recency.tick();
        let mut ranked = Vec::new();
        self.walk(|pin, spot, _| {
            let (Some(block), Some(address)) = (self.block(pin, &spot), spot.block()) else { return };
            let by_age = rank_of_age(spot.word.stamp().age(tick), spot.word.is_touched());
            let by_date = self.policy.rank_of_date(block.expires(), now);
            // Equal ranks are told apart by chance: survivors that were neighbours would share few new sets.
            let chance = self.hash_of(block).wrapping_mul(SCRAMBLE).rotate_left(32).wrapping_mul(SCRAMBLE);
            let rank = (by_date | by_age, chance);
            // SAFETY: the block is alive under the guard; the clone is a count of its own.
            ranked.push((rank, Session::clone(&*unsafe { Session::lend(address) })));
        });
        ranked.sort_unstable_by_key(|(rank, _)| std::cmp::Reverse(*rank));
        let mut oldest: Vec<_> = ranked.into_iter().map(|(_, session)| session).collect();
        oldest.drain(n.min(oldest.len())..).for_each(|session| self.let_go(session));
        oldest
    }

    /// Lets an unbounded table grow in time, and moves a few buckets while one does.
    #[inline]
    pub(super) fn grow_if_unbounded(
        &self,
        pin: &Guard<'_, T>,
        table: &Table<Block<T>>,
        departures: &mut Departures<T>,
    ) {
        if self.mover.is_wanted() {
            self.help_migration(pin, table, departures);
        } else if self.is_unbounded() && self.is_fuller_than(table, GROW_ABOVE_PERCENT) {
            let _ = self.grow(pin, table, departures);
        }
    }

    /// Moves a few buckets. In a cache without a bound, where the mover may find its way blocked by what others add, an add
    /// waits a bounded time for its turn once the new table is half full.
    #[cold]
    fn help_migration(&self, pin: &Guard<'_, T>, table: &Table<Block<T>>, departures: &mut Departures<T>) {
        for _ in 0..PATIENCE {
            let progress = self.migrate(pin, BUCKETS_PER_ADD, &mut None, departures);
            if progress != Progress::Busy || !self.is_unbounded() || !self.is_fuller_than(table, 50) {
                return;
            }
            crate::sync::yield_now();
        }
    }

    fn is_fuller_than(&self, table: &Table<Block<T>>, percent: usize) -> bool {
        self.sessions.out() > table.slots() / 100 * percent
    }

    /// Wants a table of twice the size of `table`, and begins or continues the migration to it. False when it will not.
    ///
    /// A table that is mostly empty does not grow, however full one of its sets is: more than fourteen sessions with one id
    /// (in as many contexts) share a set in every table.
    #[cold]
    pub(super) fn grow(
        &self,
        pin: &Guard<'_, T>,
        table: &Table<Block<T>>,
        departures: &mut Departures<T>,
    ) -> Result<bool, Rejection> {
        if table.next().is_none() {
            if !self.is_fuller_than(table, GROW_NEVER_BELOW_PERCENT) {
                return Ok(false);
            }
            self.mover.want_buckets(table.len().saturating_mul(2));
            self.mover.want();
        }
        match self.migrate(pin, BUCKETS_PER_SLICE, &mut None, departures) {
            Progress::Stuck => Err(Rejection::Allocation),
            Progress::Held => Err(Rejection::Garbage),
            _ => Ok(true),
        }
    }

    /// Brings the tables one slice closer to the size that is wanted. Runs no user code: what it evicts goes to
    /// `departures`.
    fn migrate(
        &self,
        pin: &Guard<'_, T>,
        buckets: usize,
        prepared: &mut Option<Box<Table<Block<T>>>>,
        departures: &mut Departures<T>,
    ) -> Progress {
        if !self.mover.try_begin() {
            return Progress::Busy;
        }
        let progress = self.migrate_as_mover(pin, buckets, prepared, departures);
        self.mover.end();
        progress
    }

    /// Migrates to the end, one guard a slice, unless another thread does.
    fn migrate_all(&self, mut prepared: Option<Box<Table<Block<T>>>>, departures: &mut Departures<T>) {
        let mut progress = Progress::More;
        let mut has_collected = false;
        while progress == Progress::More || (progress == Progress::Done && self.mover.is_still_wanted()) {
            let pin = self.domain.pin();
            progress = self.migrate(&pin, BUCKETS_PER_SLICE, &mut prepared, departures);
            if progress == Progress::Held && !has_collected {
                // Perhaps nobody holds them, and they only were not let go yet.
                drop(pin);
                self.collect();
                (progress, has_collected) = (Progress::More, true);
            }
        }
    }

    fn migrate_as_mover(
        &self,
        pin: &Guard<'_, T>,
        buckets: usize,
        prepared: &mut Option<Box<Table<Block<T>>>>,
        departures: &mut Departures<T>,
    ) -> Progress {
        let oldest = self.chain(pin).oldest();
        let Some(newer) = oldest.next() else {
            return self.begin_migration(oldest, prepared);
        };
        if !oldest.close_some(buckets, &self.finish(pin)) {
            return Progress::More;
        }
        for _ in 0..buckets {
            let Some(bucket) = oldest.next_to_move() else {
                self.end_migration(pin, oldest);
                return Progress::More;
            };
            while let Some(spot) = oldest.first_member(bucket) {
                self.move_session(pin, &spot, newer, departures);
            }
        }
        Progress::More
    }

    fn begin_migration(
        &self,
        table: &Table<Block<T>>,
        prepared: &mut Option<Box<Table<Block<T>>>>,
    ) -> Progress {
        // Before the size is looked at: whoever wants another size afterwards sets the flag again.
        self.mover.unwant();
        let wanted = self.wanted_buckets();
        if wanted == table.len() {
            return Progress::Done;
        }
        self.mover.want();
        if self.domain.deferred() >= EMPTIED_MAX {
            return Progress::Held;
        }
        let ready = prepared.take().filter(|ready| ready.len() == wanted);
        let Ok(next) = ready.map_or_else(|| Table::new(wanted), Ok) else { return Progress::Stuck };
        table.succeed(next);
        Progress::More
    }

    fn end_migration(&self, pin: &Guard<'_, T>, emptied: &Table<Block<T>>) {
        if let Some(table) = self.root.unlink(emptied) {
            let table = Retired(table);
            // SAFETY: the table left the chain, so guards that begin later cannot reach it; it came from a box.
            pin.defer(move || drop(unsafe { Box::from_raw(table.into_inner().as_ptr()) }));
        }
    }

    /// Moves one member to the new table, or evicts it, or evicts another for it.
    fn move_session(
        &self,
        pin: &Guard<'_, T>,
        spot: &At<'_, T>,
        newer: &Table<Block<T>>,
        departures: &mut Departures<T>,
    ) {
        let (Some(block), Some(address)) = (self.block(pin, spot), spot.block()) else { return };
        let probe = newer.probe(self.hash_of(block));
        // SAFETY: the block is alive under the guard. The clone's count is the shadow's.
        let count = Session::clone(&*unsafe { Session::lend(address) });
        match spot.move_to(newer, &probe) {
            // The shadow owns a count and the old stay's is given up: one of the two goes at once. It is not the last: the
            // new stay's is given up through `retire`, not before this guard is gone.
            Some(Move::Moved) => drop(count),
            Some(Move::Gone(block)) => {
                let _ = count.into_address();
                // SAFETY: the shadow's count; a reader may have met the shadow. The word is gone, and the guard is older; until
                // it is gone the block is alive.
                unsafe { pin.retire(block, self.footprint(block.as_ref())) };
            }
            None => {
                // Nothing that is known to happen: the count stays with the shadow, which somebody took for a member.
                let _ = count.into_address();
            }
            Some(Move::NoRoom) => {
                // The count was never in the table.
                drop(count);
                self.make_room_for_move(pin, spot, newer, &probe, departures);
            }
        }
    }

    /// The set in the new table is full: the oldest of its members and the one that wants in goes.
    fn make_room_for_move(
        &self,
        pin: &Guard<'_, T>,
        spot: &At<'_, T>,
        newer: &Table<Block<T>>,
        probe: &Probe,
        departures: &mut Departures<T>,
    ) {
        let tick = self.recency.tick();
        let age = |spot: &At<'_, T>| spot.word.stamp().age(tick);
        let oldest = newer.set_spots(probe).filter(|spot| spot.word.is_member()).max_by_key(age);
        let victim = oldest.filter(|other| age(other) > age(spot)).unwrap_or(*spot);
        self.evict_now(pin, &victim, departures);
    }
}

/// An unlinked table on its way to its destruction, which touches no session.
struct Retired<B>(NonNull<Table<B>>);

// SAFETY: freeing a table frees atomics; the blocks it once named are not touched.
unsafe impl<B> Send for Retired<B> {}

impl<B> Retired<B> {
    fn into_inner(self) -> NonNull<Table<B>> {
        self.0
    }
}
