//! All slots at once, in the vector registers that every x86-64 processor has.

use crate::raw::lanes::{AGE_SHIFT, LANE_BITS, LANES, Oldest, RANKED_MAX};
use crate::raw::table::Bucket;
use crate::raw::word::{Pattern, STAMP_SHIFT, Stamp, TAG_SHIFT, Tag};
use std::arch::asm;
use std::arch::x86_64::{
    __m128, __m128i, _mm_andnot_si128, _mm_castps_si128, _mm_cmpeq_epi16, _mm_cvtsi128_si32,
    _mm_max_epi16, _mm_movemask_epi8, _mm_or_si128, _mm_packs_epi16, _mm_packs_epi32,
    _mm_set_epi16, _mm_set1_epi16, _mm_setzero_si128, _mm_shuffle_epi32, _mm_shuffle_ps,
    _mm_slli_epi16, _mm_srai_epi32, _mm_srli_epi16, _mm_srli_epi32, _mm_srli_si128, _mm_sub_epi16,
};

// The top sixteen bits of a word are tag and stamp, and nothing but an empty word has none of them
// set.
const _: () = assert!(STAMP_SHIFT == 48 && Tag::BITS == 10 && Stamp::PERIOD == 64);

/// The lanes of slots in a mask for two buckets.
const SLOT_LANES: u32 = 0xFEFE;

/// Tags and stamps of the eight words of a bucket, a lane each.
#[derive(Clone, Copy)]
pub(in crate::raw) struct Group(__m128i);

// SAFETY, for every block below that calls the processor's own instructions and nothing else: they
// belong to SSE2, which every x86-64 processor has, and touch no memory.

impl Group {
    #[inline(always)]
    pub(in crate::raw) fn load<B>(bucket: &Bucket<B>) -> Self {
        // The upper half of each word, four in a register.
        const UPPER: i32 = 0b11_01_11_01;
        let [a, b, c, d] = Self::words(bucket);
        // SAFETY: as above.
        unsafe {
            let first = _mm_castps_si128(_mm_shuffle_ps::<UPPER>(a, b));
            let last = _mm_castps_si128(_mm_shuffle_ps::<UPPER>(c, d));
            // Shifted with their sign they fit in sixteen bits, so that packing changes nothing.
            Self(_mm_packs_epi32(_mm_srai_epi32::<16>(first), _mm_srai_epi32::<16>(last)))
        }
    }

    /// The words of a bucket, two in a register.
    #[inline(always)]
    fn words<B>(bucket: &Bucket<B>) -> [__m128; 4] {
        let (a, b, c, d): (__m128, __m128, __m128, __m128);
        // SAFETY: 1. A bucket is 64 bytes at an address that 64 divides. 2. The loads stand for
        // loads of the eight atomic words, in no particular order. On x86-64 every load is an
        // acquire, and the compiler moves no access to memory across this block, which may read and
        // write any. 3. Each word is read untorn, since processors read an aligned half of such a
        // load at once. Were it torn into halves, the halves would be of words that the slot held,
        // and what is found is loaded again.
        unsafe {
            asm!(
                "movaps {a}, [{line}]",
                "movaps {b}, [{line} + 16]",
                "movaps {c}, [{line} + 32]",
                "movaps {d}, [{line} + 48]",
                line = in(reg) std::ptr::from_ref(bucket),
                a = out(xmm_reg) a,
                b = out(xmm_reg) b,
                c = out(xmm_reg) c,
                d = out(xmm_reg) d,
                options(nostack, preserves_flags)
            );
        }
        [a, b, c, d]
    }

    /// All ones in the lanes whose words have the tag of a pattern.
    #[inline(always)]
    fn tagged(self, pattern: Pattern) -> __m128i {
        const STAMP_BITS: i32 = (TAG_SHIFT - STAMP_SHIFT) as i32;
        // Shifted, not masked: a mask would come from memory. SAFETY: as above.
        unsafe {
            let tags = _mm_srli_epi16::<STAMP_BITS>(self.0);
            _mm_cmpeq_epi16(tags, _mm_set1_epi16((pattern.0 >> TAG_SHIFT) as i16))
        }
    }

    /// All ones in the lanes whose words are empty.
    #[inline(always)]
    fn empties(self) -> __m128i {
        // SAFETY: as above.
        unsafe { _mm_cmpeq_epi16(self.0, _mm_setzero_si128()) }
    }

    /// The lanes of two buckets whose words may fit; all that fit are among them.
    #[inline(always)]
    pub(in crate::raw) fn match_pattern([first, other]: [Self; 2], pattern: Pattern) -> u32 {
        mask(first.tagged(pattern), other.tagged(pattern))
    }

    /// The empty lanes of two buckets.
    #[inline(always)]
    pub(in crate::raw) fn match_empty([first, other]: [Self; 2]) -> u32 {
        mask(first.empties(), other.empties())
    }
}

/// One bit for each lane of two that is all ones and a slot's.
#[inline(always)]
fn mask(first: __m128i, other: __m128i) -> u32 {
    // SAFETY: as above.
    let lanes = unsafe { _mm_movemask_epi8(_mm_packs_epi16(first, other)) };
    lanes as u32 & SLOT_LANES
}

const STAMP_UNUSED: i32 = (u16::BITS - Stamp::PERIOD.ilog2()) as i32;
const AGE_UNUSED: i32 = STAMP_UNUSED - AGE_SHIFT as i32;

/// The search for the oldest word of the buckets that are shown to it, see `lanes::Oldest`.
pub(in crate::raw) struct OldestSearch {
    tick: __m128i,
    /// What distinguishes the lanes of the next bucket.
    places: __m128i,
    oldest: __m128i,
}

impl OldestSearch {
    #[inline(always)]
    pub(in crate::raw) fn new(tick: usize) -> Self {
        const LAST: i16 = ((RANKED_MAX - 1) << LANE_BITS) as i16;
        // SAFETY: as above.
        unsafe {
            Self {
                tick: _mm_set1_epi16(tick.wrapping_add(Stamp::AHEAD_MAX) as i16),
                places: _mm_set_epi16(
                    LAST | 1,
                    LAST | 2,
                    LAST | 3,
                    LAST | 4,
                    LAST | 5,
                    LAST | 6,
                    LAST | 7,
                    LAST,
                ),
                oldest: _mm_setzero_si128(),
            }
        }
    }

    /// Another bucket.
    #[inline(always)]
    pub(in crate::raw) fn see(&mut self, group: Group) {
        // SAFETY: as above.
        unsafe {
            let offsets = _mm_sub_epi16(self.tick, group.0);
            // The bits of a stamp alone, in their place.
            let ages = _mm_srli_epi16::<AGE_UNUSED>(_mm_slli_epi16::<STAMP_UNUSED>(offsets));
            let ages = _mm_or_si128(ages, self.places);
            self.oldest = _mm_max_epi16(self.oldest, _mm_andnot_si128(group.empties(), ages));
            self.places = _mm_sub_epi16(self.places, _mm_set1_epi16(LANES as i16));
        }
    }

    #[inline(always)]
    pub(in crate::raw) fn oldest(&self) -> Oldest {
        // SAFETY: as above.
        let oldest = unsafe {
            // All lanes but the first, which is the publication word's.
            let slots = _mm_srli_si128::<2>(self.oldest);
            let halves = _mm_max_epi16(slots, _mm_shuffle_epi32::<0b01_00_11_10>(slots));
            let quarters = _mm_max_epi16(halves, _mm_shuffle_epi32::<0b10_11_00_01>(halves));
            _mm_cvtsi128_si32(_mm_max_epi16(quarters, _mm_srli_epi32::<16>(quarters)))
        };
        Oldest(oldest as u32 & 0xFFFF)
    }
}
