//! The search through the tables in force: one, or two during a migration, more if its mover sleeps
//! meanwhile. Each hangs on the one before it.

use super::set::{Pair, Probe};
use super::slot::{Occupied, SlotRef};
use super::table::Table;
use super::word::{Pattern, Word};
use std::ptr::NonNull;

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
            return if self.next().is_none() { Ok(None) } else { Err(Uncertain) };
        }
        // SAFETY: the mask is of `candidates`, and not 0.
        let slot = unsafe { set.first_of(mask) };
        if slot.word.fits(pattern) { Ok(Some(Occupied(slot))) } else { Err(Uncertain) }
    }

    /// The member with this hash whose block `is_wanted`, in this table or one behind it.
    ///
    /// Tables are read oldest first, the direction in which sessions move, so a session that moves
    /// meanwhile is met in one or the other.
    #[inline(always)]
    pub(crate) fn find<'g>(
        &'g self,
        probe: &Probe,
        mut is_wanted: impl FnMut(&'g B) -> bool,
    ) -> Option<Occupied<'g, B>> {
        // SAFETY: members and shadows own a count (INVARIANT TABLE-REF) and are seen under the
        // guard of `'g`, as in `Occupied::block`.
        let mut is_wanted = |block: NonNull<B>| is_wanted(unsafe { &*block.as_ptr() });
        if let Some(slot) = self.set(probe).find(Pattern::member(probe.tag()), &mut is_wanted) {
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
