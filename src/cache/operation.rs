//! One operation of a cache: a guard, and what hooks must hear once the guard is gone.

use super::budget::Permit;
use super::notify::Notifications;
use super::{Guard, Key, PerThread, SessionCache};
use crate::error::RemovalCause;
use crate::hint::unlikely;
use crate::raw::{Occupied, Probe, Table, Unlinked};
use crate::session::{Block, KeyMatch, Session};
use crate::stats::Counter;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

/// An operation under way.
///
/// It ends with its guard first and then its hooks, whatever way it ends: the fields are dropped in
/// this order.
pub(super) struct Operation<'c, T: Send + Sync + 'static> {
    guard: Guard<'c, T>,
    notifications: Notifications<'c, T>,
}

/// What a search found.
pub(super) struct Found<'g, T> {
    pub(super) member: Option<Occupied<'g, Block<T>>>,
    /// The id is stored for another context.
    pub(super) elsewhere: bool,
}

/// A handle that a table lends for `'g`, the life of a guard, without touching the count.
pub(super) struct Lent<'g, T> {
    session: ManuallyDrop<Session<T>>,
    guard: PhantomData<&'g Block<T>>,
}

impl<T> Lent<'_, T> {
    #[inline]
    fn new(address: NonNull<Block<T>>) -> Self {
        // SAFETY: the callers below pass the block of a member that was seen under the guard of
        // `'g`: the count that it stands for is given up after that guard (INVARIANT TABLE-REF).
        Self { session: unsafe { Session::lend(address) }, guard: PhantomData }
    }
}

impl<T> Deref for Lent<'_, T> {
    type Target = Session<T>;

    #[inline]
    fn deref(&self) -> &Session<T> {
        &self.session
    }
}

impl<'g, T> Occupied<'g, Block<T>> {
    #[inline]
    pub(super) fn session(&self) -> Lent<'g, T> {
        Lent::new(self.address())
    }
}

impl<'g, T> Unlinked<'g, Block<T>> {
    #[inline]
    pub(super) fn session(&self) -> Lent<'g, T> {
        Lent::new(self.address())
    }
}

impl<'c, T: Send + Sync + 'static> Operation<'c, T> {
    #[inline(always)]
    pub(super) fn begin(cache: &'c SessionCache<T>) -> Self {
        Self { guard: cache.domain.pin(), notifications: Notifications::none(cache) }
    }

    /// The same operation under another guard, with `between` called under none.
    pub(super) fn renewed(self, between: impl FnOnce()) -> Self {
        let Self { guard, notifications } = self;
        drop(guard);
        between();
        Self { guard: notifications.cache().domain.pin(), notifications }
    }

    /// Ends the operation, which returns `outcome`. If a hook panics, the handle in `outcome` is
    /// not dropped by unwinding: its payload may panic too, which would abort the process.
    #[inline(always)]
    pub(super) fn finish<R>(self, outcome: R, handle: impl FnOnce(R) -> Option<Session<T>>) -> R {
        let Self { guard, notifications } = self;
        drop(guard);
        notifications.send(outcome, handle)
    }

    /// Whether hooks must hear of nothing: then the operation may be dropped in place, where
    /// [`finish`](Self::finish) would move it.
    #[inline]
    pub(super) fn is_silent(&mut self) -> bool {
        self.notifications.are_none()
    }

    #[inline]
    pub(super) fn cache(&self) -> &'c SessionCache<T> {
        self.notifications.cache()
    }

    #[inline]
    pub(super) fn notifications(&self) -> &Notifications<'c, T> {
        &self.notifications
    }

    #[inline]
    pub(super) fn guard(&self) -> &Guard<'c, T> {
        &self.guard
    }

    /// What the cache keeps for this thread.
    #[inline]
    pub(super) fn thread(&self) -> &'c PerThread {
        self.guard.state()
    }

    #[inline]
    pub(super) fn count(&self, counter: Counter) {
        self.thread().counters.count(counter);
    }

    /// The oldest table in force, on which the others hang.
    #[inline]
    pub(super) fn oldest_table(&self) -> &Table<Block<T>> {
        self.cache().oldest_table(&self.guard)
    }

    /// Looks for a key.
    #[inline]
    pub(super) fn find(&self, key: Key<'_>, probe: &Probe) -> Found<'_, T> {
        let mut elsewhere = false;
        let member = self.oldest_table().find(probe, |block| {
            match block.match_key(key.id, key.context, *key.protocol) {
                KeyMatch::Same => true,
                KeyMatch::OtherContext => {
                    elsewhere = true;
                    false
                }
                KeyMatch::Different => false,
            }
        });
        Found { member, elsewhere }
    }

    /// Looks for this very session.
    #[inline]
    pub(super) fn find_same(
        &self,
        session: &Session<T>,
        probe: &Probe,
    ) -> Option<Occupied<'_, Block<T>>> {
        self.oldest_table().find(probe, |block| std::ptr::eq(block, session.block()))
    }

    /// How to open another thread's claim: the hash of its block, and the tick.
    #[inline]
    pub(super) fn member_of_claim(&self) -> impl Fn(&Block<T>) -> (u64, usize) + use<'c, T> {
        let cache = self.cache();
        move |block| (cache.hash_of(block), cache.eviction.clock.tick())
    }

    /// Accounts for a session that was unlinked, and retires the table's reference to it.
    #[inline(never)]
    pub(super) fn retire(
        &self,
        unlinked: Unlinked<'_, Block<T>>,
        cause: RemovalCause,
        permit: Permit,
    ) {
        let cache = self.cache();
        self.count(cause.into());
        let block = unlinked.block();
        if unlikely(cache.settings.wants_removed()) {
            self.notifications.removed(unlinked.session().clone(), cause);
        }
        self.retire_reference(unlinked);
        // Only now: what is neither stored nor garbage would be in nobody's sum.
        let thread = self.thread();
        if permit == Permit::GivenBack {
            cache.budget.permits.give(&thread.spare);
            if cause != RemovalCause::Evicted {
                let stored = || cache.budget.stored_by_weight();
                cache.eviction.clock.record_removal(&thread.tick_counter, stored);
            }
        }
        // A replacement settles the difference of the weights itself.
        if cause != RemovalCause::Replaced {
            cache.budget.give_weight(cache.budget.weight_of(block));
        }
    }

    /// Gives up the count that the table had.
    #[inline]
    pub(super) fn retire_reference(&self, unlinked: Unlinked<'_, Block<T>>) {
        let footprint = self.cache().budget.footprint(unlinked.block());
        // SAFETY: 1. The unlinked block comes with one count (INVARIANT TABLE-REF). 2. Its word is
        // gone from the table. 3. The guard is older than the exchange: the tables were read under
        // it.
        unsafe { self.guard.retire(unlinked.address(), footprint) };
    }
}
