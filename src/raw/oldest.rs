//! What adds ask of whole buckets, answered in one pass without a branch per slot: who is the oldest, and what is empty.
#![forbid(unsafe_code)]

use super::bucket::{Bucket, SLOTS};
use super::set::Spot;
use super::table::Table;
use super::word::{Stamp, Word};

/// The oldest member of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Oldest {
    pub(crate) slot: usize,
    /// In ticks.
    pub(crate) age: usize,
}

/// Bits of the slot, counted from behind the last, below the age: of two with one age the first counts.
const SLOT_BITS: u32 = usize::BITS - SLOTS.leading_zeros();

impl<B> Bucket<B> {
    #[inline(always)]
    fn oldest(&self, tick: usize) -> Option<Oldest> {
        let seniority = |slot| self.load(slot).seniority(tick, (SLOTS - slot) as u32, SLOT_BITS);
        let oldest = (0..SLOTS).fold(0, |oldest, slot| seniority(slot).max(oldest));
        let (offset, from_behind) = (oldest >> SLOT_BITS, oldest & ((1 << SLOT_BITS) - 1));
        let slot = SLOTS.wrapping_sub(from_behind as usize);
        (oldest > 0).then(|| Oldest { slot, age: Stamp::age_of(offset as usize) })
    }

    /// The empty slots, one bit each.
    #[inline(always)]
    fn empties(&self) -> u32 {
        (0..SLOTS).rev().fold(0, |empties, slot| empties + empties + u32::from(self.load(slot).is_empty()))
    }
}

impl<B> Table<B> {
    /// The oldest member of a bucket, if there is one.
    #[inline]
    pub(crate) fn oldest_in(&self, bucket: usize, tick: usize) -> Option<Oldest> {
        self.bucket(bucket).oldest(tick)
    }

    /// An empty slot of the emptier bucket of a set, of the home on a tie.
    #[inline]
    pub(crate) fn vacancy(&self, hash: u64) -> Option<Spot<'_, B>> {
        let set = self.set_of(hash);
        let [home, other] = self.buckets_in(set).map(Bucket::empties);
        let is_other_emptier = other.count_ones() > home.count_ones();
        let (side, empties) = if is_other_emptier { (1, other) } else { (0, home) };
        let slot = empties.trailing_zeros() as usize;
        (empties != 0).then(|| self.spot(set.buckets[side], slot, Word::EMPTY))
    }
}

#[cfg(test)]
mod tests {
    use super::super::word::Tag;
    use super::*;
    use std::ptr::NonNull;

    #[repr(align(16))]
    struct Block;

    #[test]
    fn names_the_oldest_and_the_empty() {
        let mut block = Block;
        let address = NonNull::from(&mut block);
        let member = |tick| Word::member(address, Tag::of_hash(77), Stamp::of_tick(tick));
        let shadow = member(2).to_shadow();
        let words = [member(60), Word::EMPTY, member(5), Word::moved(address), member(5), shadow];
        let table: Box<Table<Block>> = Table::new(2).unwrap();
        for (slot, word) in words.into_iter().enumerate() {
            table.bucket(0).exchange(slot, Word::EMPTY, word);
        }
        let oldest = |tick| table.oldest_in(0, tick).map(|oldest| (oldest.slot, oldest.age));
        assert_eq!(oldest(64 + 6), Some((0, 10)));
        assert_eq!(oldest(30), Some((0, 34)));
        assert_eq!(oldest(58), Some((2, 53)));
        assert_eq!(table.bucket(0).empties(), 0b100_0010);
        assert_eq!((table.oldest_in(1, 9), table.bucket(1).empties()), (None, 0b111_1111));
        let vacancy = table.vacancy(0).map(|spot| spot.position);
        assert_eq!(vacancy.map(|position| (position.bucket, position.slot)), Some((1, 0)));
    }
}
