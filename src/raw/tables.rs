//! The tables in force under a guard, and the search through them.

use super::set::Probe;
use super::slot::{Occupied, SlotRef};
use super::table::Table;
use super::word::{Pattern, Word};
use std::ptr::NonNull;

/// The tables in force, oldest first: one, or two during a migration, more if its mover sleeps
/// meanwhile. `'g` ends with the guard under which they were found.
pub(crate) struct Tables<'g, B> {
    pub(super) oldest: &'g Table<B>,
}

/// What the first tag match of a key shows.
pub(crate) enum FirstMatch<'g, B> {
    /// No member has the tag of the key.
    None,
    /// The first member that has.
    Candidate(Occupied<'g, B>),
    /// Words change, or there is another table: search.
    Uncertain,
}

impl<B> Clone for Tables<'_, B> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Tables<'_, B> {}

impl<'g, B> Tables<'g, B> {
    /// The first member with the tag of this hash, which nearly always is the one that is looked
    /// for.
    #[inline(always)]
    pub(crate) fn first_match(&self, probe: &Probe) -> FirstMatch<'g, B> {
        let set = self.oldest.set(probe);
        let pattern = Pattern::member(probe.tag());
        let mask = set.candidates(pattern);
        if mask == 0 {
            return if self.oldest.next().is_none() {
                FirstMatch::None
            } else {
                FirstMatch::Uncertain
            };
        }
        // SAFETY: the mask is of `candidates`, and not 0.
        let slot = unsafe { set.first_of(mask) };
        if slot.word.fits(pattern) {
            FirstMatch::Candidate(Occupied(slot))
        } else {
            FirstMatch::Uncertain
        }
    }

    /// The member with this hash whose block `is_wanted`.
    ///
    /// Tables are read oldest first, the direction in which sessions move, so a session that moves
    /// meanwhile is met in one or the other.
    #[inline(always)]
    pub(crate) fn find(
        &self,
        probe: &Probe,
        mut is_wanted: impl FnMut(&'g B) -> bool,
    ) -> Option<Occupied<'g, B>> {
        // SAFETY: members and shadows own a count (INVARIANT TABLE-REF) and are seen under the
        // guard of `'g`, as in `Occupied::block`.
        let mut is_wanted = |block: NonNull<B>| is_wanted(unsafe { &*block.as_ptr() });
        let oldest = self.oldest;
        let found = oldest.set(probe).find(Pattern::member(probe.tag()), &mut is_wanted);
        let found =
            found.or_else(|| Self::find_newer(oldest, oldest.next()?, probe, &mut is_wanted));
        found.map(Occupied)
    }

    /// The rest of `find` during a migration.
    #[cold]
    fn find_newer(
        older: &'g Table<B>,
        newer: &'g Table<B>,
        probe: &Probe,
        is_wanted: &mut impl FnMut(NonNull<B>) -> bool,
    ) -> Option<SlotRef<'g, B>> {
        let tag = probe.tag();
        let set = newer.set(probe);
        // A shadow turns into a member in place, so members are looked for last.
        if let Some(shadow) = set.find(Pattern::shadow(tag), is_wanted) {
            if let Some(slot) = shadow.promote(older.set_of(probe), older) {
                return Some(slot);
            }
        }
        if let Some(slot) = set.find(Pattern::member(tag), is_wanted) {
            return Some(slot);
        }
        // A migration that ended and another that began since the tables were read.
        let newest = newer.next()?;
        Self::find_newer(newer, newest, probe, is_wanted)
    }

    /// The table that new sessions enter.
    #[inline]
    pub(crate) fn newest(&self) -> &'g Table<B> {
        let mut newest = self.oldest;
        while let Some(next) = newest.next() {
            newest = next;
        }
        newest
    }

    /// The table that a migration empties, or the only one.
    #[inline]
    pub(crate) fn oldest(&self) -> &'g Table<B> {
        self.oldest
    }

    /// The tables, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'g Table<B>> + use<'g, B> {
        std::iter::successors(Some(self.oldest), |table| table.next())
    }
}

impl<B> SlotRef<'_, B> {
    /// Turns a shadow into a member if the session has left the older table for it.
    ///
    /// Returns the member, or nothing when the session is (or was, and is gone) in the older table.
    pub(super) fn promote(&self, set: super::set::Pair, older: &Table<B>) -> Option<Self> {
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
