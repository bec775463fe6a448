//! `get`, `read`, `take`.

use super::budget::Permit;
use super::notify::Held;
use super::operation::{Found, Operation};
use super::{Key, PerThread, SessionCache};
use crate::clock::Time;
use crate::error::RemovalCause;
use crate::hint::{likely, unlikely};
use crate::memory::prefetch;
use crate::raw::{Occupied, Probe, Unlinked};
use crate::session::{Block, Context, Protocol, Session, SessionId};
use crate::stats::Counter;

/// What a lookup makes of a stored session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Validity {
    Usable,
    Expired,
    /// Marked non-resumable, or of a revoked context.
    NotResumable,
    /// Dated in the future: kept, not used.
    NotYetValid,
    /// It leaves again if it was removed while it came (`removals`): as if it were not there.
    Arriving,
}

/// How one search of the table ended.
enum Outcome<R> {
    Hit(R),
    Miss,
    /// Found, but dated after the reading of the clock that the search was made with.
    TooEarly,
}

impl<R> Outcome<R> {
    fn hit(self) -> Option<R> {
        match self {
            Self::Hit(hit) => Some(hit),
            Self::Miss | Self::TooEarly => None,
        }
    }
}

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// Looks a session up and returns a counted handle.
    ///
    /// Never waits for a writer, an evictor or a migration. An expired session is a miss and is
    /// removed. A session with a context or a protocol is found through a [`view`](Self::view) of
    /// these only.
    ///
    /// # Panics
    /// If the clock, the miss hook or the removal hook panics.
    ///
    /// ```
    /// use sessile::{Session, SessionCache, SessionId};
    ///
    /// let cache = SessionCache::new(100)?;
    /// let id = SessionId::from([1; 32]);
    /// cache.add(Session::new(id, "state"))?;
    /// assert_eq!(*cache.get(&id).unwrap(), "state");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self, id: &SessionId) -> Option<Session<T>> {
        self.get_key(Key::of_id(id))
    }

    /// Looks a session up and lends it to `f`, without touching its count.
    ///
    /// On a hit no shared cache line is written, except once per session and tick (a 32nd of the
    /// capacity in adds) the age that eviction needs. `f` runs under a short guard: while it runs,
    /// nothing that is removed from the cache can be freed, so it should not block. It may use the
    /// cache.
    ///
    /// ```
    /// use sessile::{Session, SessionCache, SessionId};
    ///
    /// let cache = SessionCache::new(100)?;
    /// let id = SessionId::from([1; 32]);
    /// cache.add(Session::new(id, String::from("state")))?;
    /// assert_eq!(cache.read(&id, |session| session.len()), Some(5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If `f`, the clock, the miss hook or the removal hook panics.
    pub fn read<R>(&self, id: &SessionId, f: impl FnOnce(&Session<T>) -> R) -> Option<R> {
        self.read_key(Key::of_id(id), f)
    }

    /// Removes a session and returns it. Of all threads that take, remove or replace one session,
    /// exactly one gets it.
    ///
    /// The handle is the caller's own; the cache's count goes by deferred destruction, so
    /// [`Session::handle_count`] may still include it for a while. Lock-free.
    ///
    /// ```
    /// use sessile::{Session, SessionCache, SessionId};
    ///
    /// let cache = SessionCache::new(100)?;
    /// let id = SessionId::from([1; 32]);
    /// cache.add(Session::new(id, "ticket"))?;
    /// assert_eq!(*cache.take(&id).expect("the first taker gets it"), "ticket");
    /// assert!(cache.take(&id).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If the clock, the miss hook or the removal hook panics.
    pub fn take(&self, id: &SessionId) -> Option<Session<T>> {
        self.take_key(Key::of_id(id))
    }

    #[inline]
    pub(super) fn get_key(&self, key: Key<'_>) -> Option<Session<T>> {
        self.lookup(key, |_, session| session.clone()).or_else(|| self.ask_tier(key, Some))
    }

    #[inline]
    pub(super) fn read_key<R>(&self, key: Key<'_>, f: impl FnOnce(&Session<T>) -> R) -> Option<R> {
        let mut f = Some(f);
        let hit = self.lookup(key, |thread, session| {
            let _running = thread.closures.begin();
            f.take().map(|f| f(session))
        });
        match f {
            None => hit.flatten(),
            Some(f) => self.ask_tier(key, |session| Some(f(&Held::new(self, session)))),
        }
    }

    /// Finds a usable session and lends it to `lend` under the guard. Everything that does not end
    /// in a hit is counted, and removed where it must be, before this returns.
    #[inline(always)]
    fn lookup<R>(
        &self,
        key: Key<'_>,
        lend: impl FnOnce(&PerThread, &Session<T>) -> R,
    ) -> Option<R> {
        let probe = self.probe(key);
        // A miss needs no time.
        let before = self.time.before_guard();
        let is_simple = likely(self.settings.has_simple_lookups());
        let reader = if is_simple { self.domain.reader() } else { None };
        let Some(reader) = reader else {
            let now = Time::under_guard(before);
            return self.lookup_slow(key.id, key.context, key.protocol, probe.hash(), now, lend);
        };
        let now = match self.oldest_table(&reader).first_match(&probe) {
            Ok(Some(member)) => {
                prefetch(member.block());
                let now = Time::under_guard(before);
                if likely(member.block().is_hit(key.id, key.context, *key.protocol, now)) {
                    self.count(&reader, Counter::Hits);
                    self.use_member(&member, now);
                    return Some(lend(reader.state(), &member.session()));
                }
                now
            }
            Ok(None) => {
                self.count(&reader, Counter::Misses);
                return None;
            }
            Err(_) => Time::under_guard(before),
        };
        drop(reader);
        self.lookup_slow(key.id, key.context, key.protocol, probe.hash(), now, lend)
    }

    /// A lookup that the first match could not end. Takes the key in parts, which stay in
    /// registers.
    #[cold]
    #[inline(never)]
    fn lookup_slow<R>(
        &self,
        id: &SessionId,
        context: &Context,
        protocol: &Protocol,
        hash: u64,
        now: u64,
        lend: impl FnOnce(&PerThread, &Session<T>) -> R,
    ) -> Option<R> {
        self.lookup_if(Key { id, context, protocol }, &self.table.probe(hash), now, &|_| true, lend)
    }

    /// A lookup of what satisfies `accept`, by the settings.
    #[inline]
    pub(super) fn lookup_if<R>(
        &self,
        key: Key<'_>,
        probe: &Probe,
        now: u64,
        accept: &impl Fn(&Session<T>) -> bool,
        lend: impl FnOnce(&PerThread, &Session<T>) -> R,
    ) -> Option<R> {
        if !self.settings.looks_up() {
            self.count(&self.domain.pin(), Counter::Misses);
            return None;
        }
        let mut lend = Some(lend);
        self.in_time(now, |now, may_retry| {
            let operation = Operation::begin(self);
            let outcome = operation.lookup(key, probe, now, may_retry, accept, &mut lend);
            operation.finish(outcome, |_| None)
        })
    }

    /// Searches by the clock. What is too early was stored since the clock was read, perhaps: by a
    /// newer reading it may be of the present. Ends when the clock stands still between two
    /// searches.
    #[inline]
    fn in_time<R>(
        &self,
        mut now: u64,
        mut search: impl FnMut(u64, bool) -> Outcome<R>,
    ) -> Option<R> {
        let mut may_retry = true;
        loop {
            match search(now, may_retry) {
                Outcome::TooEarly => {
                    let before = std::mem::replace(&mut now, self.time.now());
                    may_retry = now != before;
                }
                outcome => return outcome.hit(),
            }
        }
    }

    #[inline]
    pub(super) fn validity(&self, block: &Block<T>, now: u64) -> Validity {
        match block.is_arriving() {
            true => Validity::Arriving,
            false => self.validity_by_itself(block, now),
        }
    }

    /// The [`validity`](Self::validity) of a session that need not be stored.
    #[inline]
    pub(super) fn validity_by_itself(&self, block: &Block<T>, now: u64) -> Validity {
        if block.is_expired(now) {
            Validity::Expired
        } else if !block.is_resumable() || self.is_revoked_block(block) {
            Validity::NotResumable
        } else if block.is_future(now) {
            Validity::NotYetValid
        } else {
            Validity::Usable
        }
    }

    /// Makes the session younger, as far as mode and policy want it.
    #[inline]
    fn use_member(&self, member: &Occupied<'_, Block<T>>, now: u64) {
        if unlikely(self.settings.updates_time()) {
            member.block().renew(now);
        }
        if !self.settings.ages_by_use() {
            return;
        }
        let is_of_tick = || member.is_of_tick(self.eviction.clock.tick());
        if unlikely(!member.is_touched() || !is_of_tick()) {
            self.touch(*member);
        }
    }

    /// Stamps a member with the present tick.
    #[cold]
    #[inline(never)]
    fn touch(&self, member: Occupied<'_, Block<T>>) {
        let table = member.table();
        let clock = &self.eviction.clock;
        let tick = if table.is_one_set() { clock.advance() } else { clock.tick() };
        member.touch(tick);
        if table.is_one_set() {
            table.renumber_if_due(tick);
        }
    }

    pub(super) fn take_key(&self, key: Key<'_>) -> Option<Session<T>> {
        let taken = self.take_stored(key, &|_| true);
        taken.or_else(|| self.take_from_tier(key, &|_| true))
    }

    #[inline]
    pub(super) fn take_stored(
        &self,
        key: Key<'_>,
        accept: &impl Fn(&Session<T>) -> bool,
    ) -> Option<Session<T>> {
        if likely(self.settings.has_simple_lookups()) {
            let (probe, now) = (self.probe(key), self.time.now());
            let mut operation = Operation::begin(self);
            match operation.oldest_table().first_match(&probe) {
                Ok(Some(member))
                    if likely(member.block().is_hit(key.id, key.context, *key.protocol, now)) =>
                {
                    if !accept(&member.session()) {
                        operation.count(Counter::Misses);
                        return None;
                    }
                    // LINEARIZE: the take, as in `Operation::take`.
                    if let Some(unlinked) = member.remove() {
                        let taken = operation.settle_take(unlinked);
                        if likely(operation.is_silent()) {
                            return Some(taken);
                        }
                        return operation.finish(Some(taken), |taken| taken);
                    }
                }
                Ok(None) => {
                    operation.count(Counter::Misses);
                    return None;
                }
                _ => {}
            }
        }
        self.take_slowly(key, accept)
    }

    /// A take that the first match could not end.
    #[cold]
    #[inline(never)]
    fn take_slowly(
        &self,
        key: Key<'_>,
        accept: &impl Fn(&Session<T>) -> bool,
    ) -> Option<Session<T>> {
        if !self.settings.looks_up() {
            self.count(&self.domain.pin(), Counter::Misses);
            return None;
        }
        let probe = self.probe(key);
        let taken = self.in_time(self.time.now(), |now, may_retry| {
            let operation = Operation::begin(self);
            let taken = operation.take(key, &probe, now, may_retry, accept);
            operation.finish(taken, Outcome::hit)
        })?;
        let taken = Held::new(self, taken);
        if taken.block().is_from_tier() && self.settings.watches_removals() {
            // The tier was told. What it answered before does not come after this.
            self.remove_answers(key, &probe);
        }
        Some(taken.into_session())
    }
}

impl<T: Send + Sync + 'static> Operation<'_, T> {
    fn lookup<R>(
        &self,
        key: Key<'_>,
        probe: &Probe,
        now: u64,
        may_retry: bool,
        accept: &impl Fn(&Session<T>) -> bool,
        lend: &mut Option<impl FnOnce(&PerThread, &Session<T>) -> R>,
    ) -> Outcome<R> {
        let found = self.find(key, probe);
        if let Some(member) = found.member {
            match self.cache().validity(member.block(), now) {
                Validity::Usable if accept(&member.session()) => {
                    self.count(Counter::Hits);
                    self.cache().use_member(&member, now);
                    let lend = lend.take();
                    return match lend.map(|lend| lend(self.thread(), &member.session())) {
                        Some(hit) => Outcome::Hit(hit),
                        None => Outcome::Miss,
                    };
                }
                Validity::NotYetValid if may_retry => return Outcome::TooEarly,
                _ => {}
            }
        }
        self.miss(found, now);
        Outcome::Miss
    }

    /// Counts a lookup that ends without a session, and removes what it met.
    #[cold]
    fn miss(&self, found: Found<'_, T>, now: u64) {
        let validity = found.member.map(|member| {
            let validity = self.cache().validity(member.block(), now);
            let cause = match validity {
                Validity::Expired => RemovalCause::Expired,
                Validity::NotResumable => RemovalCause::Removed,
                Validity::NotYetValid | Validity::Arriving | Validity::Usable => return validity,
            };
            // LINEARIZE: a spontaneous removal, if the exchange succeeds; else somebody else
            // removed it.
            if let Some(unlinked) = member.remove() {
                self.retire(unlinked, cause, Permit::GivenBack);
            }
            validity
        });
        self.count(match validity {
            Some(Validity::Expired) => Counter::Timeouts,
            None if found.elsewhere => Counter::ContextMisses,
            _ => Counter::Misses,
        });
    }

    fn take(
        &self,
        key: Key<'_>,
        probe: &Probe,
        now: u64,
        may_retry: bool,
        accept: &impl Fn(&Session<T>) -> bool,
    ) -> Outcome<Session<T>> {
        loop {
            let found = self.find(key, probe);
            let validity =
                found.member.map(|member| (member, self.cache().validity(member.block(), now)));
            let member = match validity {
                Some((member, Validity::Usable)) if accept(&member.session()) => member,
                Some((_, Validity::NotYetValid)) if may_retry => return Outcome::TooEarly,
                _ => {
                    self.miss(found, now);
                    return Outcome::Miss;
                }
            };
            // LINEARIZE: the take, for the one whose exchange succeeds. A failure is somebody
            // else's progress.
            if let Some(unlinked) = member.remove() {
                return Outcome::Hit(self.settle_take(unlinked));
            }
            crate::sync::relax();
        }
    }

    /// Counts a take, and retires what the table had.
    #[inline]
    fn settle_take(&self, unlinked: Unlinked<'_, Block<T>>) -> Session<T> {
        self.count(Counter::Hits);
        // The clone is the caller's own count, the table's is retired.
        let session = unlinked.session().clone();
        self.retire(unlinked, RemovalCause::Taken, Permit::GivenBack);
        session
    }
}
