//! The slot word: one pointer-sized word that says all about a slot.
//!
//! ```text
//!   63      54 53    48 47                                    4 3   2   1 0
//!  +----------+--------+---------------------------------------+-----+-----+
//!  |   tag    | stamp  |  address of the block (16-aligned)    | n t |state|   MEMBER, SHADOW
//!  |  claimant|version |  address of the block                 | ver |  1  |   CLAIM
//!  |    1     |   0    |  address of the block                 |  0  |  2  |   MOVED
//!  |    0     |   0    |  0                                    |  0  |  0  |   EMPTY
//!  +----------+--------+---------------------------------------+-----+-----+
//! ```
//!
//! `n` is unused, `t` says that a member was used since it was stored.
//!
//! The topmost ten bits are zero in EMPTY alone. Everything but the address is put beside it with
//! `map_addr`, so the word keeps the pointer's provenance; an address is taken out by masking
//! before it is dereferenced.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

#[cfg(not(target_pointer_width = "64"))]
compile_error!("sessile packs a tag and an age beside a 48-bit address: it needs 64-bit pointers");

/// A hash fragment kept beside the address, so that most other keys are told apart without a look
/// at the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(usize);

impl Tag {
    pub(crate) const BITS: u32 = 10;

    /// Mixes both halves, of which the bucket choices use mostly the high bits. Never zero, which
    /// is what EMPTY shows.
    #[inline]
    pub(crate) fn of_hash(hash: u64) -> Self {
        Self(((hash ^ (hash >> 32)) as usize & ((1 << Self::BITS) - 1)).max(1))
    }
}

/// What sets one claim apart from every other: the claimant's number and the version it wants to
/// publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nonce {
    pub(crate) claimant: u16,
    pub(crate) version: u16,
}

impl Nonce {
    pub(crate) const CLAIMANT_BITS: u32 = 10;
    /// Bits of the version that a claim carries. A stale helper is fooled only by the same block in
    /// the same slot claimed by the same thread this power of two of publications later, all within
    /// one of its guards.
    pub(crate) const VERSION_BITS: u32 = 8;

    pub(crate) fn new(claimant: usize, version: u64) -> Self {
        debug_assert!((1..1 << Self::CLAIMANT_BITS).contains(&claimant));
        Self {
            claimant: claimant as u16,
            version: (version & ((1 << Self::VERSION_BITS) - 1)) as u16,
        }
    }
}

/// The age of a member: the tick in which it was stored or last used, modulo [`Stamp::PERIOD`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(u8);

impl Stamp {
    const BITS: u32 = 6;
    /// Ages repeat after this many ticks.
    pub(crate) const PERIOD: usize = 1 << Self::BITS;
    /// A stamp this many ticks in the future is taken for a present one.
    pub(crate) const AHEAD_MAX: usize = 6;

    #[inline]
    pub(crate) fn of_tick(tick: usize) -> Self {
        Self((tick % Self::PERIOD) as u8)
    }

    /// Ticks since the stamp, modulo the period.
    #[inline]
    pub(crate) fn age(self, tick: usize) -> usize {
        Self::age_of(self.offset(tick))
    }

    /// Ticks since the stamp, plus those that a stamp may be ahead: an order of ages that takes no
    /// branch.
    #[inline(always)]
    pub(super) fn offset(self, tick: usize) -> usize {
        (tick + Self::AHEAD_MAX).wrapping_sub(usize::from(self.0)) % Self::PERIOD
    }

    /// The age behind an offset. What a thread stamped that is a few ticks ahead of this one is of
    /// the present.
    #[inline]
    pub(super) fn age_of(offset: usize) -> usize {
        offset.saturating_sub(Self::AHEAD_MAX)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    Member,
    Claim,
    Moved,
    Shadow,
}

/// The tag and state bits of the words that a search stops at. One exclusive or and one mask tell.
#[derive(Clone, Copy)]
pub(crate) struct Pattern(pub(super) usize);

impl Pattern {
    const MASK: usize = (((1 << Tag::BITS) - 1) << TAG_SHIFT) | STATE;

    #[inline]
    pub(crate) fn member(tag: Tag) -> Self {
        Self(tag.0 << TAG_SHIFT | STATE_MEMBER)
    }

    #[inline]
    pub(crate) fn shadow(tag: Tag) -> Self {
        Self(tag.0 << TAG_SHIFT | STATE_SHADOW)
    }
}

/// The value of a slot.
pub(crate) struct Word<B> {
    raw: *mut B,
    block: PhantomData<NonNull<B>>,
}

const STATE: usize = 0b11;
const STATE_MEMBER: usize = 0b00;
const STATE_CLAIM: usize = 0b01;
const STATE_MOVED: usize = 0b10;
const STATE_SHADOW: usize = 0b11;
const TOUCHED: usize = 0b100;
const LOW: usize = 0b1111;
const ADDRESS_BITS: u32 = 48;
const ADDRESS: usize = ((1 << ADDRESS_BITS) - 1) & !LOW;
pub(super) const STAMP_SHIFT: u32 = ADDRESS_BITS;
pub(super) const TAG_SHIFT: u32 = STAMP_SHIFT + Stamp::BITS;

const _: () = assert!(TAG_SHIFT + Tag::BITS == usize::BITS);
const _: () = assert!(Nonce::CLAIMANT_BITS == Tag::BITS);
const _: () = assert!(Nonce::VERSION_BITS == Stamp::BITS + 2);

impl<B> Clone for Word<B> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Word<B> {}

impl<B> PartialEq for Word<B> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.raw.addr() == other.raw.addr()
    }
}

impl<B> Word<B> {
    pub(crate) const EMPTY: Self = Self { raw: ptr::null_mut(), block: PhantomData };

    const ALIGNED: () = assert!(align_of::<B>() > LOW || cfg!(test));

    #[inline]
    pub(super) fn from_raw(raw: *mut B) -> Self {
        Self { raw, block: PhantomData }
    }

    #[inline]
    pub(super) fn raw(self) -> *mut B {
        self.raw
    }

    #[inline]
    fn compose(block: NonNull<B>, bits: usize) -> Self {
        () = Self::ALIGNED;
        debug_assert!(Self::can_hold(block));
        Self::from_raw(block.as_ptr().map_addr(|address| address | bits))
    }

    /// Whether the address leaves the bits free that the word needs. It does for every address that
    /// Linux, Windows and macOS hand out unasked on x86-64 and AArch64.
    #[inline]
    pub(super) fn can_hold(block: NonNull<B>) -> bool {
        block.addr().get() & !ADDRESS == 0
    }

    #[inline]
    pub(crate) fn member(block: NonNull<B>, tag: Tag, stamp: Stamp) -> Self {
        Self::compose(
            block,
            (tag.0 << TAG_SHIFT) | (usize::from(stamp.0) << STAMP_SHIFT) | STATE_MEMBER,
        )
    }

    #[inline]
    pub(crate) fn claim(block: NonNull<B>, nonce: Nonce) -> Self {
        let version = usize::from(nonce.version);
        let high = (usize::from(nonce.claimant) << TAG_SHIFT) | ((version >> 2) << STAMP_SHIFT);
        Self::compose(block, high | ((version & 0b11) << 2) | STATE_CLAIM)
    }

    #[inline]
    pub(crate) fn moved(block: NonNull<B>) -> Self {
        Self::compose(block, 1 << TAG_SHIFT | STATE_MOVED)
    }

    /// The shadow of a member: same block, tag and stamp.
    #[inline]
    pub(crate) fn to_shadow(self) -> Self {
        self.with_state(STATE_SHADOW)
    }

    /// The member behind a shadow.
    #[inline]
    pub(crate) fn to_member(self) -> Self {
        self.with_state(STATE_MEMBER)
    }

    #[inline]
    fn with_state(self, state: usize) -> Self {
        Self::from_raw(self.raw.map_addr(|bits| (bits & !STATE) | state))
    }

    #[inline]
    pub(crate) fn state(self) -> State {
        let bits = self.raw.addr();
        match bits & STATE {
            STATE_MEMBER if bits == 0 => State::Empty,
            STATE_MEMBER => State::Member,
            STATE_CLAIM => State::Claim,
            STATE_MOVED => State::Moved,
            _ => State::Shadow,
        }
    }

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.raw.is_null()
    }

    #[inline]
    pub(crate) fn is_member(self) -> bool {
        (self.raw.addr() & STATE == STATE_MEMBER) & !self.is_empty()
    }

    /// Whether tag and state are those of the pattern: worth a look at the block.
    #[inline]
    pub(crate) fn fits(self, pattern: Pattern) -> bool {
        (self.raw.addr() ^ pattern.0) & Pattern::MASK == 0
    }

    /// Whether this is the claim that `nonce` names.
    #[inline]
    pub(crate) fn is_claim(self, nonce: Nonce) -> bool {
        let bits = self.raw.addr();
        let version = (((bits >> STAMP_SHIFT) & (Stamp::PERIOD - 1)) << 2) | ((bits >> 2) & 0b11);
        bits & STATE == STATE_CLAIM
            && bits >> TAG_SHIFT == usize::from(nonce.claimant)
            && version == usize::from(nonce.version)
    }

    #[inline]
    pub(crate) fn address(self) -> Option<NonNull<B>> {
        NonNull::new(self.raw.map_addr(|bits| bits & ADDRESS))
    }

    #[inline]
    pub(crate) fn holds(self, block: NonNull<B>) -> bool {
        self.raw.addr() & ADDRESS == block.addr().get()
    }

    #[inline]
    pub(crate) fn stamp(self) -> Stamp {
        Stamp(((self.raw.addr() >> STAMP_SHIFT) & (Stamp::PERIOD - 1)) as u8)
    }

    /// Whether the member was used since it was stored.
    #[inline]
    pub(crate) fn is_touched(self) -> bool {
        self.raw.addr() & TOUCHED != 0
    }

    /// The member after a use in the tick of `stamp`.
    #[inline]
    pub(crate) fn touched(self, stamp: Stamp) -> Self {
        let aged = self.restamped(stamp);
        Self::from_raw(aged.raw.map_addr(|bits| bits | TOUCHED))
    }

    /// A member with the same tag, of another block with the same key.
    #[inline]
    pub(super) fn succeeded_by(self, block: NonNull<B>, stamp: Stamp) -> Self {
        let tag = self.raw.addr() >> TAG_SHIFT;
        Self::member(block, Tag(tag), stamp)
    }

    /// The member with another age.
    #[inline]
    pub(crate) fn restamped(self, stamp: Stamp) -> Self {
        let mask = (Stamp::PERIOD - 1) << STAMP_SHIFT;
        Self::from_raw(
            self.raw.map_addr(|bits| (bits & !mask) | (usize::from(stamp.0) << STAMP_SHIFT)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(16))]
    struct Block;

    #[test]
    fn a_long_address_cannot_be_held() {
        let held = |address: usize| {
            let block = std::ptr::without_provenance_mut::<Block>(address);
            Word::can_hold(NonNull::new(block).expect("an address"))
        };
        assert!(held(16) && held(ADDRESS));
        assert!(!held(ADDRESS + 16) && !held(1 << 56));
    }

    #[test]
    fn parts_do_not_disturb_each_other() {
        let mut block = Block;
        let address = NonNull::from(&mut block);
        for tick in 0..Stamp::PERIOD {
            for tag in [1, 2, 511, 1023] {
                let word = Word::member(address, Tag(tag), Stamp::of_tick(tick));
                assert_eq!(word.state(), State::Member);
                assert_eq!(word.stamp(), Stamp::of_tick(tick));
                assert_eq!(word.address(), Some(address));
                assert!(!word.is_touched() && word.touched(Stamp::of_tick(3)).is_touched());
                assert_eq!(word.touched(Stamp::of_tick(3)).stamp(), Stamp::of_tick(3));
                assert!(
                    word.touched(Stamp::of_tick(3)).succeeded_by(address, word.stamp()) == word
                );
                assert_eq!(word.to_shadow().state(), State::Shadow);
                assert!(word.to_shadow().to_member() == word);
                assert!(
                    word.fits(Pattern::member(Tag(tag)))
                        && !word.fits(Pattern::member(Tag(tag ^ 4)))
                );
                assert!(
                    word.to_shadow().fits(Pattern::shadow(Tag(tag)))
                        && !word.fits(Pattern::shadow(Tag(tag)))
                );
                assert!(!Word::<Block>::EMPTY.fits(Pattern::member(Tag(tag))));
            }
        }
        for version in 0..1u64 << Nonce::VERSION_BITS {
            let nonce = Nonce::new(987, version);
            let word = Word::claim(address, nonce);
            assert!(word.is_claim(nonce) && word.state() == State::Claim && word.holds(address));
            assert!(
                !word.is_claim(Nonce::new(986, version))
                    && !word.is_claim(Nonce::new(987, version + 1))
            );
        }
        assert_eq!(Word::moved(address).state(), State::Moved);
        assert_eq!(Word::<Block>::EMPTY.state(), State::Empty);
    }

    /// What is stored is told from an empty slot by its tag.
    #[test]
    fn there_is_no_tag_of_zero() {
        for hash in [0, 1 << Tag::BITS, 5 << 32 | 5] {
            assert_ne!(Tag::of_hash(hash), Tag(0));
        }
    }

    #[test]
    fn ages_wrap() {
        assert_eq!(Stamp::of_tick(70).age(72), 2);
        assert_eq!(Stamp::of_tick(62).age(66), 4);
        assert_eq!(Stamp::of_tick(5).age(5 + 50), 50);
        assert_eq!(Stamp::of_tick(7).age(5), 0);
    }
}
