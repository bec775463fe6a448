//! The entry of a key: occupied, or vacant with the licence to insert. Drives the protocol of
//! [`publish`](super::publish).

use super::group::Group;
use super::lanes;
use super::oldest::Stale;
use super::publish::{Claim, Home};
use super::set::{Probe, SetRef};
use super::slot::{Occupied, SlotRef, Unlinked};
use super::table::Table;
use super::word::{Stamp, Tag, Word};
use std::ptr::NonNull;

/// What is stored under a key, for an insertion.
pub(crate) enum Entry<'g, B> {
    Occupied(Occupied<'g, B>),
    Vacant(Vacant<'g, B>),
    /// Another table is the newest since the tables were read.
    Resized,
}

/// A key that was absent, and the licence to store it: used up by the first insertion of its home.
pub(crate) struct Vacant<'g, B> {
    set: SetRef<'g, B>,
    /// What was in the set when the key was looked for.
    groups: [Group; 2],
    home: Home<'g>,
}

/// A slot in which a key may be stored: an empty one, or that of a member that is displaced.
pub(crate) struct Place<'g, B>(SlotRef<'g, B>);

impl<B> Table<B> {
    /// The entry of a key in the oldest table, while it has no successor. Opens what other threads
    /// have published in its home. `member` gives the hash of a block that another thread inserts,
    /// and the tick.
    #[inline(always)]
    pub(crate) fn entry<'g>(
        &'g self,
        probe: &Probe,
        member: &impl Fn(&B) -> (u64, usize),
        is_key: impl FnMut(&'g B) -> bool,
    ) -> Entry<'g, B> {
        let set = self.set(probe);
        let Some(home) = set.settle(&finisher(member)) else { return Entry::Resized };
        let groups = set.groups();
        match self.find_from(set, groups, probe, is_key) {
            Some(member) => Entry::Occupied(member),
            None => Entry::Vacant(Vacant { set, groups, home }),
        }
    }

    /// [`entry`](Self::entry) in this table and those behind it, during a migration. Closes the
    /// home of the key in the tables that are emptied.
    #[cold]
    pub(crate) fn entry_in_chain<'g>(
        &'g self,
        probe: &Probe,
        member: &impl Fn(&B) -> (u64, usize),
        is_key: impl FnMut(&'g B) -> bool,
    ) -> Entry<'g, B> {
        let newest = self.newest();
        let set = newest.set(probe);
        let Some(home) = set.settle(&finisher(member)) else { return Entry::Resized };
        for older in self.chain().take_while(|table| !std::ptr::eq(*table, newest)) {
            older.close(probe, &finisher(member));
        }
        match self.find(probe, is_key) {
            Some(member) => Entry::Occupied(member),
            None => Entry::Vacant(Vacant { groups: set.groups(), set, home }),
        }
    }

    /// Opens what other threads have published in the home of a key: the first step of
    /// [`entry`](Self::entry) alone.
    #[cfg(any(sessile_loom, sessile_shuttle))]
    pub(crate) fn open_home(&self, probe: &Probe, member: &impl Fn(&B) -> (u64, usize)) {
        self.newest().set(probe).settle(&finisher(member));
    }
}

/// How to open another thread's claim.
#[inline]
pub(super) fn finisher<B>(
    member: &impl Fn(&B) -> (u64, usize),
) -> impl Fn(NonNull<B>) -> Word<B> + '_ {
    |address| {
        // SAFETY: `Table::help` passes the block of a claim that was published: it is stored or
        // will be, so its count is given up after the guard of the helper.
        let (hash, tick) = member(unsafe { address.as_ref() });
        Word::member(address, Tag::of_hash(hash), Stamp::of_tick(tick))
    }
}

impl<B> Clone for Vacant<'_, B> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Vacant<'_, B> {}

impl<'g, B> Vacant<'g, B> {
    /// The table in which the key is to be stored.
    #[inline]
    pub(crate) fn table(self) -> &'g Table<B> {
        self.set.table
    }

    /// The set in which the key is to be stored.
    #[inline]
    pub(crate) fn set(self) -> SetRef<'g, B> {
        self.set
    }

    /// A slot of the emptier bucket, of the home on a tie, that was empty when the key was looked
    /// for.
    #[inline(always)]
    pub(crate) fn free(self) -> Option<Place<'g, B>> {
        self.set.free_of(self.groups)
    }

    /// [`SetRef::oldest`], of the set as it was when the key was looked for.
    #[inline(always)]
    pub(crate) fn oldest(
        self,
        others: &[usize],
        clock: &impl Fn() -> usize,
    ) -> Result<Option<Occupied<'g, B>>, Stale> {
        self.set.oldest_of(self.groups, others, clock)
    }

    /// Inserts a block: one of its counts passes to the table.
    ///
    /// Calls `claimed` once the slot is the insertion's, with the member that was unlinked for it,
    /// and stamps the block with the tick that it returns. `claimant` is the number of a
    /// [`claimant`](super::RawTable::claimant).
    ///
    /// # Errors
    /// `None` when the word or the home changed meanwhile. If `claimed` was called the slot is
    /// empty again.
    #[inline(always)]
    pub(crate) fn insert(
        self,
        place: Place<'g, B>,
        block: NonNull<B>,
        probe: &Probe,
        claimant: usize,
        claimed: impl FnOnce(Option<Unlinked<'g, B>>) -> usize,
    ) -> Option<usize> {
        let (claim, displaced) = self.claim(place, block, probe, claimant)?;
        let tick = claimed(displaced);
        claim.publish(Stamp::of_tick(tick)).then_some(tick)
    }

    /// Claims a slot: the third step.
    #[inline]
    pub(crate) fn claim(
        self,
        Place(slot): Place<'g, B>,
        block: NonNull<B>,
        probe: &Probe,
        claimant: usize,
    ) -> Option<(Claim<'g, B>, Option<Unlinked<'g, B>>)> {
        // LINEARIZE: an eviction, if the slot is a member's.
        let claim = slot.claim(block, probe.tag(), claimant, self.home)?;
        Some((claim, Occupied::of(slot).map(|displaced| displaced.unlinked())))
    }
}

impl<'g, B> From<Occupied<'g, B>> for Place<'g, B> {
    #[inline]
    fn from(victim: Occupied<'g, B>) -> Self {
        Self(victim.0)
    }
}

impl<'g, B> SetRef<'g, B> {
    /// An empty slot of the emptier bucket, of the home on a tie.
    #[inline]
    pub(crate) fn free(self) -> Option<Place<'g, B>> {
        self.free_of(self.groups())
    }

    #[inline(always)]
    fn free_of(self, groups: [Group; 2]) -> Option<Place<'g, B>> {
        let (side, slot) = lanes::free_lane(Group::match_empty(groups))?;
        Some(Place(self.table.slot(self.set.buckets[side], slot, Word::EMPTY)))
    }

    /// The first empty slot, home first: where a model wants it.
    #[cfg(any(sessile_loom, sessile_shuttle))]
    pub(crate) fn first_free(self) -> Option<Place<'g, B>> {
        let table = self.table;
        let mut slots = self.set.positions().map(|position| table.at(position));
        slots.find(|slot| slot.word.is_empty()).map(Place)
    }
}

#[cfg(test)]
mod tests {
    use super::super::slot::SlotIndex;
    use super::*;

    #[repr(align(16))]
    struct Block;

    #[test]
    fn a_free_slot_is_of_the_emptier_bucket() {
        let table: Box<Table<Block>> = Table::new(2).unwrap();
        let block = Word::member(NonNull::from(&Block), Tag::of_hash(77), Stamp::of_tick(0));
        assert!(table.bucket(0).exchange(0, Word::EMPTY, block));
        for home in 0..2 {
            let free = table.set(&table.probe(home << 31)).free().map(|place| place.0.position);
            assert_eq!(free, Some(SlotIndex { bucket: 1, slot: 0 }), "the home is {home}");
        }
    }
}
