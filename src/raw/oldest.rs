//! What adds ask of whole buckets, answered in one pass without a branch per slot: who is the oldest, and what is empty.
#![forbid(unsafe_code)]

use super::bucket::{Bucket, SLOTS};
use super::set::{Position, Spot};
use super::table::Table;
use super::word::{Stamp, Word};

/// The oldest member of a bucket, as it was seen. One number, of which a larger one is older: the age in ticks above the slot,
/// counted from behind the last so that of two with one age the first counts. Zero for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Oldest(u32);

const SLOT_BITS: u32 = usize::BITS - SLOTS.leading_zeros();

impl Oldest {
    pub(crate) const NOBODY: Self = Self(0);

    /// Behind the last for nobody.
    #[inline]
    fn slot(self) -> usize {
        SLOTS.wrapping_sub(self.0 as usize & ((1 << SLOT_BITS) - 1))
    }

    /// In ticks.
    #[inline]
    pub(crate) fn age(self) -> usize {
        Stamp::age_of((self.0 >> SLOT_BITS) as usize)
    }
}

impl<B> Bucket<B> {
    #[inline(always)]
    fn oldest(&self, tick: usize) -> Oldest {
        let seniority = |slot| self.load(slot).seniority(tick, (SLOTS - slot) as u32, SLOT_BITS);
        Oldest((0..SLOTS).fold(0, |oldest, slot| seniority(slot).max(oldest)))
    }

    /// The empty slots, one bit each.
    #[inline(always)]
    fn empties(&self) -> u32 {
        (0..SLOTS).rev().fold(0, |empties, slot| empties + empties + u32::from(self.load(slot).is_empty()))
    }
}

impl<B> Table<B> {
    #[inline]
    pub(crate) fn oldest_in(&self, bucket: usize, tick: usize) -> Oldest {
        self.bucket(bucket).oldest(tick)
    }

    /// The member that was seen as the oldest of its bucket, unless it has left or was used since.
    #[inline]
    pub(crate) fn still(&self, bucket: usize, oldest: Oldest, tick: usize) -> Option<Spot<'_, B>> {
        let slot = Some(oldest.slot()).filter(|&slot| slot < SLOTS)?;
        let spot = self.at(Position { bucket, slot });
        (spot.word.is_member() && spot.word.stamp().age(tick) == oldest.age()).then_some(spot)
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
        for (slot, &word) in words.iter().enumerate() {
            table.bucket(0).exchange(slot, Word::EMPTY, word);
        }
        let oldest = |tick| (table.oldest_in(0, tick).slot(), table.oldest_in(0, tick).age());
        assert_eq!(oldest(64 + 6), (0, 10));
        assert_eq!(oldest(30), (0, 34));
        assert_eq!(oldest(58), (2, 53));
        let seen = table.oldest_in(0, 58);
        assert!(table.still(0, seen, 58).is_some_and(|spot| spot.word == words[2]));
        table.bucket(0).exchange(2, words[2], words[2].touched(Stamp::of_tick(58)));
        assert!(table.still(0, seen, 58).is_none());
        assert_eq!(table.bucket(0).empties(), 0b100_0010);
        assert_eq!(table.oldest_in(1, 9), Oldest::NOBODY);
        assert_eq!(table.bucket(1).empties(), 0b111_1111);
        let vacancy = table.vacancy(0).map(|spot| spot.position);
        assert_eq!(vacancy.map(|position| (position.bucket, position.slot)), Some((1, 0)));
    }
}
