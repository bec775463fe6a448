//! Probes, sets, and the search in one set.

use super::bucket::{Bucket, SLOTS};
use super::group::Group;
use super::lanes::{LANES, slot_of};
use super::slot::{Occupied, SlotIndex, SlotRef};
use super::table::Table;
use super::word::{Pattern, Tag};
use std::ptr::NonNull;

/// A hash, and the set it has in a table of some size: worked out once for an operation, before its
/// guard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    hash: u64,
    buckets: usize,
    set: Pair,
}

/// The two buckets of a key, always different. `buckets[0]` is the home.
///
/// `INVARIANT(IN-TABLE)`: both are below the number of buckets that the pair was worked out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) buckets: [usize; 2],
}

/// A set of a table, with its buckets at hand.
pub(crate) struct SetRef<'g, B> {
    pub(super) table: &'g Table<B>,
    pub(super) set: Pair,
    buckets: [&'g Bucket<B>; 2],
}

impl Probe {
    /// The set among `buckets`, which a table may have.
    #[inline(always)]
    pub(super) fn new(hash: u64, buckets: usize) -> Self {
        Self { hash, buckets, set: Pair::of_hash(hash, buckets) }
    }

    #[inline]
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    pub(super) fn set(&self) -> Pair {
        self.set
    }

    #[inline]
    pub(super) fn tag(&self) -> Tag {
        Tag::of_hash(self.hash)
    }
}

impl Pair {
    #[inline(always)]
    fn of_hash(hash: u64, buckets: usize) -> Self {
        let home = scale(hash as u32, buckets);
        let mut other = scale((hash >> 32) as u32, buckets);
        if other == home {
            other = if home + 1 == buckets { 0 } else { home + 1 };
        }
        Self { buckets: [home, other] }
    }

    /// The slots of the set, home first.
    pub(super) fn positions(self) -> impl Iterator<Item = SlotIndex> {
        self.buckets
            .into_iter()
            .flat_map(|bucket| (0..SLOTS).map(move |slot| SlotIndex { bucket, slot }))
    }
}

/// Maps 32 random bits to `0..n` by multiplication, for any `n`.
#[inline]
pub(super) fn scale(bits: u32, n: usize) -> usize {
    ((u64::from(bits) * n as u64) >> 32) as usize
}

impl<B> Table<B> {
    /// One of the buckets, by 32 random bits.
    pub(crate) fn pick_bucket(&self, random: u64) -> usize {
        scale(random as u32, self.len())
    }

    /// The set of a hash here. The probe has it already unless the table was resized meanwhile.
    #[inline(always)]
    pub(super) fn set_of(&self, probe: &Probe) -> Pair {
        if probe.buckets == self.len() { probe.set } else { Pair::of_hash(probe.hash, self.len()) }
    }

    /// The probe of a hash for this table.
    pub(super) fn probe(&self, hash: u64) -> Probe {
        Probe::new(hash, self.len())
    }

    /// The numbers of a key's two buckets, home first.
    #[inline]
    pub(crate) fn buckets_of(&self, probe: &Probe) -> [usize; 2] {
        self.set_of(probe).buckets
    }

    /// The set of a hash, with its buckets.
    #[inline(always)]
    pub(crate) fn set(&self, probe: &Probe) -> SetRef<'_, B> {
        let set = self.set_of(probe);
        // SAFETY: the pair is of a table with as many buckets as this one has (INVARIANT IN-TABLE).
        let buckets = set.buckets.map(|bucket| unsafe { self.bucket_unchecked(bucket) });
        SetRef { table: self, set, buckets }
    }
}

impl<'g, B> SetRef<'g, B> {
    /// What is in the buckets, home first.
    #[inline(always)]
    pub(super) fn groups(&self) -> [Group; 2] {
        self.buckets.map(|bucket| Group::load(bucket))
    }

    /// The lanes whose word may fit, home first.
    #[inline(always)]
    pub(super) fn candidates(&self, pattern: Pattern) -> u32 {
        Group::match_pattern(self.groups(), pattern)
    }

    /// What is now in the first lane that a mask names.
    ///
    /// # Safety
    /// The mask has a bit, and none but those of lanes that are slots: as `candidates` makes it.
    #[inline(always)]
    pub(super) unsafe fn first_of(&self, mask: u32) -> SlotRef<'g, B> {
        let nth = mask.trailing_zeros() as usize;
        let (side, slot) = (usize::from(nth >= LANES), slot_of(nth % LANES));
        // SAFETY: the caller's promise.
        unsafe { std::hint::assert_unchecked(slot < SLOTS) };
        let position = SlotIndex { bucket: self.set.buckets[side], slot };
        SlotRef { table: self.table, position, word: self.buckets[side].load(slot) }
    }

    /// Looks for a word that fits and whose block `is_wanted`.
    #[inline(always)]
    pub(super) fn find(
        &self,
        pattern: Pattern,
        is_wanted: &mut impl FnMut(NonNull<B>) -> bool,
    ) -> Option<SlotRef<'g, B>> {
        let mut mask = self.candidates(pattern);
        while mask != 0 {
            // SAFETY: the mask has a bit left of those that `candidates` gave.
            let slot = unsafe { self.first_of(mask) };
            if slot.word.fits(pattern) && slot.block().is_some_and(&mut *is_wanted) {
                return Some(slot);
            }
            mask &= mask - 1;
        }
        None
    }

    /// The members of the set, one after another, home first.
    pub(super) fn members(&self) -> impl Iterator<Item = Occupied<'g, B>> + use<'g, B> {
        let table = self.table;
        self.set.positions().filter_map(move |position| Occupied::of(table.at(position)))
    }
}
