//! Walking over all members: `flush_expired` and `clear`.
#![forbid(unsafe_code)]

use super::SessionCache;
use super::budget::Permit;
use super::operation::Operation;
use crate::error::RemovalCause;
use crate::raw::{Occupied, Table};
use crate::session::{Block, Context, Protocol};
use crate::timestamp::Timestamp;
use std::cell::Cell;

/// Buckets that one guard covers while walking: short enough for reclamation, long enough to hide
/// what a guard costs.
const BUCKETS_PER_GUARD: usize = 16;

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
        self.clear_in(Scope::ALL)
    }

    pub(super) fn clear_in(&self, scope: Scope<'_>) -> usize {
        let _removing = self.begin_removal_of_all();
        self.flush(scope, |_| true)
    }

    fn flush(&self, scope: Scope<'_>, is_due: impl Fn(&Block<T>) -> bool) -> usize {
        let flushed = Cell::new(0);
        let visit = |operation: &Operation<'_, T>, member: Occupied<'_, Block<T>>| {
            // A touch or a replacement changes the word: look at the slot again until what is there
            // may stay.
            let mut next = Some(member);
            while let Some(member) = next {
                if !(scope.covers(member.block()) && is_due(member.block())) {
                    return;
                }
                // LINEARIZE: the removal.
                if let Some(unlinked) = member.remove() {
                    operation.retire(unlinked, RemovalCause::Flushed, Permit::GivenBack);
                    flushed.set(flushed.get() + 1);
                    return;
                }
                next = member.reload();
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
    pub(super) fn walk(&self, visit: impl FnMut(&Operation<'_, T>, Occupied<'_, Block<T>>)) {
        self.walk_with(visit, || {});
    }

    /// Calls `between` whenever no guard is held.
    fn walk_with(
        &self,
        mut visit: impl FnMut(&Operation<'_, T>, Occupied<'_, Block<T>>),
        mut between: impl FnMut(),
    ) {
        let mut next = Table::<Block<T>>::walk_start();
        while let Some(from) = next {
            let operation = Operation::begin(self);
            let hash = |block: &Block<T>| self.hash_of(block);
            next = operation
                .oldest_table()
                .walk(from, BUCKETS_PER_GUARD, hash, |member| visit(&operation, member));
            operation.finish((), |()| None);
            between();
        }
    }
}
