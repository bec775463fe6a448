//! Probes, sets, and the search: in one set, and through the tables in force. These are one, or two
//! during a migration, more if its mover sleeps meanwhile; each hangs on the one before it.

use super::group::Group;
use super::lanes::{LANES, slot_of};
use super::slot::{Occupied, SlotIndex, SlotRef};
use super::table::{Bucket, SLOTS, Table};
use super::word::{Pattern, Tag, Word};
use crate::hint::likely;
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

impl<B> Clone for SetRef<'_, B> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for SetRef<'_, B> {}

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
        match likely(probe.buckets == self.len()) {
            true => probe.set,
            false => Pair::of_hash(probe.hash, self.len()),
        }
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
    /// The home bucket.
    #[inline(always)]
    pub(super) fn home(self) -> &'g Bucket<B> {
        self.buckets[0]
    }

    /// What is in the buckets, home first.
    #[inline(always)]
    pub(super) fn groups(self) -> [Group; 2] {
        self.buckets.map(|bucket| Group::load(bucket))
    }

    /// The lanes whose word may fit, home first.
    #[inline(always)]
    pub(super) fn candidates(self, pattern: Pattern) -> u32 {
        Group::match_pattern(self.groups(), pattern)
    }

    /// What is now in the first lane that a mask names.
    ///
    /// # Safety
    /// The mask has a bit, and none but those of lanes that are slots: as `candidates` makes it.
    #[inline(always)]
    pub(super) unsafe fn first_of(self, mask: u32) -> SlotRef<'g, B> {
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
        self,
        pattern: Pattern,
        is_wanted: &mut impl FnMut(NonNull<B>) -> bool,
    ) -> Option<SlotRef<'g, B>> {
        self.find_among(self.groups(), pattern, is_wanted)
    }

    /// [`find`](Self::find), with what was seen in the set.
    #[inline(always)]
    fn find_among(
        self,
        groups: [Group; 2],
        pattern: Pattern,
        is_wanted: &mut impl FnMut(NonNull<B>) -> bool,
    ) -> Option<SlotRef<'g, B>> {
        let mut mask = Group::match_pattern(groups, pattern);
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
    pub(super) fn members(self) -> impl Iterator<Item = Occupied<'g, B>> + use<'g, B> {
        let table = self.table;
        self.set.positions().filter_map(move |position| Occupied::of(table.at(position)))
    }
}

/// Words changed since the groups were loaded, or there is another table: a search is needed.
pub(crate) struct Uncertain;

/// A table with those behind it: the oldest one in force has all.
impl<B> Table<B> {
    /// The first member with the tag of this hash, which nearly always is the one that is looked
    /// for.
    #[inline(always)]
    pub(crate) fn first_match<'g>(
        &'g self,
        probe: &Probe,
    ) -> Result<Option<Occupied<'g, B>>, Uncertain> {
        let set = self.set(probe);
        let pattern = Pattern::member(probe.tag());
        let mask = set.candidates(pattern);
        if mask == 0 {
            return if likely(self.next().is_none()) { Ok(None) } else { Err(Uncertain) };
        }
        // SAFETY: the mask is of `candidates`, and not 0.
        let slot = unsafe { set.first_of(mask) };
        if likely(slot.word.fits(pattern)) { Ok(Some(Occupied(slot))) } else { Err(Uncertain) }
    }

    /// The member with this hash whose block `is_wanted`, in this table or one behind it.
    ///
    /// Tables are read oldest first, the direction in which sessions move, so a session that moves
    /// meanwhile is met in one or the other.
    #[inline(always)]
    pub(crate) fn find<'g>(
        &'g self,
        probe: &Probe,
        is_wanted: impl FnMut(&'g B) -> bool,
    ) -> Option<Occupied<'g, B>> {
        let set = self.set(probe);
        self.find_from(set, set.groups(), probe, is_wanted)
    }

    /// [`find`](Self::find), with the set that the hash has here and what was seen in it.
    #[inline(always)]
    pub(super) fn find_from<'g>(
        &'g self,
        set: SetRef<'g, B>,
        groups: [Group; 2],
        probe: &Probe,
        mut is_wanted: impl FnMut(&'g B) -> bool,
    ) -> Option<Occupied<'g, B>> {
        // SAFETY: members and shadows own a count (INVARIANT TABLE-REF) and are seen under the
        // guard of `'g`, as in `Occupied::block`.
        let mut is_wanted = |block: NonNull<B>| is_wanted(unsafe { &*block.as_ptr() });
        let pattern = Pattern::member(probe.tag());
        if let Some(slot) = set.find_among(groups, pattern, &mut is_wanted) {
            return Some(Occupied(slot));
        }
        self.find_newer(self.next()?, probe, &mut is_wanted).map(Occupied)
    }

    /// The rest of `find` during a migration.
    #[cold]
    fn find_newer<'g>(
        &self,
        newer: &'g Self,
        probe: &Probe,
        is_wanted: &mut impl FnMut(NonNull<B>) -> bool,
    ) -> Option<SlotRef<'g, B>> {
        let tag = probe.tag();
        let set = newer.set(probe);
        // A shadow turns into a member in place, so members are looked for last.
        if let Some(shadow) = set.find(Pattern::shadow(tag), is_wanted) {
            if let Some(slot) = shadow.promote(self.set_of(probe), self) {
                return Some(slot);
            }
        }
        if let Some(slot) = set.find(Pattern::member(tag), is_wanted) {
            return Some(slot);
        }
        // A migration that ended and another that began since the tables were read.
        let newest = newer.next()?;
        newer.find_newer(newest, probe, is_wanted)
    }

    /// The table that new sessions enter.
    #[inline]
    pub(crate) fn newest(&self) -> &Self {
        let mut newest = self;
        while let Some(next) = newest.next() {
            newest = next;
        }
        newest
    }

    /// This table and those behind it, oldest first.
    pub(crate) fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |table| table.next())
    }
}

impl<B> SlotRef<'_, B> {
    /// Turns a shadow into a member if the session has left the older table for it.
    ///
    /// Returns the member, or nothing when the session is (or was, and is gone) in the older table.
    pub(super) fn promote(&self, set: Pair, older: &Table<B>) -> Option<Self> {
        let moved = Word::moved(self.block()?);
        let has_left = set.positions().any(|at| older.bucket(at.bucket).load(at.slot) == moved);
        if !has_left {
            return None;
        }
        let member = self.word.to_member();
        // LINEARIZE: nothing: the session is present before and after. If the exchange fails the
        // mover, or another helper, was faster; the caller finds the member, or finds that it is
        // gone.
        let promoted = self.exchange(member);
        promoted.then_some(Self { word: member, ..*self })
    }
}
