//! The second tier behind the miss hook, and lookups that tell where a session was found.
#![forbid(unsafe_code)]

use super::add::Settle;
use super::budget::Permit;
use super::lookup::Validity;
use super::notify::{Held, Notifications};
use super::operation::Operation;
use super::{Key, SessionCache};
use crate::error::{Added, Rejected, Rejection, RemovalCause};
use crate::raw::{Occupied, Probe};
use crate::session::{Block, KeyMatch, Session};
use crate::settings::Operation as Asked;
use crate::stats::Counter;
use std::cell::Cell;

/// Where a session was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// It was stored in the cache, by an `add`.
    Cache,
    /// The miss hook supplied it, now or before it was stored; or `take_if` has taken this very
    /// session before, from whatever cache. Somebody else may have got it as well.
    Tier,
}

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// [`add`](Self::add) of what a second tier or a file supplied: its [`Source`]
    /// is the tier, so an adapter accepts no early data with it, and the hook does not hear of it.
    /// The same is done with what the miss hook supplies.
    ///
    /// A session that is not dated later than the revocation of its context is refused with
    /// [`Revoked`](Rejection::Revoked).
    ///
    /// # Errors
    /// Those of [`add`](Self::add).
    ///
    /// # Panics
    /// As [`add`](Self::add).
    ///
    /// ```
    /// use sessile::{Session, SessionCache, SessionId, Source};
    ///
    /// let cache = SessionCache::new(100)?;
    /// let id = SessionId::from([1; 32]);
    /// cache.add_from_tier(Session::new(id, "fetched before the handshake"))?;
    /// let (_, source) = cache.view(Default::default()).take_if(&id, |_| true).unwrap();
    /// assert_eq!(source, Source::Tier);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_from_tier(&self, session: Session<T>) -> Result<Added<T>, Rejected<T>> {
        self.store_from_tier(session, None)
    }

    #[cold]
    pub(super) fn store_from_tier(
        &self,
        session: Session<T>,
        settle: Option<&Settle<'_, T>>,
    ) -> Result<Added<T>, Rejected<T>> {
        session.block().set_from_tier();
        if self.is_from_before_revocation(session.block()) {
            self.domain.pin().state().counters.count_rejection(Rejection::Revoked);
            return Err(Rejected::new(Rejection::Revoked, session));
        }
        self.store(session, false, settle)
    }

    /// `accept`, asked under a guard, which leaves in `refused` whether the last session was not
    /// wanted.
    fn noting<'a>(
        &'a self,
        accept: &'a impl Fn(&Session<T>) -> bool,
        refused: &'a Cell<bool>,
    ) -> impl Fn(&Session<T>) -> bool + 'a {
        |session| {
            let pin = self.domain.pin();
            let _running = pin.state().closures.begin();
            let is_accepted = accept(session);
            refused.set(!is_accepted);
            is_accepted
        }
    }

    /// A take of what satisfies `accept`. What does not stays, and then the tier is not asked.
    pub(super) fn take_key_if(
        &self,
        key: Key<'_>,
        accept: impl Fn(&Session<T>) -> bool,
    ) -> Option<(Session<T>, Source)> {
        let refused = Cell::new(false);
        match self.take_stored(key, &self.noting(&accept, &refused)) {
            Some(session) => {
                let source =
                    if session.block().set_from_tier() { Source::Tier } else { Source::Cache };
                Some((session, source))
            }
            None if refused.get() => None,
            None => self.take_from_tier(key, &accept).map(|session| (session, Source::Tier)),
        }
    }

    /// A get of what satisfies `accept`, likewise.
    pub(super) fn get_key_if(
        &self,
        key: Key<'_>,
        accept: impl Fn(&Session<T>) -> bool,
    ) -> Option<(Session<T>, Source)> {
        let (probe, now, refused) = (self.probe(key), self.time.now(), Cell::new(false));
        match self.lookup_if(key, &probe, now, &self.noting(&accept, &refused), |_, session| {
            session.clone()
        }) {
            Some(session) => {
                let source =
                    if session.block().is_from_tier() { Source::Tier } else { Source::Cache };
                Some((session, source))
            }
            None if refused.get() => None,
            None if !self.settings.wants_miss() => None,
            None => self.supplied_and_kept(key, &accept).map(|session| (session, Source::Tier)),
        }
    }

    /// Asks the miss hook. What it supplies is checked like a stored session, counted, and kept
    /// unless the mode says otherwise.
    #[inline]
    pub(super) fn ask_tier<R>(
        &self,
        key: Key<'_>,
        f: impl FnOnce(Session<T>) -> Option<R>,
    ) -> Option<R> {
        if !self.settings.wants_miss() {
            return None;
        }
        f(self.supplied_and_kept(key, &|_| true)?)
    }

    /// What the miss hook supplies and the caller accepts. Only that is kept.
    #[cold]
    fn supplied_and_kept(
        &self,
        key: Key<'_>,
        accept: &impl Fn(&Session<T>) -> bool,
    ) -> Option<Session<T>> {
        let watch = self.watch_hash(self.probe(key).hash());
        let session = Held::new(self, self.supplied(key, Asked::Get)?);
        if !accept(&session) {
            return None;
        }
        if self.settings.mode().keep_tier_hits {
            // A refusal must not break the resumption.
            match self.add_from_tier_unless_removed(session.clone(), watch) {
                Ok(Added::Replaced(kept)) => self.drop_handle(kept),
                Ok(Added::Inserted | Added::Identical) => {}
                Err(refused) => self.drop_handle(refused.into_session()),
            }
        }
        Some(session.into_session())
    }

    /// A session that is taken from the second tier is not kept in the first, nor is what the tier
    /// has answered to a get of the same session: the tier decides who gets it. The hook hears that
    /// it was taken.
    pub(super) fn take_from_tier(
        &self,
        key: Key<'_>,
        accept: &impl Fn(&Session<T>) -> bool,
    ) -> Option<Session<T>> {
        if !self.settings.wants_miss() {
            return None;
        }
        let probe = self.probe(key);
        let _taking = self.begin_take(probe.hash());
        // What came since the cache was searched; from now on nothing comes.
        let is_refused = Cell::new(false);
        let accept_kept = self.noting(accept, &is_refused);
        if let Some(kept) = self.take_kept(key, &probe, &accept_kept) {
            return kept;
        }
        let session = Held::new(self, self.supplied(key, Asked::Take)?);
        if !accept(&session) {
            return None;
        }
        if self.settings.wants_removed() {
            let notifications = Notifications::none(self);
            notifications.removed(session.clone(), RemovalCause::Taken);
            notifications.send((), |()| None);
        }
        Some(session.into_session())
    }

    /// Takes what the tier has supplied and the caller accepts. `Some(None)` if one is stored that
    /// the caller does not accept, which stays. What is not usable leaves.
    fn take_kept(
        &self,
        key: Key<'_>,
        probe: &Probe,
        accept: &impl Fn(&Session<T>) -> bool,
    ) -> Option<Option<Session<T>>> {
        let (now, operation) = (self.time.now(), Operation::begin(self));
        loop {
            let member = operation.find(key, probe).member;
            let member = member.filter(|member| member.block().is_from_tier())?;
            let is_usable = self.validity(member.block(), now) == Validity::Usable;
            let cause = match is_usable && self.settings.looks_up() {
                true if accept(&member.session()) => RemovalCause::Taken,
                true => return Some(None),
                // What is arriving may have been found fit to stay, and the future comes.
                false => RemovalCause::Flushed,
            };
            // LINEARIZE: the take, for the one whose exchange succeeds.
            if let Some(unlinked) = member.remove() {
                let session = unlinked.session().clone();
                operation.retire(unlinked, cause, Permit::GivenBack);
                if cause == RemovalCause::Taken {
                    operation.count(Counter::Hits);
                    return Some(operation.finish(Some(session), |taken| taken));
                }
                self.drop_handle(session);
            }
            crate::sync::relax();
        }
    }

    /// After a take of what the tier supplied: its answers to gets of the same session leave, also
    /// those that are on their way.
    pub(super) fn remove_answers(&self, key: Key<'_>, probe: &Probe) {
        let _taking = self.begin_take(probe.hash());
        let operation = Operation::begin(self);
        let is_from_tier = |member: &Occupied<'_, Block<T>>| member.block().is_from_tier();
        let find = || operation.find(key, probe).member.filter(is_from_tier);
        operation.remove_what(find, RemovalCause::Flushed);
        operation.finish((), |()| None);
    }

    #[cold]
    fn supplied(&self, key: Key<'_>, operation: Asked) -> Option<Session<T>> {
        let hooks = self.settings.hooks();
        let session = Held::new(self, (hooks.on_miss.as_ref()?)(&key.query(operation))?);
        let block = session.block();
        let is_asked_for = block.match_key(key.id, key.context, *key.protocol) == KeyMatch::Same;
        let now = self.time.now();
        // Somebody else may be keeping the same object.
        let is_usable = self.validity_by_itself(block, now) == Validity::Usable
            && !self.is_from_before_revocation(block);
        if !is_asked_for || !is_usable {
            return None;
        }
        block.date(block.dating(now, self.settings.timeout_seconds())?);
        block.set_from_tier();
        self.count(&self.domain.pin(), Counter::TierHits);
        Some(session.into_session())
    }

    /// Whether a session that was supplied may have been authenticated before its context was
    /// revoked. It was built just now, by a second tier that does not know of revocations, so its
    /// date decides.
    fn is_from_before_revocation(&self, block: &Block<T>) -> bool {
        let revoked_at = self.settings.revoked_at(block.context());
        revoked_at.is_some_and(|at| block.created().is_none_or(|created| created <= at.as_secs()))
    }
}
