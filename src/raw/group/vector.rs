//! All slots at once, in the vector registers that every x86-64 processor has.

use crate::raw::lanes::{AGE_SHIFT, LANE_BITS, LANES, Oldest, RANKED_MAX};
use crate::raw::table::Bucket;
use crate::raw::word::{Pattern, STAMP_SHIFT, STATE, STATE_MEMBER, Stamp, TAG_SHIFT, Tag};
use std::arch::asm;
use std::arch::x86_64::{
    __m128i, _mm_and_si128, _mm_andnot_si128, _mm_castps_si128, _mm_castsi128_ps, _mm_cmpeq_epi16,
    _mm_cvtsi128_si32, _mm_max_epi16, _mm_movemask_epi8, _mm_or_si128, _mm_packs_epi16,
    _mm_packs_epi32, _mm_set_epi16, _mm_set1_epi16, _mm_set1_epi32, _mm_setzero_si128,
    _mm_shuffle_epi32, _mm_shuffle_ps, _mm_slli_epi16, _mm_srai_epi32, _mm_srli_epi16,
    _mm_srli_epi32, _mm_sub_epi16,
};

// The top sixteen bits of a word are tag and stamp, and nothing but an empty word has none of them
// set.
const _: () =
    assert!(STAMP_SHIFT == 48 && Tag::BITS == 10 && Stamp::PERIOD == 64 && STATE_MEMBER == 0);

/// The lanes of slots in a mask for two buckets.
const SLOT_LANES: u32 = 0xFEFE;

/// The eight words of a bucket, two in a register.
#[derive(Clone, Copy)]
pub(in crate::raw) struct Group([__m128i; 4]);

// SAFETY, for every block below that calls the processor's own instructions and nothing else: they
// belong to SSE2, which every x86-64 processor has, and touch no memory.

impl Group {
    #[inline(always)]
    pub(in crate::raw) fn load<B>(bucket: &Bucket<B>) -> Self {
        let (a, b, c, d): (__m128i, __m128i, __m128i, __m128i);
        // SAFETY: 1. A bucket is 64 bytes at an address that 64 divides. 2. The loads stand for
        // loads of the eight atomic words, in no particular order. On x86-64 every load is an
        // acquire, and the compiler moves no access to memory across this block, which may read and
        // write any. 3. Each word is read untorn, since processors read an aligned half of such a
        // load at once. Were it torn into halves, the halves would be of words that the slot held,
        // and what is found is loaded again.
        unsafe {
            asm!(
                "movdqa {a}, [{line}]",
                "movdqa {b}, [{line} + 16]",
                "movdqa {c}, [{line} + 32]",
                "movdqa {d}, [{line} + 48]",
                line = in(reg) std::ptr::from_ref(bucket),
                a = out(xmm_reg) a,
                b = out(xmm_reg) b,
                c = out(xmm_reg) c,
                d = out(xmm_reg) d,
                options(nostack, preserves_flags)
            );
        }
        Self([a, b, c, d])
    }

    /// One half of each word, four in a register: those that `PICK` picks from two registers, as
    /// the instruction has it.
    #[inline(always)]
    fn halves<const PICK: i32>(self) -> [__m128i; 2] {
        // SAFETY: as above.
        let [a, b, c, d] = self.0.map(|words| unsafe { _mm_castsi128_ps(words) });
        // SAFETY: as above.
        let pick = |one, next| unsafe { _mm_castps_si128(_mm_shuffle_ps::<PICK>(one, next)) };
        [pick(a, b), pick(c, d)]
    }

    /// Tags and stamps, a lane each.
    #[inline(always)]
    fn tops(self) -> __m128i {
        let [first, last] = self.halves::<0b11_01_11_01>();
        // SAFETY: as above.
        unsafe {
            // Shifted with their sign they fit in sixteen bits, so that packing changes nothing.
            _mm_packs_epi32(_mm_srai_epi32::<16>(first), _mm_srai_epi32::<16>(last))
        }
    }

    /// The state bits, a lane each.
    #[inline(always)]
    fn states(self) -> __m128i {
        let [first, last] = self.halves::<0b10_00_10_00>();
        // SAFETY: as above.
        unsafe {
            let state = _mm_set1_epi32(STATE as i32);
            _mm_packs_epi32(_mm_and_si128(first, state), _mm_and_si128(last, state))
        }
    }

    /// All ones in the lanes whose words have the tag of a pattern.
    #[inline(always)]
    fn tagged(self, pattern: Pattern) -> __m128i {
        const STAMP_BITS: i32 = (TAG_SHIFT - STAMP_SHIFT) as i32;
        // Shifted, not masked: a mask would come from memory. SAFETY: as above.
        unsafe {
            let tags = _mm_srli_epi16::<STAMP_BITS>(self.tops());
            _mm_cmpeq_epi16(tags, _mm_set1_epi16((pattern.0 >> TAG_SHIFT) as i16))
        }
    }

    /// All ones in the lanes whose words are empty.
    #[inline(always)]
    fn empties(self) -> __m128i {
        // SAFETY: as above.
        unsafe { _mm_cmpeq_epi16(self.tops(), _mm_setzero_si128()) }
    }

    /// All ones in the lanes whose words are members.
    #[inline(always)]
    fn members(self) -> __m128i {
        // SAFETY: as above.
        unsafe {
            let in_state = _mm_cmpeq_epi16(self.states(), _mm_setzero_si128());
            _mm_andnot_si128(self.empties(), in_state)
        }
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

/// The search for the oldest member of the buckets that are shown to it.
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
    pub(in crate::raw) fn see(&mut self, look: Group) {
        // SAFETY: as above.
        unsafe {
            let offsets = _mm_sub_epi16(self.tick, look.tops());
            let offsets = _mm_and_si128(offsets, _mm_set1_epi16(Stamp::PERIOD as i16 - 1));
            let ages = _mm_or_si128(_mm_slli_epi16::<{ AGE_SHIFT as i32 }>(offsets), self.places);
            self.oldest = _mm_max_epi16(self.oldest, _mm_and_si128(ages, look.members()));
            self.places = _mm_sub_epi16(self.places, _mm_set1_epi16(LANES as i16));
        }
    }

    #[inline(always)]
    pub(in crate::raw) fn oldest(&self) -> Oldest {
        // SAFETY: as above.
        let oldest = unsafe {
            let slots = _mm_and_si128(self.oldest, _mm_set_epi16(-1, -1, -1, -1, -1, -1, -1, 0));
            let halves = _mm_max_epi16(slots, _mm_shuffle_epi32::<0b01_00_11_10>(slots));
            let quarters = _mm_max_epi16(halves, _mm_shuffle_epi32::<0b10_11_00_01>(halves));
            _mm_cvtsi128_si32(_mm_max_epi16(quarters, _mm_srli_epi32::<16>(quarters)))
        };
        Oldest(oldest as u32 & 0xFFFF)
    }
}
