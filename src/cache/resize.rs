//! Capacity at run time: permits at once, slots by migration.

use super::departure::{Departures, Permit};
use super::growth::{BUCKETS_PER_SLICE, PATIENCE, buckets_for};
use super::room::SCRAMBLE;
use super::{At, Guard, SessionCache};
use crate::builder::Capacity;
use crate::error::BuildError;
use crate::policy::rank_of_age;
use crate::raw::{Move, Probe, Table};
use crate::session::{Block, Session};
use std::ptr::NonNull;

/// What is left to do after a slice of a migration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    More,
    /// Another thread is the mover.
    Busy,
    /// The new table found no memory.
    Stuck,
    /// Too many emptied tables wait for a stalled reader.
    Held,
}

/// Emptied tables that may wait for readers. With more, sizes have to wait unless they grow by
/// much: a stalled reader must not cost memory.
const EMPTIED_MAX: u64 = 4;

/// Which part of the capacity one thread may keep as spare permits: all threads of this machine
/// together a two-thousandth. None where weights are a bound: few sessions may fit, and the permits
/// that are out tell how many there are.
pub(super) fn spare_shift(is_weight_bound: bool) -> u32 {
    if is_weight_bound {
        return u32::BITS;
    }
    // Asked once per process: the answer comes from files.
    static THREADS: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    let threads =
        *THREADS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from));
    11 + threads.next_power_of_two().ilog2()
}

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// Changes the capacity (`SSL_CTX_sess_set_cache_size(3)`).
    ///
    /// Shrinking evicts the excess before it returns, oldest first; [`capacity`](Self::capacity)
    /// shows the smaller number once the excess is gone.
    ///
    /// The number of slots then follows by migration, which does not block other threads: lookups
    /// never wait. If the migrating thread stalls, the next one that adds or resizes finishes the
    /// migration. While a stalled reader keeps several emptied tables from being freed, the slots
    /// stay as they are.
    ///
    /// # Errors
    /// As [`new`](Self::new); the capacity is then unchanged.
    pub fn set_capacity(&self, capacity: impl Into<Capacity>) -> Result<(), BuildError> {
        let sessions = capacity.into().sessions()?;
        let most = buckets_for(sessions);
        let buckets = if self.is_weight_bound() { self.following_buckets(most) } else { most };
        Table::<Block<T>>::check_size(most)?;
        let prepared = Table::new(buckets)?;
        // Before anything is changed: a clock is user code.
        let now = self.time.now();
        self.mover.want_buckets(buckets);
        self.sessions.set_limit(sessions);
        // Where threads may keep none any more, adds do not look for spares.
        self.gather_spares();
        self.let_ticks_follow();
        // Hooks are called at the end: one that panics finds the resize done.
        let mut departures = Departures::none();
        self.mover.want();
        self.evict_excess(now, &mut departures);
        self.migrate_all(Some(prepared), &mut departures);
        self.announce(departures);
        Ok(())
    }

    /// Lets as many adds be a tick as suit the number of sessions that may be here, or that are
    /// where weights decide it.
    ///
    /// Another thread may set another limit meanwhile: the last one counts.
    #[cold]
    pub(super) fn let_ticks_follow(&self) {
        let mut followed = None;
        while followed != Some(self.sessions.limit()) {
            let limit = self.sessions.limit();
            self.recency.set_capacity(if self.is_weight_bound() {
                self.sessions.out()
            } else {
                limit
            });
            followed = Some(limit);
        }
    }

    #[cfg(any(sessile_loom, sessile_shuttle))]
    pub(crate) fn slots(&self) -> usize {
        self.chain(&self.domain.pin()).newest().slots()
    }

    /// Evicts until no more permits are out than the limit covers.
    ///
    /// Permits in the hands of adds under way are waited for a bounded time; those adds evict for
    /// themselves (`trim_excess`).
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
        newcomer: &mut super::add::Newcomer<T>,
        departures: &mut Departures<T>,
    ) {
        if self.sessions.excess() > 0 {
            let keep = Some(newcomer.block);
            self.evict_elsewhere(pin, newcomer, keep, departures);
        }
    }

    fn evict_now(
        &self,
        pin: &Guard<'_, T>,
        spot: &At<'_, T>,
        departures: &mut Departures<T>,
    ) -> bool {
        // LINEARIZE: the eviction.
        let evicted = spot.exchange(crate::raw::Word::EMPTY);
        if evicted {
            self.depart(
                pin,
                spot,
                crate::error::RemovalCause::Evicted,
                Permit::GivenBack,
                departures,
            );
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
            let (Some(block), Some(address)) = (self.block(pin, &spot), spot.block()) else {
                return;
            };
            let by_age = rank_of_age(spot.word.stamp().age(tick), spot.word.is_touched());
            let by_date = self.policy.rank_of_date(block.expires(), now);
            // Equal ranks are told apart by chance: survivors that were neighbours would share few
            // new sets.
            let chance =
                self.hash_of(block).wrapping_mul(SCRAMBLE).rotate_left(32).wrapping_mul(SCRAMBLE);
            let rank = (by_date | by_age, chance);
            // SAFETY: the block is alive under the guard; the clone is a count of its own.
            ranked.push((rank, Session::clone(&*unsafe { Session::lend(address) })));
        });
        ranked.sort_unstable_by_key(|(rank, _)| std::cmp::Reverse(*rank));
        let mut oldest: Vec<_> = ranked.into_iter().map(|(_, session)| session).collect();
        oldest.drain(n.min(oldest.len())..).for_each(|session| self.let_go(session));
        oldest
    }

    /// Brings the tables one slice closer to the size that is wanted. Runs no user code: what it
    /// evicts goes to `departures`.
    pub(super) fn migrate(
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
    pub(super) fn migrate_all(
        &self,
        mut prepared: Option<Box<Table<Block<T>>>>,
        departures: &mut Departures<T>,
    ) {
        let mut progress = Progress::More;
        let mut has_collected = false;
        while progress == Progress::More
            || (progress == Progress::Done && self.mover.is_still_wanted())
        {
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
        // An empty bucket counts as a quarter of another.
        let mut left = 4 * buckets;
        while left > 0 {
            let Some(bucket) = oldest.next_to_move() else {
                self.end_migration(pin, oldest);
                return Progress::More;
            };
            left -= 1;
            while let Some(spot) = oldest.first_member(bucket) {
                left = left.saturating_sub(3);
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
        // Tables that grow by a quarter or more each time are no more memory together than a few
        // times the last one.
        let grows_much = wanted >= table.len().saturating_add(table.len() / 4);
        if !grows_much && self.domain.deferred() >= EMPTIED_MAX {
            return Progress::Held;
        }
        let ready = prepared.take().filter(|ready| ready.len() == wanted);
        let Ok(next) = ready.map_or_else(|| Table::new(wanted), Ok) else { return Progress::Stuck };
        table.succeed(next);
        Progress::More
    }

    fn end_migration(&self, pin: &Guard<'_, T>, emptied: &Table<Block<T>>) {
        // What moved behind the sweep was not looked at in its round.
        self.sweeper.interrupt();
        self.let_ticks_follow();
        if let Some(table) = self.root.unlink(emptied) {
            let table = Retired(table);
            // SAFETY: the table left the chain, so guards that begin later cannot reach it; it came
            // from a box.
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
            // The shadow owns a count and the old stay's is given up: one of the two goes at once.
            // It is not the last: the new stay's is given up through `retire`, not before this
            // guard is gone.
            Some(Move::Moved) => drop(count),
            Some(Move::Gone(block)) => {
                let _ = count.into_address();
                // SAFETY: the shadow's count; a reader may have met the shadow. The word is gone,
                // and the guard is older; until it is gone the block is alive.
                unsafe { pin.retire(block, self.footprint(block.as_ref())) };
            }
            None => {
                // Nothing that is known to happen: the count stays with the shadow, which somebody
                // took for a member.
                let _ = count.into_address();
            }
            Some(Move::NoRoom) => {
                // The count was never in the table.
                drop(count);
                self.make_room_for_move(pin, spot, newer, &probe, departures);
            }
        }
    }

    /// The set in the new table is full: one of its members moves on, if there is a newer table or
    /// no bound, or the oldest of them and the one that wants in goes.
    fn make_room_for_move(
        &self,
        pin: &Guard<'_, T>,
        spot: &At<'_, T>,
        newer: &Table<Block<T>>,
        probe: &Probe,
        departures: &mut Departures<T>,
    ) {
        if let Some(member) = newer.set_spots(probe).find(|spot| spot.word.is_member()) {
            if let Some(next) = self.onward(newer) {
                return self.move_session(pin, &member, next, departures);
            }
        }
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
