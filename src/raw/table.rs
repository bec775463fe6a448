//! A table: an array of buckets, and the link to its successor. A bucket is one cache line of a
//! publication word and the slots.

use super::word::Word;
use crate::memory::{prefetch, try_box, zeroed};
use crate::sync::untracked::{AtomicU64 as Untracked, Ordering as Order};
use crate::sync::{AtomicPtr, AtomicU64, AtomicUsize, MODELLED, Ordering};
use std::alloc::Layout;
use std::ptr;
#[cfg(any(sessile_loom, sessile_shuttle))]
use std::ptr::NonNull;

/// Slots of a bucket: what fits a cache line beside the publication word. Two in a model, which
/// keeps its search small and still has sets with more than one slot a bucket.
pub(super) const SLOTS: usize = if MODELLED { 2 } else { 7 };

/// All zero is a fresh bucket: nothing published, every slot empty.
#[repr(C, align(64))]
pub(super) struct Bucket<B> {
    /// See `publish`.
    pub(super) publication: AtomicU64,
    slots: [AtomicPtr<B>; SLOTS],
}

const _: () = assert!(MODELLED || size_of::<Bucket<u8>>() == 64);

impl<B> Bucket<B> {
    #[cfg(any(sessile_loom, sessile_shuttle))]
    pub(super) fn new() -> Self {
        let slots = std::array::from_fn(|_| AtomicPtr::new(std::ptr::null_mut()));
        Self { publication: AtomicU64::new(0), slots }
    }

    #[inline]
    pub(super) fn load(&self, slot: usize) -> Word<B> {
        // ORDERING: Acquire: sees the block that was published with the word; pairs with the
        // Release of every exchange in `exchange`. Model: `add_and_get`.
        Word::from_raw(self.slots[slot].load(Ordering::Acquire))
    }

    /// Replaces the word `from` by `to`; the one write to a slot that there is. True for exactly
    /// one of all who try.
    #[inline]
    pub(super) fn exchange(&self, slot: usize, from: Word<B>, to: Word<B>) -> bool {
        // ORDERING: AcqRel: Release publishes the block that `to` names, pairs with `load`.
        // Acquire: a block may have left and come back since `from` was loaded, as the same word;
        // whoever ends that member is ordered after its beginning. Relaxed on failure: nothing is
        // read. Model: `replace_and_get`, `take_orders_what_it_took`.
        self.slots[slot]
            .compare_exchange(from.raw(), to.raw(), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

/// Bits of the number of a bucket: what the publication word has room for.
pub(super) const BUCKET_BITS: u32 = 24;

/// Buckets, and the table that sessions move to from here.
///
/// Outside of `raw` a `&'g Table` that may have members comes from
/// [`RawTable::oldest`](super::RawTable::oldest), so that `'g` is the life of a guard.
pub(crate) struct Table<B> {
    pub(super) buckets: Box<[Bucket<B>]>,
    pub(super) next: AtomicPtr<Table<B>>,
    /// Unique in the process: an address may be used again.
    number: u64,
    /// Progress of the migration that empties this table: the next bucket to close, then the next
    /// to move.
    pub(super) closing: AtomicUsize,
    pub(super) moving: AtomicUsize,
}

impl<B> Table<B> {
    /// The smallest table: one set.
    pub(crate) const BUCKETS_MIN: usize = 2;

    /// The most buckets of a table.
    pub(crate) const BUCKETS_MAX: usize = 1 << BUCKET_BITS;

    /// Slots of a bucket.
    pub(crate) const SLOTS: usize = SLOTS;

    /// A table that nobody else has. `None` when there is no memory, or it would be too large.
    pub(crate) fn new(buckets: usize) -> Option<Box<Self>> {
        let buckets = buckets.max(Self::BUCKETS_MIN);
        if buckets > Self::BUCKETS_MAX {
            return None;
        }
        static NEXT: Untracked = Untracked::new(1);
        try_box(Self {
            buckets: allocate(buckets)?,
            // ORDERING: Relaxed: the number only has to be unique.
            number: NEXT.fetch_add(1, Order::Relaxed),
            next: AtomicPtr::new(ptr::null_mut()),
            closing: AtomicUsize::new(0),
            moving: AtomicUsize::new(0),
        })
        .ok()
    }

    /// Buckets.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Slots.
    pub(crate) fn slots(&self) -> usize {
        self.len() * SLOTS
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether every key has the same fourteen slots.
    #[inline]
    pub(crate) fn is_one_set(&self) -> bool {
        self.len() == Self::BUCKETS_MIN
    }

    #[inline]
    pub(super) fn bucket(&self, index: usize) -> &Bucket<B> {
        &self.buckets[index]
    }

    /// The bucket with a number that was worked out for a table of this length.
    ///
    /// # Safety
    /// `index < self.len()`.
    #[inline(always)]
    pub(super) unsafe fn bucket_unchecked(&self, index: usize) -> &Bucket<B> {
        debug_assert!(index < self.len());
        // SAFETY: the caller's promise.
        unsafe { self.buckets.get_unchecked(index) }
    }

    /// Asks for the cache line of a bucket, if there is one with this number.
    #[inline]
    pub(crate) fn prefetch(&self, bucket: usize) {
        self.buckets.get(bucket).into_iter().for_each(|bucket| prefetch(bucket));
    }

    #[inline]
    pub(crate) fn next(&self) -> Option<&Self> {
        // ORDERING: Acquire: sees the table as it was made; pairs with `link`. Model:
        // `migrate_and_replace`.
        let next = self.next.load(Ordering::Acquire);
        // SAFETY: a successor is retired after its predecessor, which the caller's guard keeps
        // alive.
        unsafe { next.as_ref() }
    }

    /// Publishes the successor, unless there is one.
    pub(super) fn link(&self, next: Box<Self>) {
        let next = Box::into_raw(next);
        // ORDERING: Release: publishes the table, pairs with `next`. Relaxed on failure: nothing is
        // read. Model: `migrate_and_replace`.
        let linked =
            self.next.compare_exchange(ptr::null_mut(), next, Ordering::Release, Ordering::Relaxed);
        if linked.is_err() {
            // SAFETY: it came from the box above, and nobody else has seen it.
            drop(unsafe { Box::from_raw(next) });
        }
    }
}

/// Zeroed memory is a row of fresh buckets.
#[cfg(not(any(sessile_loom, sessile_shuttle)))]
fn allocate<B>(buckets: usize) -> Option<Box<[Bucket<B>]>> {
    let memory = zeroed(Layout::array::<Bucket<B>>(buckets).ok()?)?.cast::<Bucket<B>>();
    let row = ptr::slice_from_raw_parts_mut(memory.as_ptr(), buckets);
    // SAFETY: 1. The memory has the layout of the boxed slice, from the global allocator. 2. A
    // bucket is atomic integers and pointers, for which all bits zero is a value.
    Some(unsafe { Box::from_raw(row) })
}

#[cfg(any(sessile_loom, sessile_shuttle))]
fn allocate<B>(buckets: usize) -> Option<Box<[Bucket<B>]>> {
    let _: (Option<Layout>, fn(Layout) -> Option<NonNull<u8>>) = (None, zeroed);
    Some((0..buckets).map(|_| Bucket::new()).collect())
}
