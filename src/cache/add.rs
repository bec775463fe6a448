//! `add`: what is settled before and after a place for the session is looked for.
#![forbid(unsafe_code)]

use super::SessionCache;
use super::notify::{Held, HookCalls, Notifications};
use super::operation::Operation;
use crate::error::{Added, Rejected, Rejection};
use crate::hint::{likely, unlikely};
use crate::raw::{Probe, RawTable};
use crate::session::{Block, Session};
use crate::stats::Counter;
use crate::sync::MODELLED;
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

/// How long an add waits for operations of other threads that hold back too much garbage.
const GARBAGE_WAIT_MAX: Duration = Duration::from_millis(100);

/// After this time a waiting add sleeps between its attempts. Waiters that only yield would share
/// the processors with the interrupted threads that they wait for.
const YIELDING_MAX: Duration = Duration::from_millis(1);

const SLEEP: Duration = Duration::from_micros(200);

/// Whether what was stored stays.
pub(super) type Settle<'s, T> = dyn Fn(&Operation<'_, T>) -> bool + 's;

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
        self.store(session, self.settings.wants_added(), None)
    }

    /// [`add`](Self::add), of which the hook hears if it `is_shown`. If `settle` answers false, it
    /// has removed what was stored, and keeps a handle of it.
    pub(super) fn store(
        &self,
        session: Session<T>,
        is_shown: bool,
        settle: Option<&Settle<'_, T>>,
    ) -> Result<Added<T>, Rejected<T>> {
        let session = Held::new(self, session);
        let probe = self.probe_of(session.block());
        let now = self.time.now();
        if unlikely(Session::handle_count(&session) > 1) && self.is_stored(&session, &probe, now) {
            drop(session.into_session());
            return Ok(Added::Identical);
        }
        // Runs the weigher, which is user code: before the guard.
        let admitted = self.admit(&session, now, is_shown);
        let session = session.into_session();
        if let Err(rejection) = admitted {
            return self.reject_unplaced(session, rejection, is_shown);
        }
        let mut operation = Operation::begin(self);
        let shown = is_shown.then(|| session.clone());
        // The date that is to be changed: not one that somebody sets once the session is stored.
        let old_date = self.settings.updates_time().then(|| session.block().created());
        let mut waits_since = None;
        let stored = loop {
            let stored = operation.insert(&session, &probe, now);
            if likely(!matches!(stored, Err(Rejection::Garbage)))
                || !self.may_wait(&mut waits_since)
            {
                break stored;
            }
            // Perhaps only a backlog: work it off, outside of the guard, and try once more.
            operation = operation.renewed(|| self.collect());
        };
        // Its count is the table's, if it was stored.
        let session = ManuallyDrop::new(session);
        operation.settle_add(session.block(), &stored, old_date, now);
        let has_left = |settle: &Settle<'_, T>| {
            stored.as_ref().is_ok_and(Added::changed) && !settle(&operation)
        };
        if unlikely(settle.is_some_and(has_left)) {
            shown.into_iter().for_each(|shown| self.drop_handle(shown));
            return operation.end_refused(stored, &session);
        }
        if let Some(shown) = shown {
            match stored.as_ref().is_ok_and(Added::changed) {
                true => operation.notifications().added(shown),
                false => self.drop_handle(shown),
            }
        }
        let added = match stored {
            Ok(Added::Identical) => {
                drop(ManuallyDrop::into_inner(session));
                Ok(Added::Identical)
            }
            Ok(added) => Ok(added),
            Err(rejection) => Err(Rejected::new(rejection, ManuallyDrop::into_inner(session))),
        };
        if likely(operation.is_silent()) {
            return added;
        }
        operation.finish(added, |added| match added {
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
        let notifications = Notifications::none(self);
        if is_shown && rejection == Rejection::StoreDisabled {
            notifications.added(session.clone());
        }
        self.domain.pin().state().counters.count_rejection(rejection);
        notifications.send(Err(Rejected::new(rejection, session)), |rejected| {
            rejected.err().map(Rejected::into_session)
        })
    }

    /// Whether the first match is this very object, and it would be admitted. If it is stored, the
    /// table has a count of its own beside the caller's, and it was dated and weighed.
    #[inline(always)]
    pub(super) fn is_stored(&self, session: &Session<T>, probe: &Probe, now: u64) -> bool {
        let block = session.block();
        if !self.settings.has_simple_adds() || !block.is_resumable() || block.is_expired(now) {
            return false;
        }
        let Some(reader) = self.domain.reader() else { return false };
        // LINEARIZE: the identical add, at the load of the word.
        let Ok(Some(member)) = self.oldest_table(&reader).first_match(probe) else {
            return false;
        };
        let is_stored = member.address() == session.address();
        if is_stored {
            self.count(&reader, Counter::Identical);
        }
        is_stored
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
        if unlikely(!block.is_resumable()) {
            return Err(Rejection::NotResumable);
        }
        if unlikely(!RawTable::can_hold(session.address())) {
            return Err(Rejection::Address);
        }
        let dating =
            || block.dating(now, self.settings.timeout_seconds()).ok_or(Rejection::Expired);
        let mut dates = dating()?;
        if self.budget.weigh(session)? {
            // The weigher may have changed them, marked the session, or kept a handle.
            dates = dating()?;
            if !block.is_resumable() {
                return Err(Rejection::NotResumable);
            }
        }
        self.budget.note_size(block);
        block.date(dates);
        if stores { Ok(()) } else { Err(Rejection::StoreDisabled) }
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
        let waited = since.elapsed();
        if !may_end || waited > GARBAGE_WAIT_MAX || is_held() {
            return false;
        }
        if waited < YIELDING_MAX {
            crate::sync::yield_now()
        } else {
            std::thread::sleep(SLEEP)
        }
        true
    }
}

impl<T: Send + Sync + 'static> Operation<'_, T> {
    /// Ends an add whose session has left again.
    #[cold]
    fn end_refused(
        self,
        stored: Result<Added<T>, Rejection>,
        session: &Session<T>,
    ) -> Result<Added<T>, Rejected<T>> {
        if let Ok(Added::Replaced(old)) = stored {
            self.cache().drop_handle(old);
        }
        let rejection = Rejection::NotResumable;
        self.thread().counters.count_rejection(rejection);
        self.finish(Err(Rejected::new(rejection, session.clone())), |rejected| {
            rejected.err().map(Rejected::into_session)
        })
    }

    /// Counts an add, and sweeps a little if it stored the session.
    #[inline]
    fn settle_add(
        &self,
        block: &Block<T>,
        stored: &Result<Added<T>, Rejection>,
        old_date: Option<Option<u64>>,
        now: u64,
    ) {
        match stored {
            Ok(Added::Inserted) => self.count(Counter::Added),
            // Counted as a removal of the old one.
            Ok(Added::Replaced(_)) => {}
            Ok(Added::Identical) => return self.count(Counter::Identical),
            Err(rejection) => return self.thread().counters.count_rejection(*rejection),
        }
        if let Some(old_date) = old_date {
            block.redate(old_date, now);
        }
        let cache = self.cache();
        cache.eviction.sweeper.note_expiry(block.expires());
        if cache.settings.auto_flushes() {
            self.sweep_some(now);
        }
    }
}
