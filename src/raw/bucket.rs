//! A bucket: one cache line of a publication word and the slots.

use super::word::Word;
use crate::sync::{AtomicPtr, AtomicU64, MODELLED, Ordering};

/// Slots of a bucket: what fits a cache line beside the publication word. Two in a model, which
/// keeps its search small and still has sets with more than one slot a bucket.
pub(crate) const SLOTS: usize = if MODELLED { 2 } else { 7 };

/// All zero is a fresh bucket: nothing published, every slot empty.
#[repr(C, align(64))]
pub(crate) struct Bucket<B> {
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
