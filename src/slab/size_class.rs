//! The sizes of blocks.
#![forbid(unsafe_code)]

use crate::memory::LINE;
use crate::sync::MODELLED;
use std::num::NonZeroU8;

/// A size of blocks: each number of lines up to 16, then four sizes between powers of two, up to
/// 256 lines. Counted from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SizeClass(NonZeroU8);

/// Up to so many lines each number has a class.
const EACH: usize = 16;
/// Lines of the largest class.
const LINES_MAX: usize = 256;

/// Blocks of a magazine, at most.
const MAGAZINE_MAX: usize = if MODELLED { 2 } else { 64 };
/// Bytes of them.
const MAGAZINE_BYTES: usize = 32 << 10;
/// One in so many blocks of a magazine goes to a depot or comes from there at a time. Each of these
/// is read or written, and has left the processor's caches since it was freed.
const BATCH_PART: usize = 8;
/// Blocks of a batch, at most.
pub(super) const BATCH_MAX: usize = MAGAZINE_MAX.div_ceil(BATCH_PART);

impl SizeClass {
    /// How many there are.
    pub(super) const COUNT: usize = 32;

    /// The least class of blocks of `size` bytes; `None` if no class has so large ones.
    pub(crate) const fn for_size(size: usize) -> Option<Self> {
        let lines = size.div_ceil(LINE);
        if lines > LINES_MAX {
            return None;
        }
        let number = if lines <= EACH {
            lines
        } else {
            let power = (lines - 1).ilog2() as usize;
            let quarter = ((lines - 1) >> (power - 2)) & 3;
            EACH + (power - EACH.ilog2() as usize) * 4 + quarter + 1
        };
        match NonZeroU8::new(number as u8) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// From 0 on.
    #[inline]
    pub(super) const fn index(self) -> usize {
        (self.0.get() as usize - 1) % Self::COUNT
    }

    /// Bytes of a block.
    #[inline]
    pub(crate) const fn bytes(self) -> usize {
        let number = self.0.get() as usize;
        if number <= EACH {
            return number * LINE;
        }
        let (power, quarter) = ((number - EACH - 1) / 4 + 4, (number - EACH - 1) % 4);
        ((5 + quarter) << (power - 2)) * LINE
    }

    /// Blocks that a magazine keeps.
    #[inline]
    pub(super) const fn magazine(self) -> usize {
        let count = MAGAZINE_BYTES / self.bytes();
        if count < MAGAZINE_MAX { count } else { MAGAZINE_MAX }
    }

    /// Blocks that go between a depot and a magazine together.
    #[inline]
    pub(super) const fn batch(self) -> usize {
        self.magazine().div_ceil(BATCH_PART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_the_least_that_fits() {
        let mut before = 0;
        for number in 1..=SizeClass::COUNT {
            let class = SizeClass(NonZeroU8::new(number as u8).unwrap());
            let bytes = class.bytes();
            assert!(bytes > before && bytes % LINE == 0, "{bytes} after {before}");
            for size in [before + 1, bytes - 1, bytes] {
                assert_eq!(SizeClass::for_size(size), Some(class), "{size}");
            }
            // At most a quarter is wasted where the sizes are far apart.
            assert!(number <= EACH || (bytes - before) * 4 <= bytes);
            assert!((1..=BATCH_MAX).contains(&class.batch()));
            assert!(class.magazine() > class.batch());
            assert_eq!(class.index(), number - 1);
            before = bytes;
        }
        assert_eq!(SizeClass::for_size(before + 1), None);
    }
}
