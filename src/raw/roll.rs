//! The roll of a bucket: its oldest member and its empty slots, from one pass without a branch.
#![forbid(unsafe_code)]

use super::bucket::{Bucket, SLOTS};
use super::word::Stamp;

/// What one look at every slot of a bucket shows.
#[derive(Clone, Copy)]
pub(crate) struct Roll {
    /// The age of the oldest member, above its slot counted from behind the last: of two with one age the first counts. Zero
    /// if there is none.
    oldest: u32,
    /// The empty slots, one bit each.
    empties: u32,
}

/// A member of a bucket, as a roll names it.
#[derive(Clone, Copy)]
pub(crate) struct Senior {
    pub(crate) slot: usize,
    /// In ticks.
    pub(crate) age: usize,
}

const SLOT_BITS: u32 = usize::BITS - SLOTS.leading_zeros();

impl<B> Bucket<B> {
    #[inline(always)]
    pub(super) fn roll(&self, tick: usize) -> Roll {
        let (mut oldest, mut empties) = (0, 0);
        for slot in (0..SLOTS).rev() {
            let word = self.load(slot);
            oldest = word.seniority(tick, (SLOTS - slot) as u32, SLOT_BITS).max(oldest);
            empties = empties + empties + u32::from(word.is_empty());
        }
        Roll { oldest, empties }
    }
}

impl Roll {
    /// The oldest member, if there is one.
    #[inline(always)]
    pub(crate) fn senior(self) -> Option<Senior> {
        let (offset, from_last) = (self.oldest >> SLOT_BITS, self.oldest & ((1 << SLOT_BITS) - 1));
        let slot = SLOTS.wrapping_sub(from_last as usize);
        (self.oldest > 0).then(|| Senior { slot, age: Stamp::age_of(offset as usize) })
    }

    /// How many slots are empty.
    #[inline]
    pub(crate) fn vacancies(self) -> u32 {
        self.empties.count_ones()
    }

    /// The first empty slot, if there is one.
    #[inline]
    pub(crate) fn vacancy(self) -> Option<usize> {
        (self.empties > 0).then_some(self.empties.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Table;
    use super::super::word::{Tag, Word};
    use super::*;
    use std::ptr::NonNull;

    #[repr(align(16))]
    struct Block;

    #[test]
    fn names_the_oldest_and_the_empty() {
        let mut block = Block;
        let address = NonNull::from(&mut block);
        let member = |tick| Word::member(address, Tag::of_hash(77), Stamp::of_tick(tick));
        let words =
            [member(60), Word::EMPTY, member(5), Word::moved(address), member(5), member(2).to_shadow()];
        let table: Box<Table<Block>> = Table::new(2).unwrap();
        for (slot, word) in words.into_iter().enumerate() {
            table.bucket(0).exchange(slot, Word::EMPTY, word);
        }
        let seniors = |tick| table.bucket(0).roll(tick).senior().map(|senior| (senior.slot, senior.age));
        assert_eq!(seniors(64 + 6), Some((0, 10)));
        assert_eq!(seniors(30), Some((0, 34)));
        assert_eq!(seniors(58), Some((2, 53)));
        let roll = table.bucket(0).roll(9);
        assert_eq!((roll.vacancies(), roll.vacancy()), (2, Some(1)));
        let empty = table.bucket(1).roll(9);
        assert!(empty.senior().is_none() && empty.vacancy() == Some(0));
    }
}
