//! Migration: emptying one table into another while everything goes on.
//!
//! One thread at a time is the *mover*; nobody waits for it. While it works, or stalls, both tables
//! are in force: lookups read the older one first, a key found in the older table is replaced,
//! taken or removed there, and absent keys are inserted into the newer one (after closing their
//! home in the older one, so that no insertion there is possible). If the newer one fills up before
//! the older one is empty, a third is added in the same way, and so on: sessions move from each
//! table to the next, never back, and tables are read in that order.
//!
//! A session moves in four steps under one guard, of which the second decides:
//!
//! 1. new table: `EMPTY -> SHADOW(X)`. The shadow owns a count of its own, so its block may be
//!    looked at.
//! 2. old table: `MEMBER(X) -> MOVED(X)`. If it fails, X was taken or replaced: step 1 is undone.
//! 3. new table: `SHADOW(X) -> MEMBER(X)`, by the mover or by whoever meets the shadow first.
//! 4. old table: `MOVED(X) -> EMPTY`.
//!
//! A shadow counts as present exactly if the old table says MOVED for its block. Both never count
//! at once, and at no moment neither does. `MOVED` words are compared and never dereferenced. The
//! last step keeps the comparison honest: a MOVED word exists only under the guard of its mover,
//! which is older than any departure of X from the new table, so the block is not freed meanwhile
//! and its address is nobody else's (`INVARIANT(MOVED-ALIVE)`). There are no late copiers: a
//! session is moved by the one mover, and a table that was emptied is never entered again.

use super::entry::finisher;
use super::publish::Finish;
use super::raw_table::RawTable;
use super::set::Probe;
use super::slot::{Occupied, SlotIndex, SlotRef, Unlinked};
use super::table::{SLOTS, Table};
use super::word::{State, Word};
use crate::sync::Ordering;
use std::ptr::NonNull;

/// What a migration asks of the owner of the blocks. Nothing here runs user code.
pub(crate) trait Owner<'g, B> {
    /// A count of a block.
    type Handle;

    fn hash(&self, block: &B) -> u64;

    /// The present tick, by which members are stamped.
    fn tick(&self) -> usize;

    /// The table that members of `table` go on to when their set there is full.
    fn onward(&self, table: &'g Table<B>) -> Option<&'g Table<B>>;

    /// One more count of a member's block.
    fn handle(&self, member: &Occupied<'g, B>) -> Self::Handle;

    /// Gives a count to the table.
    fn give_to_table(&self, handle: Self::Handle);

    /// Gives up a count that was a shadow's.
    fn retire(&self, unlinked: Unlinked<'g, B>);

    /// Evicts a member for which there is no room.
    fn evict(&self, member: &Occupied<'g, B>);

    /// The migration ends: the table that it emptied is about to be unlinked.
    fn ends_migration(&self);

    /// The emptied table was unlinked: `free` is to be called once no guard is left that exists
    /// now.
    fn retire_table(&self, free: impl FnOnce() + Send + 'static);
}

/// The right to move sessions between tables.
pub(crate) struct Mover<'g, B> {
    raw: &'g RawTable<B>,
    /// The table that is to be emptied.
    table: &'g Table<B>,
}

/// What became of a member that the mover looked at.
enum Move<B> {
    /// It is in the new table. The old table's count is the caller's to give up.
    Moved,
    /// It left the old table by other hands, and the shadow is undone. The shadow's count is the
    /// caller's to retire.
    Gone(NonNull<B>),
    /// The set in the new table is full. The member is still in the old one.
    NoRoom,
}

impl<B> Table<B> {
    /// The table after this one: one with so many buckets unless there is one. Any thread may
    /// publish it, also while a mover is at work on an older one, or asleep. `None` when there is
    /// no memory.
    pub(crate) fn succeeded_by(&self, buckets: usize) -> Option<&Self> {
        if self.next().is_none() {
            self.link(Table::new(buckets)?);
        }
        self.next()
    }

    /// Closes up to `limit` homes; true when all are closed. The caller is the mover.
    fn close_some(&self, limit: usize, finish: &impl Finish<B>) -> bool {
        // ORDERING: Relaxed: only the mover reads and writes the cursors; the right to move orders
        // them.
        let start = self.closing.load(Ordering::Relaxed);
        let end = self.len().min(start + limit);
        for bucket in start..end {
            self.close_bucket(bucket, finish);
        }
        self.closing.store(end, Ordering::Relaxed);
        end == self.len()
    }

    /// The next bucket to empty; `None` when all are. The caller is the mover and all homes are
    /// closed.
    fn next_to_move(&self) -> Option<usize> {
        let domain = self.len().next_power_of_two();
        // ORDERING: Relaxed, as in `close_some`.
        let mut nth = self.moving.load(Ordering::Relaxed);
        while nth < domain {
            let bucket = scatter(nth, domain);
            nth += 1;
            if bucket < self.len() {
                self.moving.store(nth, Ordering::Relaxed);
                return Some(bucket);
            }
        }
        None
    }

    /// The members of a bucket, re-read until none is left to move: `step` must make each one
    /// disappear.
    fn first_member(&self, bucket: usize) -> Option<Occupied<'_, B>> {
        self.members(bucket).next()
    }
}

/// A permutation of `0..domain`, a power of two, without order.
///
/// In their own order, sessions of neighbouring buckets would arrive together and find the emptier
/// of their two new buckets ahead of them, until the last ones find none: simulated, 22 of 10 000
/// sessions are then left over, in steps of the golden section 5, in random order 1.
fn scatter(nth: usize, domain: usize) -> usize {
    const ODD: usize = 0x9E37_79B9_7F4A_7C15;
    let mask = domain - 1;
    let half = domain.trailing_zeros() / 2 + 1;
    let mix = |x: usize| {
        let x = x.wrapping_mul(ODD) & mask;
        x ^ (x >> half)
    };
    mix(mix(mix(nth)))
}

impl<B> SlotRef<'_, B> {
    /// Moves a member of the old table to `to`, where its set is that of `probe`. The shadow takes
    /// over one count of the block, which the caller raised for it; with [`Move::NoRoom`] the count
    /// is still the caller's.
    fn move_to(&self, to: &Table<B>, probe: &Probe) -> Option<Move<B>> {
        let block = self.block()?;
        let Some(shadow) = to.place_shadow(probe, self.word.to_shadow()) else {
            return Some(Move::NoRoom);
        };
        // LINEARIZE: nothing: the session is present before and after.
        let moved = Word::moved(block);
        if self.exchange(moved) {
            // A helper may have promoted it, and others may have unlinked it since.
            shadow.exchange(shadow.word.to_member());
            let cleared = Self { word: moved, ..*self }.exchange(Word::EMPTY);
            debug_assert!(cleared, "a MOVED word belongs to the mover");
            return Some(Move::Moved);
        }
        // The word never said MOVED for this block, so nobody took the shadow for a member.
        let undone = shadow.exchange(Word::EMPTY);
        debug_assert!(undone, "a shadow that is not valid belongs to the mover");
        undone.then_some(Move::Gone(block))
    }
}

impl<B> Table<B> {
    /// Puts a shadow into the emptier bucket of the set.
    fn place_shadow(&self, probe: &Probe, shadow: Word<B>) -> Option<SlotRef<'_, B>> {
        let [home, other] = self.set_of(probe).buckets;
        let used = |bucket| self.bucket_slots(bucket).filter(|spot| !spot.word.is_empty()).count();
        let order = if used(other) < used(home) { [other, home] } else { [home, other] };
        let mut slots = order
            .into_iter()
            .flat_map(|bucket| (0..SLOTS).map(move |slot| SlotIndex { bucket, slot }));
        slots.find_map(|position| {
            let spot = self.at(position);
            let placed = spot.word.state() == State::Empty && spot.exchange(shadow);
            placed.then_some(SlotRef { word: shadow, ..spot })
        })
    }
}

impl<'g, B> Occupied<'g, B> {
    /// Moves the member to the new table, or evicts it, or evicts another for it.
    fn relocate(&self, newer: &'g Table<B>, owner: &impl Owner<'g, B>) {
        let probe = newer.probe(owner.hash(self.block()));
        let count = owner.handle(self);
        match self.0.move_to(newer, &probe) {
            // The shadow owns a count and the old member's is given up: one of the two goes at
            // once. It is not the last: the new member's is given up through `retire`, not before
            // this guard is gone.
            Some(Move::Moved) => drop(count),
            Some(Move::Gone(block)) => {
                owner.give_to_table(count);
                // The shadow's count; a reader may have met the shadow.
                owner.retire(Unlinked::new(block));
            }
            // Nothing that is known to happen: the count stays with the shadow, which somebody
            // took for a member.
            None => owner.give_to_table(count),
            Some(Move::NoRoom) => {
                // The count was never in the table.
                drop(count);
                self.make_room(newer, &probe, owner);
            }
        }
    }

    /// The set in the new table is full: one of its members moves on, if there is a newer table or
    /// no bound, or the oldest of them and the one that wants in goes.
    fn make_room(&self, newer: &'g Table<B>, probe: &Probe, owner: &impl Owner<'g, B>) {
        let set = newer.set(probe);
        if let Some(member) = set.members().next() {
            if let Some(next) = owner.onward(newer) {
                return member.relocate(next, owner);
            }
        }
        let tick = owner.tick();
        let age = |one: &Self| one.age(tick);
        let oldest = set.members().max_by_key(age);
        owner.evict(&oldest.filter(|other| age(other) > age(self)).unwrap_or(*self));
    }
}

impl<B> RawTable<B> {
    /// The right to resize, under the guard of `table`. `None` if another thread has it.
    pub(crate) fn try_move<'g>(&'g self, table: &'g Table<B>) -> Option<Mover<'g, B>> {
        // Once the lock is held the oldest table may be another than it was: it is read again.
        self.resize.try_lock().then(|| Mover { raw: self, table: self.oldest_again(table) })
    }
}

impl<B> Drop for Mover<'_, B> {
    fn drop(&mut self) {
        self.raw.resize.unlock();
    }
}

impl<'g, B: 'static> Mover<'g, B> {
    /// Brings the tables one slice closer to the size that is wanted: up to `buckets` buckets. True
    /// as long as there is more to do.
    ///
    /// `successor` is asked for the table to move to if there is none: it gets the buckets of the
    /// present one, and answers `None` if that is the size that is wanted now.
    ///
    /// # Errors
    /// Those of `successor`.
    pub(crate) fn step<E>(
        self,
        buckets: usize,
        successor: impl FnOnce(usize) -> Result<Option<Box<Table<B>>>, E>,
        owner: &impl Owner<'g, B>,
    ) -> Result<bool, E> {
        let Some(newer) = self.table.next() else { return self.begin(successor) };
        let member = |block: &B| (owner.hash(block), owner.tick());
        if self.table.close_some(buckets, &finisher(&member)) {
            self.move_some(buckets, newer, owner);
        }
        Ok(true)
    }

    /// Moves the members of some buckets, and unlinks the table once it is empty.
    fn move_some(&self, buckets: usize, newer: &'g Table<B>, owner: &impl Owner<'g, B>) {
        // An empty bucket counts as a quarter of another.
        let mut left = 4 * buckets;
        while left > 0 {
            let Some(bucket) = self.table.next_to_move() else {
                owner.ends_migration();
                if let Some(emptied) = self.raw.unlink(self.table) {
                    // SAFETY: the table was unlinked, so guards that begin later cannot reach it,
                    // and the owner waits for the others (see `RawTable::oldest`).
                    owner.retire_table(move || unsafe { emptied.free() });
                }
                return;
            };
            left -= 1;
            while let Some(member) = self.table.first_member(bucket) {
                left = left.saturating_sub(3);
                member.relocate(newer, owner);
            }
        }
    }

    fn begin<E>(
        &self,
        successor: impl FnOnce(usize) -> Result<Option<Box<Table<B>>>, E>,
    ) -> Result<bool, E> {
        // Before the size is looked at: whoever wants another size afterwards sets the flag again.
        self.raw.resize.clear();
        let next = successor(self.table.len());
        if !matches!(next, Ok(None)) {
            self.raw.resize.request();
        }
        let next = next?;
        let begins = next.is_some();
        next.into_iter().for_each(|next| self.table.link(next));
        Ok(begins)
    }
}

#[cfg(test)]
mod tests {
    use super::super::word::{Stamp, Tag};
    use super::*;

    #[repr(align(16))]
    struct Block;

    #[test]
    fn a_set_takes_as_many_as_it_has_slots() {
        let Some(table) = Table::new(5) else { panic!("five buckets are a valid size") };
        let shadow =
            Word::member(NonNull::from(&Block), Tag::of_hash(1), Stamp::of_tick(0)).to_shadow();
        for hash in [0, 1 << 63, 3 << 30] {
            let probe = table.probe(hash);
            let placed = (0..).map_while(|_| table.place_shadow(&probe, shadow)).count();
            assert_eq!(placed, 2 * SLOTS);
            let positions = probe.set().positions();
            positions.for_each(|at| assert!(table.at(at).exchange(Word::EMPTY)));
        }
    }

    #[test]
    fn every_bucket_is_visited_once() {
        for domain in [2, 4, 64, 4096] {
            let mut visited: Vec<_> = (0..domain).map(|nth| scatter(nth, domain)).collect();
            visited.sort_unstable();
            assert_eq!(visited, (0..domain).collect::<Vec<_>>());
        }
    }

    /// A session that is added in a home that is open might lie in a bucket that was emptied
    /// already.
    #[test]
    fn nothing_moves_before_every_home_is_closed() {
        let Some(table) = Table::<Block>::new(5) else { panic!("five buckets are a valid size") };
        let finish = |block| Word::member(block, Tag::of_hash(1), Stamp::of_tick(0));
        let is_open =
            |home: u64| table.set(&table.probe((home << 32).div_ceil(5))).settle(&finish).is_some();
        for home in 0..5 {
            assert!(is_open(home));
            assert_eq!(table.close_some(1, &finish), home == 4, "home {home}");
            assert!((0..5).all(|other| is_open(other) == (other > home)));
        }
    }
}
