//! Walking over all buckets: `flush_expired`, `clear`, and the slots that an `add` sweeps for
//! expired sessions.

use super::add::Newcomer;
use super::departure::{Departures, Permit};
use super::{At, Guard, SessionCache};
use crate::error::RemovalCause;
use crate::raw::{SLOTS, State, Table, Word};
use crate::session::{Block, Context, Protocol};
use crate::sync::untracked::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::timestamp::Timestamp;
use std::cell::Cell;

/// When something may have expired, and where the sweep of `add` stands. Hints: a lookup always
/// checks for itself.
pub(super) struct Sweeper {
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
pub(super) struct Hope(AtomicUsize);

impl Hope {
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

impl Default for Hope {
    fn default() -> Self {
        Self(AtomicUsize::new(Self::BUCKETS_MAX))
    }
}

/// Adds per slot that is looked at although nothing can have expired. Its session is cold, and a
/// look at it costs a large cache as much as a quarter of an add.
const ADDS_PER_IDLE_SWEEP: u64 = 64;

/// Buckets that one guard covers while walking: short enough for reclamation, long enough to hide
/// the pin.
const BUCKETS_PER_PIN: usize = 16;

/// Sessions flushed before what they left behind is collected: a large flush must not hold back
/// adds, nor keep secrets long.
const FLUSHED_PER_COLLECT: usize = 1024;

/// Which sessions a walk is about.
#[derive(Clone, Copy)]
pub(super) struct Scope<'k> {
    pub(super) context: Option<&'k Context>,
    pub(super) protocol: Option<Protocol>,
}

impl Scope<'_> {
    pub(super) const ALL: Self = Self { context: None, protocol: None };

    pub(super) fn covers<T>(&self, block: &Block<T>) -> bool {
        self.context.is_none_or(|context| block.context() == context)
            && self.protocol.is_none_or(|protocol| *block.protocol() == protocol)
    }
}

// ORDERING: Relaxed throughout: hints.

impl Sweeper {
    pub(super) fn new() -> Self {
        let never = || AtomicU64::new(u64::MAX);
        let is_interrupted = AtomicBool::new(false);
        Self { soonest: never(), pending: never(), cursor: AtomicUsize::new(0), is_interrupted }
    }

    #[inline]
    pub(super) fn may_have_expired(&self, now: u64) -> bool {
        now > self.soonest.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn note_expiry(&self, expires: u64) {
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
    pub(super) fn interrupt(&self) {
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

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// Removes every session that is expired by the cache's own clock, and returns how many.
    ///
    /// The same as [`flush_expired_at`](Self::flush_expired_at) with [`now`](Self::now).
    ///
    /// ```
    /// use sessile::{ManualClock, Session, SessionCache, SessionId};
    /// use std::sync::Arc;
    ///
    /// let clock = Arc::new(ManualClock::new(1000));
    /// let cache = SessionCache::builder().clock(Arc::clone(&clock)).build()?;
    /// cache.add(Session::new(SessionId::from([1; 32]), "state"))?;
    /// clock.advance(7200);
    /// assert_eq!(cache.flush_expired(), 0); // valid through its last second
    /// clock.advance(1);
    /// assert_eq!(cache.flush_expired(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn flush_expired(&self) -> usize {
        self.flush_expired_at(self.now())
    }

    /// Removes every session that is expired at `time` (`SSL_CTX_flush_sessions(3)`), and every one
    /// whose context was revoked, and returns how many.
    ///
    /// A session whose last valid second is `time` stays. Each session is removed once and shown to
    /// the hook as [`Flushed`](RemovalCause::Flushed). Works through the table sixteen buckets at a
    /// time: neither lookups nor adds wait for it. Calls [`collect`](Self::collect) now and then,
    /// and at its end. Never needed for correctness; an expired session is not returned either way.
    pub fn flush_expired_at(&self, time: impl Into<Timestamp>) -> usize {
        self.flush_expired_in(Scope::ALL, time.into())
    }

    pub(super) fn flush_expired_in(&self, scope: Scope<'_>, time: Timestamp) -> usize {
        self.flush(scope, |block| block.is_expired(time.as_secs()) || self.is_revoked_block(block))
    }

    /// Removes every session that is stored, and returns how many. Sessions added meanwhile may
    /// stay.
    pub fn clear(&self) -> usize {
        self.flush(Scope::ALL, |_| true)
    }

    pub(super) fn flush(&self, scope: Scope<'_>, is_due: impl Fn(&Block<T>) -> bool) -> usize {
        let flushed = Cell::new(0);
        let visit = |pin: &Guard<'_, T>, spot: At<'_, T>, departures: &mut Departures<T>| {
            let mut spot = spot;
            // A touch or a replacement changes the word: look at the slot again until what is there
            // may stay.
            loop {
                // Only a member's block may be looked at: a claim's belongs to its claimant.
                let block = if spot.word.is_member() { self.block(pin, &spot) } else { None };
                if !block.is_some_and(|block| scope.covers(block) && is_due(block)) {
                    return;
                }
                // LINEARIZE: the removal.
                if spot.exchange(Word::EMPTY) {
                    self.depart(pin, &spot, RemovalCause::Flushed, Permit::GivenBack, departures);
                    flushed.set(flushed.get() + 1);
                    return;
                }
                spot = spot.table.at(spot.position);
            }
        };
        let mut collected = 0;
        self.walk_with(visit, || {
            if flushed.get() - collected >= FLUSHED_PER_COLLECT {
                collected = flushed.get();
                self.collect();
            }
        });
        if flushed.get() > collected {
            self.fit_table_after_sweep();
            self.collect();
        }
        flushed.get()
    }

    /// Shows every member to `visit`: one that is stored during the whole walk at least once,
    /// bucket by bucket, with the hooks called in between and no guard held for long.
    pub(super) fn walk<'c>(
        &'c self,
        visit: impl FnMut(&Guard<'c, T>, At<'_, T>, &mut Departures<T>),
    ) {
        self.walk_with(visit, || {});
    }

    /// Calls `between` whenever no guard is held.
    fn walk_with<'c>(
        &'c self,
        mut visit: impl FnMut(&Guard<'c, T>, At<'_, T>, &mut Departures<T>),
        mut between: impl FnMut(),
    ) {
        let mut table_number = 0;
        let mut bucket = 0;
        loop {
            let mut departures = Departures::none();
            let pin = self.domain.pin();
            let chain = self.chain(&pin);
            // A table that was emptied meanwhile is gone: what it held is in its successors, which
            // come next.
            let known = chain.tables().find(|table| table.number() == table_number);
            let table = known.unwrap_or_else(|| chain.oldest());
            if known.is_none() {
                (table_number, bucket) = (table.number(), 0);
            }
            let older = chain
                .tables()
                .find(|older| older.next().is_some_and(|next| std::ptr::eq(next, table)));
            let end = table.len().min(bucket + BUCKETS_PER_PIN);
            self.walk_buckets(&pin, table, older, bucket..end, |spot| {
                visit(&pin, spot, &mut departures)
            });
            bucket = end;
            let next = if bucket == table.len() {
                table.next().map(Table::number)
            } else {
                Some(table_number)
            };
            drop(pin);
            self.announce(departures);
            between();
            match next {
                None => return,
                Some(number) if number != table_number => (table_number, bucket) = (number, 0),
                Some(_) => {}
            }
        }
    }

    fn walk_buckets<'p>(
        &self,
        pin: &'p Guard<'_, T>,
        table: &'p Table<Block<T>>,
        older: Option<&'p Table<Block<T>>>,
        buckets: std::ops::Range<usize>,
        mut visit: impl FnMut(At<'p, T>),
    ) {
        for bucket in buckets {
            for spot in table.bucket_spots(bucket) {
                match spot.word.state() {
                    State::Member => visit(spot),
                    State::Shadow => {
                        self.arrived(pin, spot, older).into_iter().for_each(&mut visit)
                    }
                    State::Empty | State::Claim | State::Moved => {}
                }
            }
        }
    }

    /// The member behind a shadow, if the session has left the older table; a walk would miss it in
    /// both otherwise.
    #[cold]
    fn arrived<'p>(
        &self,
        pin: &'p Guard<'_, T>,
        shadow: At<'p, T>,
        older: Option<&'p Table<Block<T>>>,
    ) -> Option<At<'p, T>> {
        let probe = self.probe_of(self.block(pin, &shadow)?);
        let promoted = older.and_then(|older| shadow.promote(older.set_of(&probe), older));
        let now = promoted.unwrap_or_else(|| shadow.table.at(shadow.position));
        now.word.is_member().then_some(now)
    }

    /// Looks at one slot and removes what is expired there: the bounded work that keeps a cache
    /// without timers clean.
    ///
    /// As long as nothing can have expired, only one add in sixty-four does, to find sessions whose
    /// dates were changed while they were stored. Where something can, and the cache is nearly
    /// full, it is a bucket of slots: what has expired shall be gone before anything else has to
    /// go.
    #[inline]
    pub(super) fn sweep_some(&self, pin: &Guard<'_, T>, now: u64, departures: &mut Departures<T>) {
        let may_have_expired = self.sweeper.may_have_expired(now);
        let is_due = may_have_expired
            || pin.state().placements.get() % ADDS_PER_IDLE_SWEEP == 0
            || self.chain(pin).oldest().is_one_set();
        if is_due {
            let is_urgent = may_have_expired && self.is_nearly_full();
            self.sweep_slots(pin, if is_urgent { SLOTS } else { 1 }, now, departures);
        }
    }

    /// Sweeps a few buckets for a newcomer whose own search met nothing that has expired. True if
    /// that made room.
    pub(super) fn sweep_for(
        &self,
        pin: &Guard<'_, T>,
        table: &Table<Block<T>>,
        newcomer: &Newcomer<T>,
        departures: &mut Departures<T>,
    ) -> bool {
        if table.is_one_set()
            || !self.sweeper.may_have_expired(newcomer.now)
            || !self.settings.auto_flushes()
        {
            return false;
        }
        let hope = &pin.state().hope;
        let has_met = self.sweep_buckets(pin, hope.buckets(), newcomer.now, departures);
        hope.learn(has_met);
        has_met
    }

    /// Looks at up to so many buckets, until something has expired in one. True if it had, and is
    /// gone.
    fn sweep_buckets(
        &self,
        pin: &Guard<'_, T>,
        most: usize,
        now: u64,
        departures: &mut Departures<T>,
    ) -> bool {
        (0..most).any(|_| self.sweep_slots(pin, SLOTS, now, departures))
    }

    /// Looks at the next slots. True if something left.
    #[cold]
    fn sweep_slots(
        &self,
        pin: &Guard<'_, T>,
        slots: usize,
        now: u64,
        departures: &mut Departures<T>,
    ) -> bool {
        let table = self.chain(pin).newest();
        let start = self.sweeper.advance(slots);
        let sweep = |nth| self.sweep_slot(pin, table, nth % table.slots(), now, departures);
        (start..start.saturating_add(slots)).map(sweep).filter(|&has_left| has_left).count() > 0
    }

    fn is_nearly_full(&self) -> bool {
        self.sessions.is_nearly_out()
            || self.weighing.as_ref().is_some_and(|weighing| weighing.budget.is_nearly_out())
    }

    /// Removes what is expired or revoked in a slot. True if something was.
    fn sweep_slot(
        &self,
        pin: &Guard<'_, T>,
        table: &Table<Block<T>>,
        slot: usize,
        now: u64,
        departures: &mut Departures<T>,
    ) -> bool {
        let spot = table.at(table.nth_slot(slot));
        let mut has_left = false;
        if spot.word.is_member() {
            if let Some(block) = self.block(pin, &spot) {
                let cause = match block.is_expired(now) {
                    true => Some(RemovalCause::Expired),
                    false => self.is_revoked_block(block).then_some(RemovalCause::Removed),
                };
                match cause {
                    None => self.sweeper.note_survivor(block.expires()),
                    // LINEARIZE: a spontaneous removal, if the exchange succeeds.
                    Some(cause) if spot.exchange(Word::EMPTY) => {
                        self.depart(pin, &spot, cause, Permit::GivenBack, departures);
                        has_left = true;
                    }
                    Some(_) => {}
                }
            }
        }
        if slot + 1 == table.slots() {
            self.sweeper.end_round(std::ptr::eq(self.chain(pin).oldest(), table));
        }
        has_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        cache.sweeper.note_expiry(5);
        let pin = cache.domain.pin();
        let slots = cache.chain(&pin).newest().slots();
        let sweep = |slots| cache.sweep_slots(&pin, slots, 6, &mut Departures::none());
        // Two rounds: what was noted before the first one is forgotten with the second.
        sweep(slots);
        assert!(!sweep(slots - 1) && cache.sweeper.may_have_expired(6));
        assert!(!sweep(1) && !cache.sweeper.may_have_expired(6));
    }
}
