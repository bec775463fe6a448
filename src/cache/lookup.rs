//! `get`, `read`, `take`.

use super::departure::{Departures, Permit};
use super::{At, Found, Guard, Key, PerThread, Reading, SessionCache};
use crate::error::RemovalCause;
use crate::raw::{Glance, Probe, Stamp, Word};
use crate::session::{Block, Context, Protocol, Session, SessionId};
use crate::stats::Counter;

/// What a lookup makes of a stored session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Usable,
    Expired,
    /// Marked non-resumable, or of a revoked context.
    NotResumable,
    /// Dated in the future: kept, not used.
    Early,
}

/// How one look at the table ended.
enum Looked<R> {
    Hit(R),
    Missed,
    /// Found, but dated after the reading of the clock that the look was made with.
    TooEarly,
}

impl<R> Looked<R> {
    fn hit(self) -> Option<R> {
        match self {
            Self::Hit(hit) => Some(hit),
            Self::Missed | Self::TooEarly => None,
        }
    }
}

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// Looks a session up and returns a counted handle.
    ///
    /// Never waits for a writer, an evictor or a migration. An expired session is a miss and is
    /// removed.
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
        self.look(key, |_, session| session.clone()).or_else(|| self.ask_tier(key, Some))
    }

    #[inline]
    pub(super) fn read_key<R>(&self, key: Key<'_>, f: impl FnOnce(&Session<T>) -> R) -> Option<R> {
        let mut f = Some(f);
        let hit = self.look(key, |state, session| {
            let _running = state.closures.begin();
            f.take().map(|f| f(session))
        });
        match f {
            None => hit.flatten(),
            Some(f) => self.ask_tier(key, |session| Some(f(&session))),
        }
    }

    /// Finds a usable session and lends it to `lend` under the guard. Everything that does not end
    /// in a hit is counted, and removed where it must be, before this returns.
    #[inline(always)]
    fn look<R>(&self, key: Key<'_>, lend: impl FnOnce(&PerThread, &Session<T>) -> R) -> Option<R> {
        let probe = self.probe(key);
        let now = self.time.now();
        let reader = if self.settings.has_simple_lookups() { self.domain.reader() } else { None };
        let Some(reader) = reader else {
            return self.look_closely(key.id, key.context, key.protocol, probe.hash(), now, lend);
        };
        match self.chain(&reader).glance(&probe) {
            Glance::Candidate(spot, block) if self.is_hit(&reader, spot, key, now) => {
                // SAFETY: the block is alive under the guard; what `lend` makes of it has a count
                // of its own.
                return Some(lend(reader.state(), &*unsafe { Session::lend(block) }));
            }
            Glance::Absent => {
                self.count(&reader, Counter::Misses);
                return None;
            }
            _ => {}
        }
        drop(reader);
        self.look_closely(key.id, key.context, key.protocol, probe.hash(), now, lend)
    }

    /// Whether this member is what is looked for, and nothing is the matter with it. Then it is
    /// counted and made younger.
    #[inline(always)]
    fn is_hit(&self, reader: &Reading<'_, T>, spot: At<'_, T>, key: Key<'_>, now: u64) -> bool {
        let Some(block) = self.block(reader, &spot) else { return false };
        let is_hit = block.is_hit(key.id, key.context, *key.protocol, now);
        if is_hit {
            self.count(reader, Counter::Hits);
            self.use_session(block, spot, now);
        }
        is_hit
    }

    /// A lookup that a glance could not end. Takes the key in parts, which stay in registers.
    #[cold]
    #[inline(never)]
    fn look_closely<R>(
        &self,
        id: &SessionId,
        context: &Context,
        protocol: &Protocol,
        hash: u64,
        now: u64,
        lend: impl FnOnce(&PerThread, &Session<T>) -> R,
    ) -> Option<R> {
        self.look_for(Key { id, context, protocol }, &self.root.probe(hash), now, &|_| true, lend)
    }

    /// A lookup of what satisfies `accept`, by the settings.
    #[inline]
    pub(super) fn look_for<R>(
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
            self.look_at(key, probe, now, may_retry, accept, &mut lend)
        })
    }

    /// Looks by the clock. What is too early was stored since the clock was read, perhaps: by a
    /// newer reading it may be of the present. Ends when the clock stands still between two looks.
    #[inline]
    fn in_time<R>(&self, mut now: u64, mut look: impl FnMut(u64, bool) -> Looked<R>) -> Option<R> {
        let mut may_retry = true;
        loop {
            match look(now, may_retry) {
                Looked::TooEarly => {
                    let before = std::mem::replace(&mut now, self.time.now());
                    may_retry = now != before;
                }
                looked => return looked.hit(),
            }
        }
    }

    fn look_at<R>(
        &self,
        key: Key<'_>,
        probe: &Probe,
        now: u64,
        may_retry: bool,
        accept: &impl Fn(&Session<T>) -> bool,
        lend: &mut Option<impl FnOnce(&PerThread, &Session<T>) -> R>,
    ) -> Looked<R> {
        let pin = self.domain.pin();
        let found = self.find(&pin, key, probe);
        if let Some((spot, block)) =
            found.spot.and_then(|spot| Some((spot, self.block(&pin, &spot)?)))
        {
            match self.standing(block, now) {
                Standing::Usable if self.is_accepted(&pin, &spot, accept) => {
                    self.count(&pin, Counter::Hits);
                    self.use_session(block, spot, now);
                    // SAFETY: the block is alive under the guard, as in `look`.
                    let lent = spot.block().map(|block| unsafe { Session::lend(block) });
                    let hit = lent.and_then(|session| Some(lend.take()?(pin.state(), &session)));
                    return hit.map_or(Looked::Missed, Looked::Hit);
                }
                Standing::Early if may_retry => return Looked::TooEarly,
                _ => {}
            }
        }
        let departures = self.look_failed(&pin, found, now);
        drop(pin);
        self.announce(departures);
        Looked::Missed
    }

    /// Whether the caller of a lookup wants the session at a spot.
    #[inline]
    fn is_accepted<'p>(
        &self,
        _pin: &'p Guard<'_, T>,
        spot: &At<'p, T>,
        accept: &impl Fn(&Session<T>) -> bool,
    ) -> bool {
        // SAFETY: the block is alive under the guard, as in `find`.
        spot.block().is_some_and(|block| accept(&*unsafe { Session::lend(block) }))
    }

    #[inline]
    pub(super) fn standing(&self, block: &Block<T>, now: u64) -> Standing {
        self.standing_if(false, block, now)
    }

    /// [`standing`](Self::standing), where it is known whether lookups are simple: then nothing is
    /// revoked.
    #[inline]
    fn standing_if(&self, is_simple: bool, block: &Block<T>, now: u64) -> Standing {
        if block.is_expired(now) {
            Standing::Expired
        } else if !block.is_resumable() || (!is_simple && self.is_revoked_block(block)) {
            Standing::NotResumable
        } else if block.is_future(now) {
            Standing::Early
        } else {
            Standing::Usable
        }
    }

    /// Makes the session younger, as far as mode and policy want it.
    #[inline]
    fn use_session(&self, block: &Block<T>, spot: At<'_, T>, now: u64) {
        if self.settings.updates_time() {
            block.renew(now);
        }
        if !self.policy.ages_by_use() {
            return;
        }
        if !spot.word.is_touched() || spot.word.stamp() != self.recency.stamp() {
            self.touch(spot);
        }
    }

    /// Stamps a member with the present tick.
    #[cold]
    #[inline(never)]
    fn touch(&self, spot: At<'_, T>) {
        let is_one_set = spot.table.is_one_set();
        let tick = if is_one_set { self.recency.advance() } else { self.recency.tick() };
        // LINEARIZE: nothing: the exchange fails only if the session left or somebody else touched
        // it.
        spot.exchange(spot.word.touched(Stamp::of_tick(tick)));
        if is_one_set {
            self.renumber_if_due(spot.table, tick);
        }
    }

    /// Counts a lookup that ends without a session, and removes what it met.
    #[cold]
    fn look_failed(&self, pin: &Guard<'_, T>, found: Found<'_, T>, now: u64) -> Departures<T> {
        let mut departures = Departures::none();
        let standing = found.spot.and_then(|spot| {
            let standing = self.standing(self.block(pin, &spot)?, now);
            let cause = match standing {
                Standing::Expired => RemovalCause::Expired,
                Standing::NotResumable => RemovalCause::Removed,
                Standing::Early | Standing::Usable => return Some(standing),
            };
            // LINEARIZE: a spontaneous removal, if the exchange succeeds; else somebody else
            // removed it.
            if spot.exchange(Word::EMPTY) {
                self.depart(pin, &spot, cause, Permit::GivenBack, &mut departures);
            }
            Some(standing)
        });
        let counter = match standing {
            Some(Standing::Expired) => Counter::Timeouts,
            None if found.elsewhere => Counter::ContextMisses,
            _ => Counter::Misses,
        };
        self.count(pin, counter);
        departures
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
        let is_simple = self.settings.has_simple_lookups();
        if !is_simple && !self.settings.looks_up() {
            self.count(&self.domain.pin(), Counter::Misses);
            return None;
        }
        let probe = self.probe(key);
        let take = |now, may_retry| self.take_at(is_simple, key, &probe, now, may_retry, accept);
        self.in_time(self.time.now(), take)
    }

    #[inline]
    fn take_at(
        &self,
        is_simple: bool,
        key: Key<'_>,
        probe: &Probe,
        now: u64,
        may_retry: bool,
        accept: &impl Fn(&Session<T>) -> bool,
    ) -> Looked<Session<T>> {
        let mut departures = Departures::none();
        let pin = self.domain.pin();
        let taken = loop {
            let found = self.find(&pin, key, probe);
            let standing = found.spot.and_then(|spot| {
                Some((spot, self.standing_if(is_simple, self.block(&pin, &spot)?, now)))
            });
            let spot = match standing {
                Some((spot, Standing::Usable)) if self.is_accepted(&pin, &spot, accept) => spot,
                Some((_, Standing::Early)) if may_retry => return Looked::TooEarly,
                _ => {
                    departures = self.look_failed(&pin, found, now);
                    break None;
                }
            };
            // LINEARIZE: the take, for the one whose exchange succeeds. A failure is somebody
            // else's progress.
            if spot.exchange(Word::EMPTY) {
                self.count(&pin, Counter::Hits);
                // SAFETY: the block is alive under the guard; the clone is the caller's own count,
                // the stay's is retired by `depart`.
                let session =
                    spot.block().map(|block| Session::clone(&*unsafe { Session::lend(block) }));
                self.depart(&pin, &spot, RemovalCause::Taken, Permit::GivenBack, &mut departures);
                break session;
            }
            crate::sync::relax();
        };
        drop(pin);
        let taken = self.announce_with(departures, taken, |taken| taken);
        taken.map_or(Looked::Missed, Looked::Hit)
    }
}
