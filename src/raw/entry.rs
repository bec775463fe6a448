//! The entry of a key: occupied, or vacant with the licence to insert. The first four steps of
//! [`publish`](super::publish).

use super::group::Group;
use super::lanes;
use super::publish::{Claim, Home};
use super::set::{Probe, SetRef};
use super::slot::{Occupied, Place, Unlinked};
use super::table::Table;
use super::tables::Tables;
use super::word::{Stamp, Tag, Word};
use std::ptr::NonNull;

/// What is stored under a key, for an insertion.
pub(crate) enum Entry<'g, B> {
    Occupied(Occupied<'g, B>),
    Vacant(Vacant<'g, B>),
    /// Another table is the newest since the tables were read.
    Resized,
}

/// A key that was absent, and the licence to store it.
pub(crate) struct Vacant<'g, B> {
    table: &'g Table<B>,
    home: Home,
}

impl<'g, B> Tables<'g, B> {
    /// The entry of a key. Opens what other threads have published in its home, and closes its home
    /// in the tables that are emptied. `member` gives hash and stamp of a block that another thread
    /// inserts.
    #[inline]
    pub(crate) fn entry(
        &self,
        probe: &Probe,
        member: &impl Fn(&B) -> (u64, Stamp),
        is_key: impl FnMut(&'g B) -> bool,
    ) -> Entry<'g, B> {
        let newest = self.newest();
        let Some(home) = newest.settle(probe, &finisher(member)) else { return Entry::Resized };
        for older in self.iter().take_while(|table| !std::ptr::eq(*table, newest)) {
            older.close(probe, &finisher(member));
        }
        match self.find(probe, is_key) {
            Some(member) => Entry::Occupied(member),
            None => Entry::Vacant(Vacant { table: newest, home }),
        }
    }

    /// Opens what other threads have published in the home of a key: the first step of
    /// [`entry`](Self::entry) alone.
    #[cfg(any(sessile_loom, sessile_shuttle))]
    pub(crate) fn settle(&self, probe: &Probe, member: &impl Fn(&B) -> (u64, Stamp)) {
        self.newest().settle(probe, &finisher(member));
    }
}

/// How to open another thread's claim.
#[inline]
pub(super) fn finisher<B>(
    member: &impl Fn(&B) -> (u64, Stamp),
) -> impl Fn(NonNull<B>) -> Word<B> + '_ {
    |address| {
        // SAFETY: `Table::help` passes the block of a claim that was published: it is stored or
        // will be, so its count is given up after the guard of the helper.
        let (hash, stamp) = member(unsafe { address.as_ref() });
        Word::member(address, Tag::of_hash(hash), stamp)
    }
}

impl<'g, B> Vacant<'g, B> {
    #[inline]
    pub(crate) fn table(&self) -> &'g Table<B> {
        self.table
    }

    /// The set in which the key is to be stored, by its probe.
    #[inline(always)]
    pub(crate) fn set(&self, probe: &Probe) -> SetRef<'g, B> {
        self.table.set(probe)
    }

    /// Claims a slot for a block, one count of which passes to the table. The member that was there
    /// is unlinked.
    ///
    /// # Errors
    /// `None` when the word changed meanwhile.
    #[inline]
    pub(crate) fn claim(
        &self,
        Place(slot): Place<'g, B>,
        block: NonNull<B>,
        tag: Tag,
        claimant: usize,
    ) -> Option<(Claim<'g, B>, Option<Unlinked<'g, B>>)> {
        let claim = slot.claim(block, tag, claimant, self.home)?;
        Some((claim, Occupied::of(slot).map(|displaced| displaced.unlinked())))
    }
}

impl<'g, B> SetRef<'g, B> {
    /// An empty slot of the emptier bucket, of the home on a tie.
    #[inline(always)]
    pub(crate) fn free(&self) -> Option<Place<'g, B>> {
        let (side, slot) = lanes::free_lane(Group::match_empty(self.groups()))?;
        Some(Place(self.table.slot(self.set.buckets[side], slot, Word::EMPTY)))
    }

    /// The first empty slot, home first: where a model wants it.
    #[cfg(any(sessile_loom, sessile_shuttle))]
    pub(crate) fn first_free(&self) -> Option<Place<'g, B>> {
        let table = self.table;
        let mut slots = self.set.positions().map(|position| table.at(position));
        slots.find(|slot| slot.word.is_empty()).map(Place)
    }
}
