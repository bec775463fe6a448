//! Candidate C: the states of a bucket's slots in one word.
//!
//! A key has one bucket, its home. The control word holds two bits of state for each slot and counts publications. To
//! insert X: load the control word and search the slots that it calls valid; claim a slot, `FREE → CLAIMED` (or a
//! victim's); write X there; publish, `CLAIMED → VALID`, by an exchange of the control word that fails if anything was
//! changed since the search. A replacement publishes X in a claimed slot and frees the old slot in the same exchange; a
//! removal frees its slot. LINEARIZE all of them: the exchange of the control word.
//!
//! A reader's word may belong to a later stay in its slot, and its key may have moved behind its back; it looks at the
//! control word again and starts over if anything was published.

use super::table::from_hand;
use super::{Adder, Bucket, Candidate, KeyOf, Outcome, Table, Word};
use crate::sync::Ordering;
use crate::thread;

/// Mutant: a publication that failed is repeated without a new search.
pub const NO_RESCAN: u8 = 1;
/// Mutant: readers do not look at the control word again.
pub const NO_SECOND_LOOK: u8 = 2;

const CLAIMED: u64 = 1;
const VALID: u64 = 2;
const VERSION: u64 = 1 << 16;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Control(u64);

impl Control {
    #[inline]
    fn with(self, slot: usize, state: u64) -> Self {
        Self(self.0 & !(0b11 << (2 * slot)) | (state << (2 * slot)))
    }

    #[inline]
    fn is_valid(self, slot: usize) -> bool {
        (self.0 >> (2 * slot)) & 0b11 == VALID
    }

    /// A free slot, else a valid one from `hand` on, but not `spared`; one bit in four is used for each slot.
    #[inline]
    fn room(self, slots: usize, hand: u64, spared: Option<usize>) -> Option<usize> {
        let low = self.0 as u32 & 0x5555 & ((1 << (2 * slots)) - 1);
        let high = (self.0 as u32 >> 1) & 0x5555 & ((1 << (2 * slots)) - 1);
        let free = !(low | high) & 0x5555 & ((1 << (2 * slots)) - 1);
        let spared = spared.map_or(0, |slot| 1 << (2 * slot));
        let bit = if free != 0 {
            Some(free.trailing_zeros() as usize)
        } else {
            from_hand(high & !spared, 2 * hand)
        };
        bit.map(|bit| bit / 2)
    }
}

/// The table.
#[derive(Debug)]
pub struct ControlWord<const SLOTS: usize, const VARIANT: u8>(Table<SLOTS>);

type Member = Option<(usize, u64)>;

impl<const SLOTS: usize, const VARIANT: u8> ControlWord<SLOTS, VARIANT> {
    #[inline]
    fn load(bucket: &Bucket<SLOTS>) -> Control {
        Control(bucket.head.load(Ordering::Acquire))
    }

    #[inline]
    fn exchange(&self, bucket: &Bucket<SLOTS>, from: Control, to: Control) -> Result<(), Control> {
        bucket.head.exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire).map_err(Control)?;
        if cfg!(sessile_loom) {
            self.assert_unique();
        }
        Ok(())
    }

    /// Slot and object of the key, provided that nothing has changed since `seen`.
    #[inline]
    fn find(&self, bucket: &Bucket<SLOTS>, seen: Control, key: u64) -> Member {
        let mut alike = 0_u32;
        let words: [Word; SLOTS] =
            std::array::from_fn(|slot| Word(bucket.slots[slot].load(Ordering::Acquire)));
        for (slot, word) in words.iter().enumerate() {
            alike |= u32::from(word.may_be_member_of(key) & seen.is_valid(slot)) << slot;
        }
        while alike != 0 {
            let slot = alike.trailing_zeros() as usize;
            let object = words[slot].object();
            if self.0.key_of(object) == key {
                return Some((slot, object));
            }
            alike &= alike - 1;
        }
        None
    }

    /// A search that was true at one moment, and a control word of that moment.
    #[inline]
    fn look(&self, bucket: &Bucket<SLOTS>, key: u64) -> (Control, Member) {
        let mut seen = Self::load(bucket);
        loop {
            let found = self.find(bucket, seen, key);
            let now = Self::load(bucket);
            let stays =
                now.0 / VERSION == seen.0 / VERSION && found.is_none_or(|(slot, _)| now.is_valid(slot));
            if stays || VARIANT & NO_SECOND_LOOK != 0 {
                return (seen, found);
            }
            seen = now;
        }
    }

    /// Claims a slot for `object`; the control word with the claim in it.
    #[inline]
    fn claim(
        &self,
        adder: &mut Adder,
        bucket: &Bucket<SLOTS>,
        seen: Control,
        spared: Option<usize>,
        word: Word,
    ) -> Result<(usize, Control), Control> {
        let hand = adder.fresh_nonce() % SLOTS as u64;
        let Some(slot) = seen.room(SLOTS, hand, spared) else {
            thread::yield_now();
            return Err(Self::load(bucket));
        };
        let victim = seen.is_valid(slot).then(|| Word(bucket.slots[slot].load(Ordering::Acquire)));
        let claimed = seen.with(slot, CLAIMED);
        self.exchange(bucket, seen, claimed)?;
        adder.evicted.extend(victim.map(Word::object));
        bucket.slots[slot].store(word.0, Ordering::Release);
        Ok((slot, claimed))
    }
}

impl<const SLOTS: usize, const VARIANT: u8> Candidate for ControlWord<SLOTS, VARIANT> {
    fn new(buckets: usize, key_of: KeyOf) -> Self {
        assert!(SLOTS <= 8, "two bits of state each, in 16");
        Self(Table::new(buckets, key_of))
    }

    fn add(&self, adder: &mut Adder, key: u64, object: u64) -> Outcome {
        let bucket = self.0.bucket(self.0.home(key));
        let word = Word::member(object, key);
        let (mut seen, mut found) = self.look(bucket, key);
        let mut claimed = None;
        loop {
            let is_same = found.is_some_and(|(_, old)| old == object);
            if is_same && claimed.is_none() {
                return Outcome::Identical;
            }
            let claim = match claimed {
                Some(slot) => Ok((slot, seen)),
                None => self.claim(adder, bucket, seen, found.map(|(slot, _)| slot), word),
            };
            let failed = match claim {
                Ok((slot, with_claim)) => {
                    claimed = Some(slot);
                    let next = match found {
                        _ if is_same => with_claim.with(slot, 0),
                        Some((old, _)) => Control(with_claim.with(slot, VALID).with(old, 0).0 + VERSION),
                        None => Control(with_claim.with(slot, VALID).0 + VERSION),
                    };
                    self.exchange(bucket, with_claim, next)
                }
                Err(now) => Err(now),
            };
            match failed {
                Ok(()) if is_same => return Outcome::Identical,
                Ok(()) => return found.map_or(Outcome::Inserted, |(_, old)| Outcome::Replaced(old)),
                Err(now) if VARIANT & NO_RESCAN != 0 => seen = now,
                Err(_) => (seen, found) = self.look(bucket, key),
            }
        }
    }

    fn get(&self, key: u64) -> Option<u64> {
        let (_, found) = self.look(self.0.bucket(self.0.home(key)), key);
        found.map(|(_, object)| object)
    }

    fn take(&self, _adder: &mut Adder, key: u64) -> Option<u64> {
        let bucket = self.0.bucket(self.0.home(key));
        loop {
            let (seen, found) = self.look(bucket, key);
            let (slot, object) = found?;
            if self.exchange(bucket, seen, seen.with(slot, 0)).is_ok() {
                return Some(object);
            }
        }
    }

    fn help(&self, _key: u64) {}

    fn members(&self) -> Vec<u64> {
        let valid = |bucket: &Bucket<SLOTS>| {
            let control = Control(bucket.head.newest());
            let slots = (0..SLOTS).filter(|&slot| control.is_valid(slot));
            slots.map(|slot| Word(bucket.slots[slot].newest()).object()).collect::<Vec<_>>()
        };
        self.0.buckets().iter().flat_map(valid).collect()
    }

    fn is_settled(&self) -> bool {
        self.0.buckets().iter().all(|bucket| bucket.head.newest() & 0x5555 == 0)
    }

    fn assert_unique(&self) {
        self.0.assert_unique(&self.members());
    }
}
