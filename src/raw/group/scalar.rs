//! One slot after another.
#![forbid(unsafe_code)]

use crate::raw::lanes::{AGE_SHIFT, LANE_BITS, LANES, Oldest, RANKED_MAX};
use crate::raw::table::{Bucket, SLOTS};
use crate::raw::word::{Pattern, Word};
use std::array;

/// What the slots of a bucket hold.
#[derive(Clone, Copy)]
pub(in crate::raw) struct Group([Word<()>; SLOTS]);

impl Group {
    #[inline]
    pub(in crate::raw) fn load<B>(bucket: &Bucket<B>) -> Self {
        Self(array::from_fn(|slot| Word::from_raw(bucket.load(slot).raw().cast())))
    }

    fn mask(&self, fits: impl Fn(Word<()>) -> bool) -> u32 {
        self.0.iter().rev().fold(0, |mask, &word| (mask + u32::from(fits(word))) << 1)
    }

    /// The lanes of two buckets whose words may fit; all that fit are among them.
    #[inline]
    pub(in crate::raw) fn match_pattern([first, other]: [Self; 2], pattern: Pattern) -> u32 {
        let fits = |word: Word<()>| word.fits(pattern);
        first.mask(fits) | other.mask(fits) << LANES
    }

    /// The empty lanes of two buckets.
    #[inline]
    pub(in crate::raw) fn match_empty([first, other]: [Self; 2]) -> u32 {
        first.mask(Word::is_empty) | other.mask(Word::is_empty) << LANES
    }
}

/// The search for the oldest word of the buckets that are shown to it, see `lanes::Oldest`.
pub(in crate::raw) struct OldestSearch {
    tick: usize,
    seen: usize,
    oldest: Oldest,
}

impl OldestSearch {
    pub(in crate::raw) fn new(tick: usize) -> Self {
        Self { tick, seen: 0, oldest: Oldest(0) }
    }

    /// Another bucket.
    pub(in crate::raw) fn see(&mut self, group: Group) {
        for (slot, word) in group.0.into_iter().enumerate().filter(|(_, word)| !word.is_empty()) {
            let age = word.stamp().offset(self.tick) as u32;
            self.oldest = self.oldest.max(Oldest(age << AGE_SHIFT | place(self.seen, slot)));
        }
        self.seen += 1;
    }

    pub(in crate::raw) fn oldest(&self) -> Oldest {
        self.oldest
    }
}

/// What tells a slot of a bucket from the other slots and buckets of one age: more for those that
/// were seen sooner.
fn place(nth: usize, slot: usize) -> u32 {
    ((RANKED_MAX - 1 - nth) << LANE_BITS | (LANES - 1 - slot)) as u32
}
