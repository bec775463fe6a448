//! Slots of a table, with the word that was seen in each.

use super::table::{SLOTS, Table};
use super::word::{Stamp, Word};
use std::hint::assert_unchecked;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// Which slot of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotIndex {
    pub(super) bucket: usize,
    pub(super) slot: usize,
}

/// A word that was seen in a slot of a table, at a position that the table has.
pub(super) struct SlotRef<'g, B> {
    pub(super) table: &'g Table<B>,
    pub(super) position: SlotIndex,
    pub(super) word: Word<B>,
}

/// A member, as it was seen in its slot. Its block is alive for `'g`, the life of a guard.
pub(crate) struct Occupied<'g, B>(pub(super) SlotRef<'g, B>);

/// A block that was unlinked, with the reference that the table had to it.
///
/// `INVARIANT(TABLE-REF)`: each member, shadow and claim owns one count of its block; a MOVED word
/// owns none. The successful exchange that ends a member makes one of these, and its holder gives
/// the count up by retiring it.
#[must_use = "the count that the table owned must be retired"]
pub(crate) struct Unlinked<'g, B> {
    address: NonNull<B>,
    guard: PhantomData<&'g B>,
}

impl<B> Clone for SlotRef<'_, B> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for SlotRef<'_, B> {}

impl<B> Clone for Occupied<'_, B> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Occupied<'_, B> {}

impl<B> Table<B> {
    /// What is in a slot now.
    #[inline(always)]
    pub(super) fn at(&self, position: SlotIndex) -> SlotRef<'_, B> {
        SlotRef { table: self, position, word: self.bucket(position.bucket).load(position.slot) }
    }

    /// A word that was seen in a slot.
    #[inline]
    pub(super) fn slot(&self, bucket: usize, slot: usize, word: Word<B>) -> SlotRef<'_, B> {
        SlotRef { table: self, position: SlotIndex { bucket, slot }, word }
    }

    /// What is in the slots of a bucket, one after another.
    #[inline]
    pub(super) fn bucket_slots(&self, bucket: usize) -> impl Iterator<Item = SlotRef<'_, B>> {
        let slots = self.bucket(bucket);
        (0..SLOTS).map(move |slot| self.slot(bucket, slot, slots.load(slot)))
    }

    /// The members of a bucket, one after another.
    #[inline]
    pub(crate) fn members(&self, bucket: usize) -> impl Iterator<Item = Occupied<'_, B>> {
        self.bucket_slots(bucket).filter_map(Occupied::of)
    }

    /// The member in the n-th slot of the whole table.
    #[inline]
    pub(crate) fn member_at(&self, n: usize) -> Option<Occupied<'_, B>> {
        Occupied::of(self.at(SlotIndex { bucket: n / SLOTS, slot: n % SLOTS }))
    }
}

impl<B> SlotRef<'_, B> {
    /// The block that the word names.
    #[inline]
    pub(super) fn block(&self) -> Option<NonNull<B>> {
        self.word.address()
    }

    /// Puts `to` where `word` was seen, if it is still there. True for exactly one of all who try.
    #[inline]
    pub(super) fn exchange(&self, to: Word<B>) -> bool {
        let SlotIndex { bucket, slot } = self.position;
        // SAFETY: the word was loaded from this slot of this bucket of this table.
        let bucket = unsafe {
            assert_unchecked(slot < SLOTS);
            self.table.bucket_unchecked(bucket)
        };
        bucket.exchange(slot, self.word, to)
    }
}

impl<'g, B> Occupied<'g, B> {
    /// `None` unless a member was seen in the slot.
    #[inline]
    pub(super) fn of(slot: SlotRef<'g, B>) -> Option<Self> {
        slot.word.is_member().then_some(Self(slot))
    }

    /// The address of the block, which is its identity.
    #[inline]
    pub(crate) fn address(&self) -> NonNull<B> {
        debug_assert!(self.0.word.is_member());
        // SAFETY: a member names a block, whose address is not null.
        unsafe { self.0.block().unwrap_unchecked() }
    }

    /// The block.
    #[inline]
    pub(crate) fn block(&self) -> &'g B {
        // SAFETY: the word was a member when it was read under the guard of `'g` (see
        // `RawTable::oldest`), so the count that it stands for is given up after that guard
        // (INVARIANT TABLE-REF).
        unsafe { &*self.address().as_ptr() }
    }

    /// Whether this is the member with the block at this address.
    #[inline]
    pub(crate) fn holds(&self, block: NonNull<B>) -> bool {
        self.0.word.holds(block)
    }

    #[inline]
    pub(crate) fn table(&self) -> &'g Table<B> {
        self.0.table
    }

    /// Ticks since it was stored, or used last.
    #[inline]
    pub(crate) fn age(&self, tick: usize) -> usize {
        self.0.word.stamp().age(tick)
    }

    /// Whether it was used since it was stored.
    #[inline]
    pub(crate) fn is_touched(&self) -> bool {
        self.0.word.is_touched()
    }

    /// Whether it was stamped in this tick.
    #[inline]
    pub(crate) fn is_of_tick(&self, tick: usize) -> bool {
        self.0.word.stamp() == Stamp::of_tick(tick)
    }

    /// The number of its bucket.
    #[cfg(any(sessile_loom, sessile_shuttle))]
    pub(crate) fn bucket(&self) -> usize {
        self.0.position.bucket
    }

    /// What is in the slot now, if that is a member.
    pub(crate) fn reload(&self) -> Option<Self> {
        Self::of(self.0.table.at(self.0.position))
    }

    /// Unlinks the block. Succeeds for exactly one of all who remove, replace or displace it.
    ///
    /// # Errors
    /// `None` when the word changed meanwhile: the block left, or only its stamp is another.
    #[inline]
    #[must_use = "the count that the table owned must be retired"]
    pub(crate) fn remove(&self) -> Option<Unlinked<'g, B>> {
        self.0.exchange(Word::EMPTY).then(|| self.unlinked())
    }

    /// Puts another block with the same key in its place, in one step. One count of `by` passes to
    /// the table.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    #[inline]
    #[must_use = "the count that the table owned must be retired"]
    pub(crate) fn replace(&self, by: NonNull<B>, tick: usize) -> Option<Unlinked<'g, B>> {
        let stamp = Stamp::of_tick(tick);
        self.0.exchange(self.0.word.succeeded_by(by, stamp)).then(|| self.unlinked())
    }

    /// Notes a use. Does nothing if the word changed meanwhile: somebody else did, or it left.
    #[inline]
    pub(crate) fn touch(&self, tick: usize) {
        // LINEARIZE: nothing: only the age changes.
        self.0.exchange(self.0.word.touched(Stamp::of_tick(tick)));
    }

    /// Changes the age, unless the word changed meanwhile.
    #[inline]
    pub(super) fn restamp(&self, tick: usize) {
        // LINEARIZE: nothing: only the age changes.
        self.0.exchange(self.0.word.restamped(Stamp::of_tick(tick)));
    }

    #[inline]
    pub(super) fn unlinked(&self) -> Unlinked<'g, B> {
        Unlinked { address: self.address(), guard: PhantomData }
    }
}

impl<'g, B> Unlinked<'g, B> {
    pub(super) fn new(address: NonNull<B>) -> Self {
        Self { address, guard: PhantomData }
    }

    /// The address of the block, whose count is the caller's now.
    #[inline]
    pub(crate) fn address(&self) -> NonNull<B> {
        self.address
    }

    /// The block.
    #[inline]
    pub(crate) fn block(&self) -> &'g B {
        // SAFETY: it was a member under the guard of `'g`, as in `Occupied::block`.
        unsafe { &*self.address.as_ptr() }
    }
}
