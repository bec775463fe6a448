//! What a thread holds while it looks: readers, and pins that may retire.

use super::collector::EpochGuard;
use super::limbo::{BATCH, LimboLock};
use super::local::{self, Local, LocalHandle, PinnedLocal};
use super::registry::Record;
use super::shared::Shared;
use super::{Reclaim, State};
use crate::sync::Arc;
use crate::sync::untracked::Ordering;
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

/// Proof that nothing reachable is freed.
pub(crate) struct ReadGuard<'d, B, L> {
    guard: EpochGuard,
    pub(super) record: &'d Record<Local<B, L>>,
}

/// A reader with the right to retire what was unlinked.
///
/// Dropping it releases, outside of the guard, the ripe blocks that its retirements took from
/// limbo.
pub(crate) struct Guard<'d, B: Reclaim, L: State> {
    reader: ManuallyDrop<ReadGuard<'d, B, L>>,
    shared: &'d Shared<B, L>,
    /// Ripe blocks that the retirements under this guard have taken out.
    ripe: [Cell<Option<NonNull<B>>>; 2],
    /// Whose ripe blocks are looked after once the guard is gone.
    neighbour: Cell<Option<&'d Record<Local<B, L>>>>,
    /// Ends after the guard, as the field that is dropped last.
    _lease: Option<Box<LocalHandle>>,
}

/// Ripe blocks of another thread that one sealing of a batch looks after.
const ADOPTED_PER_BATCH: usize = 4;

impl<'d, B, L> ReadGuard<'d, B, L> {
    #[inline]
    pub(super) fn new(guard: EpochGuard, record: &'d Record<Local<B, L>>) -> Self {
        Self { guard, record }
    }

    /// The owner's part of this thread's `Local`.
    #[inline]
    pub(crate) fn state(&self) -> &'d L {
        &self.record.value.state
    }

    /// The index of this thread's record, unique among the threads that use the domain now.
    #[inline]
    pub(crate) fn index(&self) -> usize {
        self.record.value.index
    }
}

impl<'d, B: Reclaim, L: State> Deref for Guard<'d, B, L> {
    type Target = ReadGuard<'d, B, L>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.reader
    }
}

impl<'d, B: Reclaim, L: State> Guard<'d, B, L> {
    #[inline]
    pub(super) fn new(entered: PinnedLocal<'d, B, L>, shared: &'d Shared<B, L>) -> Self {
        entered.record.value.limbo.warm();
        Guard {
            reader: ManuallyDrop::new(ReadGuard::new(entered.guard, entered.record)),
            shared,
            ripe: [const { Cell::new(None) }; 2],
            neighbour: Cell::new(None),
            _lease: entered.lease,
        }
    }

    /// Gives up one count of `block`, which holds back `bytes`, after the grace period, and takes a
    /// ripe block from limbo for it. The block is not looked at: it may be cold.
    ///
    /// # Safety
    /// The caller owns one count of `block`, no new reader can reach the block through what the
    /// count stood for, and this pin has existed since before the block was unlinked.
    #[inline(always)]
    pub(crate) unsafe fn retire(&self, block: NonNull<B>, bytes: u64) {
        if !self.guard.is_lazy() {
            let block = SendBlock(block);
            // SAFETY: the count is ours by contract, and the grace period is over when the function
            // runs.
            self.guard.defer(move || unsafe { B::release(block.into_inner()) });
            return;
        }
        let Local { limbo: own, unpublished_max, .. } = &self.record.value;
        let occupied = own.retire(block, bytes);
        // A batch of small blocks is told when it is sealed.
        let is_large = occupied.is_none() || bytes > unpublished_max / BATCH;
        if is_large && own.is_unpublished_above(*unpublished_max) {
            self.shared.publish(own);
        }
        let Some(mut limbo) = occupied else { return };
        if local::may_release() {
            let [first, second] = &self.ripe;
            let place = if first.get().is_none() { first } else { second };
            let block = if place.get().is_none() { limbo.pop() } else { None };
            if let Some(block) = block {
                place.set(Some(block));
                // Behind a first one: the drop of this guard looks for no second without.
                if limbo.has_backlog() && second.get().is_none() {
                    self.take_second(&mut limbo);
                }
            }
        }
        if limbo.has_batch() {
            self.seal(&mut limbo);
            drop(limbo);
            self.shared.publish(own);
            self.adopt();
        }
    }

    /// Takes another ripe block out, to work a backlog off.
    #[cold]
    #[inline(never)]
    fn take_second(&self, limbo: &mut LimboLock<'_, B>) {
        self.ripe[1].set(limbo.pop());
    }

    /// Defers `f`, which must run no user code, until every guard that exists now is gone.
    pub(crate) fn defer(&self, f: impl FnOnce() + Send + 'static) {
        let deferred = Arc::clone(&self.shared.deferred);
        // ORDERING: Relaxed twice: a hint to `collect`.
        deferred.fetch_add(1, Ordering::Relaxed);
        self.guard.defer(move || {
            f();
            deferred.fetch_sub(1, Ordering::Relaxed);
        });
        self.guard.flush();
    }

    pub(crate) fn flush(&self) {
        self.guard.flush();
    }

    /// Defers the sentinel of what a limbo has open, if anything is. Apart from the usual path,
    /// which would have to make room for crossbeam's bags on the stack.
    #[cold]
    #[inline(never)]
    pub(super) fn seal(&self, limbo: &mut LimboLock<'_, B>) {
        if let Some(sentinel) = limbo.seal() {
            self.guard.defer(sentinel);
            self.guard.flush();
        }
    }

    /// Looks after the leftovers of one other thread: seals its open batch; the drop of the pin
    /// releases a few ripe blocks.
    ///
    /// The busy ones take turns, so that idle and exited threads' secrets go as long as anyone
    /// works.
    #[cold]
    fn adopt(&self) {
        if !local::may_release() {
            return;
        }
        let Some(neighbour) = self.shared.next_in_turn() else { return };
        if std::ptr::eq(neighbour, self.record) {
            return;
        }
        if let Some(mut limbo) = neighbour.value.limbo.try_lock() {
            self.seal(&mut limbo);
            self.neighbour.set(Some(neighbour));
        }
    }
}

impl<B: Reclaim, L: State> Drop for Guard<'_, B, L> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the reader is not used again.
        unsafe { ManuallyDrop::drop(&mut self.reader) };
        // The places are filled from the first on.
        if self.ripe[0].get().is_some() || self.neighbour.get().is_some() {
            self.release_ripe();
        }
    }
}

impl<B: Reclaim, L: State> Guard<'_, B, L> {
    /// Releases what was taken out, and some of the neighbour's. The guard is gone.
    #[inline(never)]
    fn release_ripe(&self) {
        let _releasing = local::Releasing::begin();
        self.ripe.iter().filter_map(Cell::take).for_each(|block| self.shared.release(block));
        let Some(neighbour) = self.neighbour.get() else { return };
        for _ in 0..ADOPTED_PER_BATCH {
            let Some(block) = self.shared.pop_from(&neighbour.value.limbo) else { break };
            self.shared.release(block);
        }
        self.shared.tidy_from(neighbour);
    }
}

/// A block address on its way through a deferred function.
struct SendBlock<B>(NonNull<B>);

// SAFETY: blocks may be released by any thread (`Reclaim`).
unsafe impl<B> Send for SendBlock<B> {}

impl<B> SendBlock<B> {
    fn into_inner(self) -> NonNull<B> {
        self.0
    }
}
