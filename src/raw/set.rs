//! Sets, positions in them, and the search through the chain of tables.

use super::bucket::{Bucket, SLOTS};
use super::look::{LANES, Look, slot_of};
use super::table::Table;
use super::word::{Pattern, Tag, Word};
use std::ptr::NonNull;

/// A hash, and the set it has in a table of some size: worked out once for an operation, before its
/// guard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    hash: u64,
    buckets: usize,
    set: Set,
}

/// The two buckets of a key, always different. `buckets[0]` is the home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(super) buckets: [usize; 2],
}

/// A set of a table, with its buckets at hand.
pub(crate) struct Rows<'t, B> {
    pub(super) table: &'t Table<B>,
    pub(super) set: Set,
    buckets: [&'t Bucket<B>; 2],
}

/// One slot of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) bucket: usize,
    pub(crate) slot: usize,
}

/// A word that was seen at a position of a table.
pub(crate) struct Spot<'t, B> {
    pub(crate) table: &'t Table<B>,
    pub(crate) position: Position,
    pub(crate) word: Word<B>,
}

/// The tables in force, oldest first: one, or two during a migration, more if its mover sleeps
/// meanwhile. `'t` ends with the guard under which they were found.
pub(crate) struct Chain<'t, B> {
    pub(super) oldest: &'t Table<B>,
}

/// What a first look at the set of a key shows.
pub(crate) enum Glance<'t, B> {
    /// No member has the tag of the key.
    Absent,
    /// The first member that has, and its block.
    Candidate(Spot<'t, B>, NonNull<B>),
    /// Words change, or there is another table: look closely.
    Unclear,
}

impl<B> Clone for Spot<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Spot<'_, B> {}

impl Probe {
    /// The set among `buckets`, which a table may have.
    #[inline(always)]
    pub(super) fn new(hash: u64, buckets: usize) -> Self {
        Self { hash, buckets, set: Set::of_hash(hash, buckets) }
    }

    #[inline]
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    pub(super) fn set(&self) -> Set {
        self.set
    }

    #[inline]
    pub(crate) fn tag(&self) -> Tag {
        Tag::of_hash(self.hash)
    }
}

impl Set {
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
    pub(crate) fn positions(self) -> impl Iterator<Item = Position> {
        self.buckets
            .into_iter()
            .flat_map(|bucket| (0..SLOTS).map(move |slot| Position { bucket, slot }))
    }
}

/// Maps 32 random bits to `0..n` by multiplication, for any `n`.
#[inline]
pub(super) fn scale(bits: u32, n: usize) -> usize {
    ((u64::from(bits) * n as u64) >> 32) as usize
}

impl<B> Spot<'_, B> {
    /// The block that the word names.
    #[inline]
    pub(crate) fn block(&self) -> Option<NonNull<B>> {
        self.word.address()
    }

    /// Puts `to` where `word` was seen, if it is still there. True for exactly one of all who try.
    #[inline]
    pub(crate) fn exchange(&self, to: Word<B>) -> bool {
        let Position { bucket, slot } = self.position;
        self.table.bucket(bucket).exchange(slot, self.word, to)
    }
}

impl<B> Table<B> {
    /// The set of a hash here. The probe has it already unless the table was resized meanwhile.
    #[inline(always)]
    pub(crate) fn set_of(&self, probe: &Probe) -> Set {
        if probe.buckets == self.len() { probe.set } else { Set::of_hash(probe.hash, self.len()) }
    }

    /// The probe of a hash for this table.
    pub(crate) fn probe(&self, hash: u64) -> Probe {
        Probe::new(hash, self.len())
    }

    /// The set of a hash, with its buckets.
    #[inline(always)]
    pub(crate) fn rows(&self, probe: &Probe) -> Rows<'_, B> {
        let set = self.set_of(probe);
        Rows { table: self, set, buckets: self.buckets_in(set) }
    }
}

impl<'t, B> Rows<'t, B> {
    /// What is in the buckets, home first.
    #[inline(always)]
    pub(super) fn looks(&self) -> [Look; 2] {
        self.buckets.map(|bucket| Look::at(bucket))
    }

    /// The lanes whose word may fit, home first.
    #[inline(always)]
    fn candidates(&self, pattern: Pattern) -> u32 {
        Look::fitting(self.looks(), pattern)
    }

    /// What is now in the first lane that a mask names.
    #[inline(always)]
    fn first_of(&self, mask: u32) -> Spot<'t, B> {
        let nth = mask.trailing_zeros() as usize;
        let (side, slot) = (usize::from(nth >= LANES), slot_of(nth % LANES));
        let position = Position { bucket: self.set.buckets[side], slot };
        Spot { table: self.table, position, word: self.buckets[side].load(slot) }
    }

    /// Looks for a word that fits and whose block `is_wanted`.
    #[inline(always)]
    fn find(
        &self,
        pattern: Pattern,
        is_wanted: &mut impl FnMut(NonNull<B>) -> bool,
    ) -> Option<Spot<'t, B>> {
        let mut mask = self.candidates(pattern);
        while mask != 0 {
            let spot = self.first_of(mask);
            if spot.word.fits(pattern) && spot.block().is_some_and(&mut *is_wanted) {
                return Some(spot);
            }
            mask &= mask - 1;
        }
        None
    }
}

impl<'t, B> Chain<'t, B> {
    /// The first member with the tag of this hash, which nearly always is the one that is looked
    /// for.
    #[inline(always)]
    pub(crate) fn glance(&self, probe: &Probe) -> Glance<'t, B> {
        let rows = self.oldest.rows(probe);
        let pattern = Pattern::member(probe.tag());
        let mask = rows.candidates(pattern);
        if mask == 0 {
            return if self.oldest.next().is_none() { Glance::Absent } else { Glance::Unclear };
        }
        let spot = rows.first_of(mask);
        match spot.block() {
            Some(block) if spot.word.fits(pattern) => Glance::Candidate(spot, block),
            _ => Glance::Unclear,
        }
    }

    /// The member with this hash whose block `is_wanted`, which is asked for blocks that are alive
    /// under the guard.
    ///
    /// Tables are read oldest first, the direction in which sessions move, so a session that moves
    /// meanwhile is met in one or the other.
    #[inline(always)]
    pub(crate) fn find(
        &self,
        probe: &Probe,
        mut is_wanted: impl FnMut(NonNull<B>) -> bool,
    ) -> Option<Spot<'t, B>> {
        let tag = probe.tag();
        let oldest = self.oldest;
        if let Some(spot) = oldest.rows(probe).find(Pattern::member(tag), &mut is_wanted) {
            return Some(spot);
        }
        match oldest.next() {
            None => None,
            Some(newer) => Self::find_newer(oldest, newer, probe, &mut is_wanted),
        }
    }

    /// The rest of `find` during a migration.
    #[cold]
    fn find_newer(
        older: &'t Table<B>,
        newer: &'t Table<B>,
        probe: &Probe,
        is_wanted: &mut impl FnMut(NonNull<B>) -> bool,
    ) -> Option<Spot<'t, B>> {
        let tag = probe.tag();
        let rows = newer.rows(probe);
        // A shadow turns into a member in place, so members are looked for last.
        if let Some(shadow) = rows.find(Pattern::shadow(tag), is_wanted) {
            if let Some(spot) = shadow.promote(older.set_of(probe), older) {
                return Some(spot);
            }
        }
        if let Some(spot) = rows.find(Pattern::member(tag), is_wanted) {
            return Some(spot);
        }
        // A migration that ended and another that began since the chain was read.
        let newest = newer.next()?;
        Self::find_newer(newer, newest, probe, is_wanted)
    }

    /// The table that new sessions enter.
    pub(crate) fn newest(&self) -> &'t Table<B> {
        let mut newest = self.oldest;
        while let Some(next) = newest.next() {
            newest = next;
        }
        newest
    }

    /// The table that a migration empties, or the only one.
    pub(crate) fn oldest(&self) -> &'t Table<B> {
        self.oldest
    }

    /// The tables, oldest first.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &'t Table<B>> + use<'t, B> {
        std::iter::successors(Some(self.oldest), |table| table.next())
    }
}

impl<B> Spot<'_, B> {
    /// Turns a shadow into a member if the session has left the older table for it.
    ///
    /// Returns the member, or nothing when the session is (or was, and is gone) in the older table.
    pub(crate) fn promote(&self, set: Set, older: &Table<B>) -> Option<Self> {
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
