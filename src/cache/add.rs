//! `add`: identical, replace, or insert.

use super::departure::{Departures, Held, HookCalls, Permit};
use super::room::{ATTEMPTS_MAX, Holding};
use super::{Guard, Key, SessionCache};
use crate::error::{Added, Rejected, Rejection, RemovalCause};
use crate::raw::{Claimant, Glance, Home, Probe, Stamp, Table, Tag, Word};
use crate::session::{Block, Session};
use crate::stats::Counter;
use crate::sync::MODELLED;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// One `add` on its way.
pub(super) struct Newcomer<T> {
    pub(super) block: NonNull<Block<T>>,
    pub(super) probe: Probe,
    pub(super) tag: Tag,
    pub(super) claimant: usize,
    pub(super) weight: usize,
    pub(super) now: u64,
    pub(super) holding: Holding,
}

/// How long an add waits for operations of other threads that hold back too much garbage.
const GARBAGE_WAIT_MAX: Duration = Duration::from_millis(100);

enum Placed<T> {
    Inserted,
    Replaced(Session<T>),
    Identical,
}

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// Stores a session (`SSL_CTX_add_session(3)`), which is visible to the very next lookup.
    ///
    /// The handle given becomes the cache's own: the count rises by one as seen by whoever kept a
    /// clone.
    ///
    /// - The key is absent: [`Inserted`](Added::Inserted). A full cache evicts another session
    ///   first, never this one.
    /// - This very object is stored: [`Identical`](Added::Identical). Nothing is written, counted
    ///   up or reordered.
    /// - Another object with the key is stored: [`Replaced`](Added::Replaced), in one step: no
    ///   lookup finds neither or both. The cache's own count of the old one goes by deferred
    ///   destruction.
    ///
    /// A session without date or timeout gets those of the cache. In steady state it allocates a
    /// few small blocks per 64 retirements, for the epochs. Lock-free, but for one case: too much
    /// garbage that is held back by other operations, whose threads were interrupted, is waited
    /// for, with the processor left to others, for at most 100 ms. What a closure in
    /// [`read`](Self::read) holds back is not waited for.
    ///
    /// # Errors
    /// [`Rejected`] gives the session back; the key is as it was. Nothing else changed either,
    /// unless room had been made already when there was contention or too much garbage: who was
    /// evicted then is gone. The reasons are those of [`Rejection`].
    ///
    /// # Panics
    /// If the weigher, the clock or a hook panics. Table, counts and limits are whole then, and the
    /// session is dropped.
    ///
    /// ```
    /// use sessile::{Added, Session, SessionCache, SessionId};
    ///
    /// let cache = SessionCache::new(100)?;
    /// let id = SessionId::from([1; 32]);
    /// let first = Session::new(id, 1);
    /// assert!(matches!(cache.add(first.clone())?, Added::Inserted));
    /// assert!(matches!(cache.add(first.clone())?, Added::Identical));
    /// let Added::Replaced(old) = cache.add(Session::new(id, 2))? else { panic!() };
    /// assert!(Session::ptr_eq(&old, &first));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add(&self, session: Session<T>) -> Result<Added<T>, Rejected<T>> {
        self.store(session, self.settings.wants_added())
    }

    /// [`add`](Self::add) of what a second tier supplied: no news to its hook.
    #[cold]
    pub(super) fn add_from_tier(&self, session: Session<T>) -> Result<Added<T>, Rejected<T>> {
        self.store(session, false)
    }

    /// [`add`](Self::add), which tells the hook of the session if it `is_shown`.
    fn store(&self, session: Session<T>, is_shown: bool) -> Result<Added<T>, Rejected<T>> {
        let session = Held::new(self, session);
        let probe = self.probe_of(session.block());
        let now = self.time.now();
        if Session::handle_count(&session) > 1 && self.is_at_a_glance(&session, &probe, now) {
            drop(session.into_session());
            return Ok(Added::Identical);
        }
        // Runs the weigher, which is user code: before the guard.
        let admitted = self.admit(&session, now, is_shown);
        let session = session.into_session();
        if let Err(rejection) = admitted {
            return self.reject_unplaced(session, rejection, is_shown);
        }
        let mut departures = Departures::none();
        if is_shown {
            departures.arrive(session.clone());
        }
        let added = self.add_quietly(session, &probe, now, &mut departures);
        if is_shown && !added.as_ref().is_ok_and(Added::changed) {
            departures.unarrive().into_iter().for_each(|session| self.let_go(session));
        }
        self.announce_with(departures, added, |added| match added {
            Ok(Added::Replaced(old)) => Some(old),
            Ok(Added::Inserted | Added::Identical) => None,
            Err(rejected) => Some(rejected.into_session()),
        })
    }

    /// Refuses a session before a place for it was looked for. Where only the mode forbids to store
    /// it, the hook hears of it.
    #[cold]
    fn reject_unplaced(
        &self,
        session: Session<T>,
        rejection: Rejection,
        is_shown: bool,
    ) -> Result<Added<T>, Rejected<T>> {
        let mut departures = Departures::none();
        if is_shown && rejection == Rejection::StoreDisabled {
            departures.arrive(session.clone());
        }
        let rejected = self.reject(session, rejection);
        self.announce_with(departures, rejected, |rejected| {
            rejected.err().map(Rejected::into_session)
        })
    }

    #[cold]
    fn reject(&self, session: Session<T>, rejection: Rejection) -> Result<Added<T>, Rejected<T>> {
        self.domain.pin().state().counters.count_rejection(rejection);
        Err(Rejected::new(rejection, session))
    }

    /// Whether a first look finds this very object, and it would be admitted. If it is stored, its
    /// stay has a count of its own beside the caller's, and it was dated and weighed.
    #[inline]
    fn is_at_a_glance(&self, session: &Session<T>, probe: &Probe, now: u64) -> bool {
        let block = session.block();
        if !self.settings.has_simple_adds() || !block.is_resumable() || block.is_expired(now) {
            return false;
        }
        let Some(reader) = self.domain.reader() else { return false };
        // LINEARIZE: the identical add, at the load of the word.
        let Glance::Candidate(_, block) = self.chain(&reader).glance(probe) else { return false };
        let is_stored = block == session.address();
        if is_stored {
            self.count(&reader, Counter::Identical);
        }
        is_stored
    }

    /// The add without its hooks.
    fn add_quietly(
        &self,
        session: Session<T>,
        probe: &Probe,
        now: u64,
        departures: &mut Departures<T>,
    ) -> Result<Added<T>, Rejected<T>> {
        // The date that is to be changed: not one that somebody sets once the session is stored.
        let old_date = self.settings.updates_time().then(|| session.block().created());
        let mut pin = self.domain.pin();
        let mut placed = self.place(&pin, &session, probe, now, departures);
        let mut waits_since = None;
        while matches!(placed, Err(Rejection::Garbage)) && self.may_wait(&mut waits_since) {
            // Perhaps only a backlog: work it off, outside of the guard, and try once more.
            drop(pin);
            self.collect();
            pin = self.domain.pin();
            placed = self.place(&pin, &session, probe, now, departures);
        }
        let added = match placed {
            Ok(Placed::Inserted) => {
                self.count(&pin, Counter::Added);
                Added::Inserted
            }
            Ok(Placed::Replaced(old)) => Added::Replaced(old),
            Ok(Placed::Identical) => {
                self.count(&pin, Counter::Identical);
                return Ok(Added::Identical);
            }
            Err(rejection) => return self.reject(session, rejection),
        };
        if let Some(old_date) = old_date {
            session.block().redate(old_date, now);
        }
        self.sweeper.note_expiry(session.block().expires());
        // The table owns the count now.
        let _ = session.into_address();
        if self.settings.auto_flushes() {
            self.sweep_some(&pin, now, departures);
        }
        Ok(added)
    }

    /// Whether an add that met too much garbage tries again: once, and then as long as other
    /// operations hold it back, whose threads were interrupted and get the processor now.
    #[cold]
    fn may_wait(&self, since: &mut Option<Instant>) -> bool {
        let Some(since) = *since else {
            *since = Some(Instant::now());
            return true;
        };
        let may_end = !MODELLED && self.domain.may_release();
        let is_held = || self.domain.states_in_use().any(|state| state.closures.is_any_running());
        if !may_end || since.elapsed() > GARBAGE_WAIT_MAX || is_held() {
            return false;
        }
        crate::sync::yield_now();
        true
    }

    /// What the settings say of an add where storing is off or a context was revoked: whether it
    /// stores. What may not be stored is of interest only if a hook is to be shown it.
    #[cold]
    fn check_settings(&self, session: &Session<T>, is_shown: bool) -> Result<bool, Rejection> {
        if HookCalls::are_too_deep() {
            return Err(Rejection::Recursion);
        }
        let stores = self.settings.mode().store;
        if !stores && !is_shown {
            return Err(Rejection::StoreDisabled);
        }
        if self.is_revoked_block(session.block()) {
            return Err(Rejection::Revoked);
        }
        Ok(stores)
    }

    /// Checks, dates and weighs a session.
    #[inline]
    fn admit(&self, session: &Session<T>, now: u64, is_shown: bool) -> Result<(), Rejection> {
        let stores =
            self.settings.has_simple_adds_unhooked() || self.check_settings(session, is_shown)?;
        let block = session.block();
        if !block.is_resumable() {
            return Err(Rejection::NotResumable);
        }
        if !Word::can_hold(session.address()) {
            return Err(Rejection::Address);
        }
        let dating =
            || block.dating(now, self.settings.timeout_seconds()).ok_or(Rejection::Expired);
        let mut dates = dating()?;
        if let Some(weighing) = &self.weighing {
            weighing.weigh(session)?;
            // The weigher may have changed them, marked the session, or kept a handle.
            dates = dating()?;
            if !block.is_resumable() {
                return Err(Rejection::NotResumable);
            }
        }
        block.date(dates);
        if stores { Ok(()) } else { Err(Rejection::StoreDisabled) }
    }

    fn place(
        &self,
        pin: &Guard<'_, T>,
        session: &Session<T>,
        probe: &Probe,
        now: u64,
        departures: &mut Departures<T>,
    ) -> Result<Placed<T>, Rejection> {
        let claimant = self.claimant(pin)?;
        let block = session.block();
        let key = Key::of_block(block);
        let mut newcomer = Newcomer {
            block: session.address(),
            probe: *probe,
            tag: probe.tag(),
            claimant: claimant.number,
            weight: if self.weighing.is_some() { session.block().weight() as usize } else { 0 },
            now,
            holding: Holding::default(),
        };
        let placed = loop {
            match self.attempt(pin, key, &mut newcomer, departures) {
                Ok(Some(placed)) => break Ok(placed),
                // Each failed attempt is another thread's progress, or counted in `holding`.
                Ok(None) => crate::sync::relax(),
                Err(rejection) => break Err(rejection),
            }
        };
        self.give_back(pin, &newcomer.holding);
        placed
    }

    /// The number to claim slots with; a thread without one of its own waits a bounded time for one
    /// to be lent.
    #[inline]
    fn claimant(&self, pin: &Guard<'_, T>) -> Result<Claimant<'_>, Rejection> {
        let mut attempts = 0..ATTEMPTS_MAX;
        loop {
            if let Some(claimant) = self.claimants.number(pin.index()) {
                return Ok(claimant);
            }
            attempts.next().ok_or(Rejection::Contention)?;
            crate::sync::yield_now();
        }
    }

    fn attempt(
        &self,
        pin: &Guard<'_, T>,
        key: Key<'_>,
        newcomer: &mut Newcomer<T>,
        departures: &mut Departures<T>,
    ) -> Result<Option<Placed<T>>, Rejection> {
        let finish = self.finish(pin);
        let chain = self.chain(pin);
        let newest = chain.newest();
        let Some(home) = newest.settle(&newcomer.probe, &finish) else { return Ok(None) };
        for older in chain.tables().take_while(|table| !std::ptr::eq(*table, newest)) {
            older.close(&newcomer.probe, &finish);
        }
        let found = self.find(pin, key, &newcomer.probe).spot;
        // LINEARIZE: the identical add, at the load of the word.
        if found.is_some_and(|spot| spot.word.holds(newcomer.block)) {
            return Ok(Some(Placed::Identical));
        }
        self.check_garbage(newcomer)?;
        match found {
            Some(spot) => self.replace(pin, &spot, newcomer, departures),
            None => self.insert(pin, newest, home, newcomer, departures),
        }
    }

    fn replace(
        &self,
        pin: &Guard<'_, T>,
        spot: &super::At<'_, T>,
        newcomer: &mut Newcomer<T>,
        departures: &mut Departures<T>,
    ) -> Result<Option<Placed<T>>, Rejection> {
        let Some(old) = self.block(pin, spot) else { return Ok(None) };
        let old_weight = if self.weighing.is_some() { old.weight() as usize } else { 0 };
        let more = newcomer.weight.saturating_sub(old_weight);
        if self.weighing.is_some() {
            // What the two weigh in common is garbage once the old one is, and others could be let
            // in for it meanwhile.
            self.announce_garbage(newcomer, newcomer.weight - more);
            if !self.reserve_weight(pin, newcomer, more, spot.block(), departures)? {
                return Ok(None);
            }
        }
        let tick = self.next_tick(pin, spot.table);
        // LINEARIZE: the replacement.
        if !spot.exchange(Word::member(newcomer.block, newcomer.tag, Stamp::of_tick(tick))) {
            return Ok(None);
        }
        self.placed(spot.table, tick);
        newcomer.holding.weight -= more;
        if let Some(weighing) = &self.weighing {
            weighing.budget.give(old_weight.saturating_sub(newcomer.weight));
        }
        // SAFETY: the block is alive under the guard; the clone is the caller's own count.
        let old = spot.block().map(|old| Session::clone(&*unsafe { Session::lend(old) }));
        self.depart(pin, spot, RemovalCause::Replaced, Permit::Kept, departures);
        Ok(old.map(Placed::Replaced))
    }

    fn insert(
        &self,
        pin: &Guard<'_, T>,
        table: &Table<Block<T>>,
        home: Home,
        newcomer: &mut Newcomer<T>,
        departures: &mut Departures<T>,
    ) -> Result<Option<Placed<T>>, Rejection> {
        if self.weighing.is_some()
            && !self.reserve_weight(pin, newcomer, newcomer.weight, None, departures)?
        {
            return Ok(None);
        }
        let Some(spot) = self.choose_slot(pin, table, newcomer, departures)? else {
            return Ok(None);
        };
        let claim = spot.claim(newcomer.block, newcomer.tag, newcomer.claimant, home);
        let Some(claim) = claim else { return Ok(None) };
        if spot.word.is_member() {
            self.evict_into_holding(pin, &spot, newcomer, departures);
        }
        let tick = self.next_tick(pin, table);
        if !claim.publish(Stamp::of_tick(tick)) {
            return Ok(None);
        }
        self.placed(table, tick);
        newcomer.holding.session = false;
        newcomer.holding.weight -= newcomer.weight;
        self.fit_table(pin, table, departures);
        self.trim_excess(pin, newcomer, departures);
        Ok(Some(Placed::Inserted))
    }

    /// The tick of a session that is placed now.
    #[inline]
    fn next_tick(&self, pin: &Guard<'_, T>, table: &Table<Block<T>>) -> usize {
        if table.is_one_set() {
            return self.recency.advance();
        }
        let state = pin.state();
        state.placements.add(1);
        if self.recency.note_arrival(&state.turnover) && self.is_weight_bound() {
            self.let_ticks_follow();
        }
        self.recency.tick()
    }

    /// What follows a placement in the tick `tick`.
    #[inline]
    fn placed(&self, table: &Table<Block<T>>, tick: usize) {
        if table.is_one_set() {
            self.renumber_if_due(table, tick);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::SessionId;

    /// A mover that sleeps when it has linked a larger table, and an adder that sleeps when it has
    /// found its key absent in the old one. Whoever adds the key meanwhile closes its home there.
    #[test]
    fn an_add_closes_its_home_in_the_table_that_is_emptied() {
        for n in 0..20 {
            let cache = SessionCache::new(10).unwrap();
            let [sleeper, newcomer] =
                [1, 2].map(|number| Session::new(SessionId::from([n; 32]), number));
            let pin = cache.domain.pin();
            let (table, probe) = (cache.chain(&pin).newest(), cache.probe_of(sleeper.block()));
            let home = table.settle(&probe, &cache.finish(&pin)).expect("nothing is closed yet");
            let Ok(larger) = Table::new(2 * table.len()) else { panic!("a valid size") };
            table.succeed(larger);
            assert!(matches!(cache.add(newcomer), Ok(Added::Inserted)));
            let spot = table.set_spots(&probe).next().expect("a set has slots");
            let claim =
                spot.claim(sleeper.address(), probe.tag(), 100, home).expect("the slot is empty");
            assert!(!claim.publish(Stamp::of_tick(0)), "the key is inserted into both tables");
        }
    }
}
