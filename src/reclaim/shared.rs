//! What the leases of a domain share with it: the threads' records, and what becomes of them when a
//! thread exits.

use super::collector::Collector;
use super::limbo::Limbo;
use super::local::{DomainOps, Local};
use super::registry::{Record, Registry};
use super::{Reclaim, Release, State};
use crate::panics;
use crate::sync::untracked::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, MODELLED};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

/// The life of what is shared. LocalHandles refer to it weakly: a few words are all that a thread
/// keeps of a domain that is gone.
pub(super) struct Tenure<B: Release, L: State>(Place<B, L>);

/// Where what is shared lies: in a box that the tenure frees.
pub(super) struct Place<B, L>(NonNull<Shared<B, L>>);

pub(super) struct Shared<B, L> {
    /// Before the collector: the registrations in it end while the collector is there.
    pub(super) records: Registry<Local<B, L>>,
    pub(super) collector: Collector,
    /// What threads that exit leave to all.
    pub(super) heir: L,
    /// Bytes that the first record may hold back from the total.
    pub(super) unpublished_first: u64,
    /// Bytes retired and not yet released, as far as the limbos have published them.
    pub(super) garbage_bytes: AtomicU64,
    /// The most that the threads together have retired and not published.
    pub(super) unpublished_bytes: AtomicU64,
    /// Functions deferred and not yet run, sentinels apart.
    pub(super) deferred: Arc<AtomicU64>,
    /// Registrations that ended and may not be freed yet.
    pub(super) endings: Arc<AtomicU64>,
    /// Whose leftovers are looked after next.
    pub(super) turn: AtomicUsize,
    /// Payload drops that panicked inside the domain; a tally of rare events, so contention is no
    /// matter.
    pub(super) drop_panics: AtomicU64,
}

// SAFETY: `Local`s are handed from thread to thread by the registry, with the registrations in
// them, whose parts other than atomics are for the owner alone; the blocks may be released by any
// thread (`Reclaim`), and `L` is `Send + Sync` (`State`).
unsafe impl<B, L: Send + Sync> Send for Shared<B, L> {}
// SAFETY: as above.
unsafe impl<B, L: Send + Sync> Sync for Shared<B, L> {}
// SAFETY: what is there may be sent and shared.
unsafe impl<B, L: Send + Sync> Send for Place<B, L> {}
// SAFETY: as above.
unsafe impl<B, L: Send + Sync> Sync for Place<B, L> {}

/// Registrations that end beside a guard that stays, each about 4 KiB: further ones wait in their
/// records, where the next threads find them.
const ENDINGS_MAX: u64 = if MODELLED { 1 } else { 128 };

/// Records that one sealing of a batch looks at, to see whether they are to be tidied.
const TIDIED_PER_BATCH: usize = if MODELLED { 1 } else { 16 };

impl<B: Release, L: State> Tenure<B, L> {
    pub(super) fn new(shared: Shared<B, L>) -> Self {
        Self(Place(NonNull::from(Box::leak(Box::new(shared)))))
    }

    pub(super) fn place(&self) -> Place<B, L> {
        let Self(Place(place)) = self;
        Place(*place)
    }
}

impl<B, L> Place<B, L> {
    /// # Safety
    /// The tenure lasts as long as `'s`.
    #[inline]
    pub(super) unsafe fn shared<'s>(&self) -> &'s Shared<B, L> {
        // SAFETY: passed on.
        unsafe { self.0.as_ref() }
    }
}

impl<B: Release, L: State> Drop for Tenure<B, L> {
    fn drop(&mut self) {
        // SAFETY: it came from a box, and nobody else refers to it: the domain is gone, and leases
        // upgrade no more.
        let shared = unsafe { Box::from_raw(self.0.0.as_ptr()) };
        shared.drain();
    }
}

impl<B: Release, L: State> Shared<B, L> {
    /// Gives a count back. A payload that panics in its drop harms nobody else: the panic is
    /// counted and ends here.
    #[inline]
    pub(super) fn release(&self, block: NonNull<B>) {
        // SAFETY: whoever popped the block owns the count that was retired, and the grace period is
        // over.
        let released = catch_unwind(AssertUnwindSafe(|| unsafe { B::release(block) }));
        if let Err(payload) = released {
            self.count_drop_panic(payload);
        }
    }

    #[cold]
    fn count_drop_panic(&self, payload: Box<dyn Any + Send>) {
        // ORDERING: Relaxed: a statistic.
        self.drop_panics.fetch_add(1, Ordering::Relaxed);
        panics::discard(payload);
    }

    /// Releases everything, ripe or not. The domain is being dropped.
    pub(super) fn drain(&self) {
        for record in self.records.busy() {
            let Some(mut limbo) = record.value.limbo.lock() else { continue };
            // SAFETY: every pin borrows the domain, so none exists.
            let blocks = unsafe { limbo.drain() };
            drop(limbo);
            blocks.for_each(|block| self.release(block));
        }
    }
}

impl<B: Reclaim, L: State> Shared<B, L> {
    pub(super) fn pop_from(&self, limbo: &Limbo<B>) -> Option<NonNull<B>> {
        let block = limbo.try_lock()?.pop();
        if block.is_none() {
            self.publish(limbo);
        }
        block
    }

    pub(super) fn publish(&self, limbo: &Limbo<B>) {
        let change = limbo.unpublished_bytes();
        // ORDERING: Relaxed: a statistic; wrapping addition of a negative number subtracts.
        self.garbage_bytes.fetch_add(change as u64, Ordering::Relaxed);
    }

    /// The record whose turn it is to be looked after.
    pub(super) fn next_in_turn(&self) -> Option<&Record<Local<B, L>>> {
        // ORDERING: Relaxed: a turn.
        let turn = self.turn.load(Ordering::Relaxed);
        let next = self.records.busy_from(turn).next().or_else(|| self.records.busy().next())?;
        self.turn.store(next.index + 1, Ordering::Relaxed);
        Some(next)
    }

    /// Tidies the next records that nobody owns, of which there are many where many threads exited
    /// at once.
    pub(super) fn tidy_from(&self, record: &Record<Local<B, L>>) {
        self.records
            .busy_from(record.index)
            .take(TIDIED_PER_BATCH)
            .for_each(|record| self.tidy(record));
    }

    /// Does for a record without an owner what remained to be done.
    pub(super) fn tidy(&self, record: &Record<Local<B, L>>) {
        record.if_unowned(|| self.vacate(record));
    }

    /// Gives up what a record holds, as far as it can be given up by now; a record that holds
    /// nothing rests. Called by its owner, who does not need it any more. Runs no user code.
    fn vacate(&self, record: &Record<Local<B, L>>) {
        let local = &record.value;
        local.state.leave(&self.heir);
        // SAFETY: the caller owns the record.
        let is_eager = unsafe { local.handle() }.is_some_and(|handle| !handle.is_lazy());
        if is_eager || self.may_end(local) {
            // SAFETY: the caller owns the record, does not need it any more, and has no guard.
            unsafe { local.unregister() };
        }
        self.publish(&local.limbo);
        // SAFETY: the caller owns the record.
        if unsafe { local.handle() }.is_none() && local.limbo.is_empty() {
            record.rest();
        }
    }

    /// Seals what a limbo has open, and counts the end of its registration, which the caller ends.
    /// False where there is none, or too many ends wait already. Called by the record's owner.
    fn may_end(&self, local: &Local<B, L>) -> bool {
        // SAFETY: the caller owns the record, and unregisters afterwards.
        let Some(handle) = (unsafe { local.handle() }) else { return false };
        let count = |endings| (endings < ENDINGS_MAX).then_some(endings + 1);
        // ORDERING: Relaxed throughout: a bound.
        if self.endings.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).is_err() {
            return false;
        }
        handle.pin_seldom(&mut |guard| {
            if !local.limbo.is_empty() {
                let sentinel = local.limbo.try_lock().and_then(|mut limbo| limbo.seal());
                sentinel.into_iter().for_each(|sentinel| guard.defer(sentinel));
            }
            let endings = Arc::clone(&self.endings);
            guard.defer(move || {
                endings.fetch_sub(1, Ordering::Relaxed);
            });
        });
        true
    }
}

impl<B: Reclaim, L: State> DomainOps for Tenure<B, L> {
    unsafe fn end_lease(&self, record: *const ()) {
        // SAFETY: `self` holds it.
        let shared = unsafe { self.0.shared() };
        // SAFETY: by the contract of `end_lease` this is a record of our registry, which lives as
        // long as `self`.
        let record = unsafe { &*record.cast::<Record<Local<B, L>>>() };
        // Before anything is deferred: that leaves with the registration, in one bag.
        // SAFETY: the lease is the ownership of the record.
        let handle = unsafe { record.value.handle() }.filter(|handle| handle.is_lazy());
        handle.into_iter().for_each(|handle| handle.pin_seldom(&mut |guard| guard.flush()));
        shared.vacate(record);
        // ORDERING: Relaxed: a statistic with a margin.
        shared.unpublished_bytes.fetch_sub(2 * record.value.unpublished_max, Ordering::Relaxed);
        shared.records.release(record);
    }
}
