//! What the candidates share: words, buckets, the set of a key and the search in it.

use super::Adder;
use crate::sync::{Ordering, Watched};
use std::array;

/// The key of an object.
pub type KeyOf = fn(u64) -> u64;

/// A slot word: two bits of state, 46 of object number, 16 of the key's tag (members) or of a nonce (claims).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(pub u64);

const STATE: u64 = 0b11;
const MEMBER: u64 = 1;
const CLAIM: u64 = 2;
const REFUSED: u64 = 3;

impl Word {
    /// Bits of a nonce.
    pub const NONCE_BITS: u32 = 16;
    const HIGH_SHIFT: u32 = u64::BITS - Self::NONCE_BITS;
    /// No object.
    pub const EMPTY: Self = Self(0);

    /// A visible object.
    #[inline]
    pub fn member(object: u64, key: u64) -> Self {
        Self((key << Self::HIGH_SHIFT) | (object << 2) | MEMBER)
    }

    /// An object that readers ignore.
    #[inline]
    pub fn claim(object: u64, nonce: u64) -> Self {
        Self((nonce << Self::HIGH_SHIFT) | (object << 2) | CLAIM)
    }

    /// A claim that may never become a member.
    pub fn refused(self) -> Self {
        Self(self.0 | REFUSED)
    }

    /// The object of any word but `EMPTY`.
    #[inline]
    pub fn object(self) -> u64 {
        (self.0 << Word::NONCE_BITS) >> (Word::NONCE_BITS + 2)
    }

    /// The nonce of a claim.
    pub fn nonce(self) -> u64 {
        self.0 >> Self::HIGH_SHIFT
    }

    /// Whether the word is a claim that may still become a member.
    #[inline]
    pub fn is_claim(self) -> bool {
        self.0 & STATE == CLAIM
    }

    /// Whether the word is a visible object.
    #[inline]
    pub fn is_member(self) -> bool {
        self.0 & STATE == MEMBER
    }

    #[inline]
    pub(super) fn may_be_member_of(self, key: u64) -> bool {
        (self.0 >> Self::HIGH_SHIFT == key & ((1 << Self::NONCE_BITS) - 1)) & self.is_member()
    }
}

/// A cache line at seven slots.
#[derive(Debug)]
#[repr(align(64))]
pub struct Bucket<const SLOTS: usize> {
    /// Free for the protocol.
    pub head: Watched,
    /// The slots.
    pub slots: [Watched; SLOTS],
}

const _: () = assert!(cfg!(sessile_loom) || size_of::<Bucket<7>>() == 64);

/// A slot of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The bucket's index.
    pub bucket: usize,
    /// The slot in the bucket.
    pub slot: usize,
}

/// A slot and the word seen there.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    /// Where.
    pub at: Position,
    /// What.
    pub word: Word,
}

/// What an adder finds in a set.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    /// The key's member.
    Member(Spot),
    /// No member, and this word, empty or a victim, could give way to one.
    Room(Spot),
    /// No member, and nothing but claims of others.
    Full,
}

/// Buckets, and the key of each object.
#[derive(Debug)]
pub struct Table<const SLOTS: usize> {
    buckets: Box<[Bucket<SLOTS>]>,
    key_of: KeyOf,
}

/// The words of a bucket, and bit masks of those that are interesting.
pub(super) struct Look<const SLOTS: usize> {
    words: [Word; SLOTS],
    pub(super) alike: u32,
    pub(super) claims: u32,
    empty: u32,
    members: u32,
}

impl<const SLOTS: usize> Table<SLOTS> {
    /// An empty table.
    pub fn new(buckets: usize, key_of: KeyOf) -> Self {
        let bucket =
            |_| Bucket { head: Watched::new(0), slots: array::from_fn(|_| Watched::new(Word::EMPTY.0)) };
        Self { buckets: (0..buckets).map(bucket).collect(), key_of }
    }

    /// The bucket with this index.
    #[inline]
    pub fn bucket(&self, index: usize) -> &Bucket<SLOTS> {
        &self.buckets[index]
    }

    /// All buckets.
    pub fn buckets(&self) -> &[Bucket<SLOTS>] {
        &self.buckets
    }

    /// The key of an object.
    #[inline]
    pub fn key_of(&self, object: u64) -> u64 {
        (self.key_of)(object)
    }

    /// The home bucket of a key.
    #[inline]
    pub fn home(&self, key: u64) -> usize {
        self.scale(key >> 32)
    }

    /// The two buckets of a key, home first; they differ.
    #[inline]
    pub fn set(&self, key: u64) -> [usize; 2] {
        let (home, second) = (self.home(key), self.scale(key & u64::from(u32::MAX)));
        let next = if home + 1 == self.buckets.len() { 0 } else { home + 1 };
        [home, if second == home { next } else { second }]
    }

    #[inline]
    fn scale(&self, half: u64) -> usize {
        ((half * self.buckets.len() as u64) >> 32) as usize
    }

    /// What is at a position now.
    #[inline]
    pub fn spot(&self, at: Position) -> Spot {
        Spot { at, word: Word(self.bucket(at.bucket).slots[at.slot].load(Ordering::Acquire)) }
    }

    /// Puts `to` in place of the word seen; false when the slot has changed.
    #[inline]
    pub fn exchange(&self, spot: Spot, to: Word) -> bool {
        let slot = &self.bucket(spot.at.bucket).slots[spot.at.slot];
        let done = slot.exchange(spot.word.0, to.0, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if cfg!(sessile_loom) && done {
            self.assert_unique(&self.members());
        }
        done
    }

    /// Puts a claim in place of the word seen, and notes the victim if it was one.
    #[inline]
    pub fn claim(&self, adder: &mut Adder, room: Spot, object: u64, nonce: u64) -> Option<Spot> {
        let claim = Spot { word: Word::claim(object, nonce), ..room };
        if !self.exchange(room, claim.word) {
            return None;
        }
        if room.word.is_member() {
            adder.evicted.push(room.word.object());
        }
        Some(claim)
    }

    #[inline]
    pub(super) fn look(&self, bucket: usize, key: u64) -> Look<SLOTS> {
        let slots = &self.bucket(bucket).slots;
        let words: [Word; SLOTS] = array::from_fn(|slot| Word(slots[slot].load(Ordering::Acquire)));
        let (mut alike, mut claims, mut empty, mut members) = (0, 0, 0, 0);
        for (slot, word) in words.iter().enumerate() {
            alike |= u32::from(word.may_be_member_of(key)) << slot;
            claims |= u32::from(word.is_claim()) << slot;
            empty |= u32::from(*word == Word::EMPTY) << slot;
            members |= u32::from(word.is_member()) << slot;
        }
        Look { words, alike, claims, empty, members }
    }

    #[inline]
    fn member_in(&self, look: &Look<SLOTS>, bucket: usize, key: u64) -> Option<Spot> {
        let mut alike = look.alike;
        while alike != 0 {
            let slot = alike.trailing_zeros() as usize;
            let word = look.words[slot];
            if self.key_of(word.object()) == key {
                return Some(Spot { at: Position { bucket, slot }, word });
            }
            alike &= alike - 1;
        }
        None
    }

    /// The member of a key.
    #[inline]
    pub fn member(&self, key: u64) -> Option<Spot> {
        let [home, second] = self.set(key);
        let found = self.member_in(&self.look(home, key), home, key);
        found.or_else(|| self.member_in(&self.look(second, key), second, key))
    }

    /// The member of a key, or room for it: in the emptier bucket, else the first member from `hand` on.
    #[inline]
    pub fn find(&self, key: u64, hand: u64) -> Found {
        let [home, second] = self.set(key);
        let looks = [self.look(home, key), self.look(second, key)];
        let found = self.member_in(&looks[0], home, key);
        if let Some(member) = found.or_else(|| self.member_in(&looks[1], second, key)) {
            return Found::Member(member);
        }
        let [empty, more_empty] = [looks[0].empty, looks[1].empty];
        let index = if more_empty.count_ones() > empty.count_ones() {
            SLOTS + more_empty.trailing_zeros() as usize
        } else if empty != 0 {
            empty.trailing_zeros() as usize
        } else {
            let members = looks[0].members | (looks[1].members << SLOTS);
            match from_hand(members, hand % (2 * SLOTS as u64)) {
                Some(victim) => victim,
                None => return Found::Full,
            }
        };
        let (side, slot) = (index / SLOTS, index % SLOTS);
        Found::Room(Spot {
            at: Position { bucket: if side == 0 { home } else { second }, slot },
            word: looks[side].words[slot],
        })
    }

    /// Every visible object, in the newest state of the table.
    pub fn members(&self) -> Vec<u64> {
        self.newest().filter(|word| word.is_member()).map(Word::object).collect()
    }

    /// The newest word of every slot.
    pub fn newest(&self) -> impl Iterator<Item = Word> + '_ {
        self.buckets.iter().flat_map(|bucket| &bucket.slots).map(|slot| Word(slot.newest()))
    }

    /// Panics when two of the objects have one key.
    pub fn assert_unique(&self, objects: &[u64]) {
        for (index, &object) in objects.iter().enumerate() {
            let key = self.key_of(object);
            let twin = objects[..index].iter().find(|&&earlier| self.key_of(earlier) == key);
            assert!(twin.is_none(), "two members of a key: {twin:?} and {object}");
        }
    }
}

/// The first bit of `mask` from `hand` on, or else the first of all.
#[inline]
pub(super) fn from_hand(mask: u32, hand: u64) -> Option<usize> {
    let ahead = mask & (u32::MAX << hand);
    let chosen = if ahead != 0 { ahead } else { mask };
    (chosen != 0).then(|| chosen.trailing_zeros() as usize)
}
