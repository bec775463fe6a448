//! Lanes: the words of a bucket by number, as masks and ranks name them.
#![forbid(unsafe_code)]

use super::table::SLOTS;
use super::word::Stamp;

/// Lanes of a bucket, the publication word included.
pub(super) const LANES: usize = 8;

const _: () = assert!(SLOTS < LANES);

/// Bits of a number that tells lanes apart.
pub(super) const LANE_BITS: u32 = LANES.trailing_zeros();

/// The slot of a lane; behind the last slot for the publication word.
#[inline(always)]
pub(super) fn slot_of(lane: usize) -> usize {
    lane.wrapping_sub(1)
}

/// Buckets that one ranking can tell apart.
pub(super) const RANKED_MAX: usize = 8;

/// The oldest word of some buckets, as it was seen: a member's or, seldom, one whose age means
/// nothing. One number, of which a larger one is older: the age in ticks, then the bucket and the
/// lane, counted from behind so that of several with one age the first counts. Zero for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Oldest(pub(super) u32);

const BUCKET_BITS: u32 = RANKED_MAX.trailing_zeros();
pub(super) const AGE_SHIFT: u32 = LANE_BITS + BUCKET_BITS;

impl Oldest {
    /// `None` for nobody.
    #[inline(always)]
    pub(super) fn is_somebody(self) -> bool {
        self.0 != 0
    }

    /// Where among the buckets that were ranked.
    #[inline(always)]
    pub(super) fn nth(self) -> usize {
        RANKED_MAX - 1 - (self.0 >> LANE_BITS) as usize % RANKED_MAX
    }

    #[inline(always)]
    pub(super) fn slot(self) -> usize {
        slot_of(LANES - self.0 as usize % LANES)
    }

    /// In ticks.
    #[inline(always)]
    pub(super) fn age(self) -> usize {
        Stamp::age_of((self.0 >> AGE_SHIFT) as usize)
    }
}

/// An empty slot of the emptier of two buckets, of the first on a tie: which bucket, and the slot.
/// `empties` has the mask of the first bucket's empty lanes, and above it the other's.
#[inline(always)]
pub(super) fn free_lane(empties: u32) -> Option<(usize, usize)> {
    let (first, other) = (empties % (1 << LANES), empties >> LANES);
    let counts = ones_of_bytes(empties);
    let (side, empties) =
        if counts >> LANES > counts % (1 << LANES) { (1, other) } else { (0, first) };
    (empties != 0).then(|| (side, slot_of(empties.trailing_zeros() as usize)))
}

/// The number of ones in each byte of two, in that byte. Processors that count ones need not be at
/// hand.
#[inline(always)]
fn ones_of_bytes(bits: u32) -> u32 {
    let pairs = bits - (bits >> 1 & 0x5555);
    let fours = (pairs & 0x3333) + (pairs >> 2 & 0x3333);
    (fours + (fours >> 4)) & 0x0F0F
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_emptier_bucket_is_chosen() {
        assert_eq!(free_lane(0), None);
        assert_eq!(free_lane(0b0100_0000 << LANES), Some((1, 5)));
        assert_eq!(free_lane(0b0000_0110 | 0b1000_0010 << LANES), Some((0, 0)));
        assert_eq!(free_lane(0b0000_0110 | 0b1010_0100 << LANES), Some((1, 1)));
        assert_eq!(free_lane(0b1111_1110 | 0b1111_1110 << LANES), Some((0, 0)));
    }
}
