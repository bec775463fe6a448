//! The door to the tables: the oldest one in force, on which its successors hang, and the lock of
//! those who resize.

use super::claimant::{Claimant, Claimants};
use super::resize_lock::ResizeLock;
use super::set::Probe;
use super::table::Table;
use super::word::Word;
use crate::memory::{prefetch, prefetch_to_write};
use crate::sync::untracked::{AtomicU64 as Untracked, Ordering as Order};
use crate::sync::{AtomicPtr, Ordering};
use std::ptr::{self, NonNull};

/// A lock-free hash table that is resized while it is used.
// What a lookup reads comes first.
#[repr(C)]
pub(crate) struct RawTable<B> {
    hint: PrefetchHint,
    oldest: AtomicPtr<Table<B>>,
    pub(super) resize: ResizeLock,
    claimants: Claimants,
}

/// Where the buckets of the oldest table lie and how many they are, for those who want no more than
/// to prefetch them. Address and length may not belong together for a moment: nothing is read
/// through them.
struct PrefetchHint {
    address: Untracked,
    buckets: Untracked,
}

/// An unlinked table on its way to its destruction, which touches no block.
pub(super) struct Emptied<B>(NonNull<Table<B>>);

// SAFETY: freeing a table frees atomics; the blocks it once named are not touched.
unsafe impl<B> Send for Emptied<B> {}

impl<B> Emptied<B> {
    /// Frees the table.
    ///
    /// # Safety
    /// No guard is left that began before the table was unlinked.
    pub(super) unsafe fn free(self) {
        // SAFETY: it came from a box, and left the chain of tables once; the rest is the caller's
        // promise.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl PrefetchHint {
    fn of<B>(table: &Table<B>) -> Self {
        let hint = Self { address: Untracked::new(0), buckets: Untracked::new(0) };
        hint.move_to(table);
        hint
    }

    // ORDERING: Relaxed throughout: hints.

    fn move_to<B>(&self, table: &Table<B>) {
        self.address.store(table.buckets.as_ptr().addr() as u64, Order::Relaxed);
        self.buckets.store(table.len() as u64, Order::Relaxed);
    }

    #[inline(always)]
    fn probe<B>(&self, hash: u64, will_write: bool) -> Probe {
        let address = self.address.load(Order::Relaxed) as usize;
        let probe = Probe::new(hash, self.buckets.load(Order::Relaxed) as usize);
        let line = |bucket| {
            ptr::without_provenance::<super::table::Bucket<B>>(address).wrapping_add(bucket)
        };
        let [home, other] = probe.set().buckets.map(line);
        if will_write {
            prefetch_to_write(home)
        } else {
            prefetch(home)
        }
        prefetch(other);
        probe
    }
}

impl<B> RawTable<B> {
    pub(crate) fn new(table: Box<Table<B>>) -> Self {
        let (hint, buckets) = (PrefetchHint::of(&table), table.len());
        Self {
            oldest: AtomicPtr::new(Box::into_raw(table)),
            hint,
            claimants: Claimants::new(),
            resize: ResizeLock::new(buckets),
        }
    }

    /// Whether a slot has room for the address of a block.
    #[inline]
    pub(crate) fn can_hold(block: NonNull<B>) -> bool {
        Word::can_hold(block)
    }

    /// The probe of a hash. Prefetches the buckets of its set, without a guard: on large tables the
    /// lines come while the guard is taken, and while the lookup before this one still waits for
    /// its session.
    #[inline(always)]
    pub(crate) fn probe(&self, hash: u64) -> Probe {
        self.hint.probe::<B>(hash, false)
    }

    /// The same for an operation that will write to the home, most probably.
    #[inline(always)]
    pub(crate) fn probe_to_write(&self, hash: u64) -> Probe {
        self.hint.probe::<B>(hash, true)
    }

    /// The oldest table in force, on which the others hang.
    ///
    /// # Safety
    /// 1. The caller is pinned for `'g` in the domain that retires the tables and the blocks, or
    ///    has them for itself. 2. What an [`Unlinked`](super::Unlinked) names is retired in that
    ///    domain. 3. So is what [`Owner::retire_table`](super::Owner::retire_table) is given.
    #[inline]
    pub(crate) unsafe fn oldest<'g>(&self) -> &'g Table<B> {
        // ORDERING: Acquire: sees the table as it was made; pairs with `unlink`. Model:
        // `migrate_and_get`.
        let oldest = self.oldest.load(Ordering::Acquire);
        // SAFETY: the root is never null, and a table that was reachable when the guard began is
        // not freed under it.
        unsafe { &*oldest }
    }

    /// The oldest table, read once more under the guard of another.
    pub(super) fn oldest_again<'g>(&self, _table: &'g Table<B>) -> &'g Table<B> {
        // SAFETY: whoever has the other one has promised it for `'g`.
        unsafe { self.oldest() }
    }

    /// The number by which the thread with this index claims slots. A thread without one of its own
    /// waits a bounded time for one to be lent.
    #[inline]
    pub(crate) fn claimant(&self, index: usize) -> Option<Claimant<'_>> {
        self.claimants.number(index)
    }

    /// Who resizes, and to what size.
    #[inline]
    pub(crate) fn resize(&self) -> &ResizeLock {
        &self.resize
    }

    /// Unlinks every member, and gives its block to `each` with the count that the table owned.
    ///
    /// Nobody else has the table, so there is no claim and no shadow: none outlives the operation
    /// that made it.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(NonNull<B>)) {
        // SAFETY: `&mut self`: the caller has the tables for itself.
        for table in unsafe { self.oldest() }.chain() {
            let members = (0..table.len()).flat_map(|bucket| table.members(bucket));
            members.filter_map(|member| member.remove()).for_each(|one| each(one.address()));
        }
    }

    /// Makes the successor of `emptied` the oldest table, and returns `emptied` for retirement.
    ///
    /// The caller holds the resize lock, `emptied` is the oldest table and has a successor.
    pub(super) fn unlink(&self, emptied: &Table<B>) -> Option<Emptied<B>> {
        // ORDERING: Relaxed: the mover has seen it by `next`. The pointer itself is taken, not one
        // made from a reference: it will be freed by.
        let next = emptied.next.load(Ordering::Relaxed);
        if next.is_null() {
            return None;
        }
        // ORDERING: Release so that whoever loads the root sees the new table, pairs with `oldest`.
        // Model: `migrate_and_get`.
        let old = self.oldest.swap(next, Ordering::Release);
        // SAFETY: the successor is alive as long as it is the oldest, and the mover alone changes
        // that.
        self.hint.move_to(unsafe { &*next });
        debug_assert!(ptr::eq(old, emptied));
        NonNull::new(old).map(Emptied)
    }
}

impl<B> Drop for RawTable<B> {
    fn drop(&mut self) {
        // ORDERING: Relaxed twice: `&mut self` is ordered after every other user.
        let mut table = self.oldest.load(Ordering::Relaxed);
        while !table.is_null() {
            // SAFETY: the tables from the root on came from boxes and are freed here once; the
            // blocks in them were released by the owner of the root.
            let owned = unsafe { Box::from_raw(table) };
            table = owned.next.load(Ordering::Relaxed);
        }
    }
}
