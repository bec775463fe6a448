//! Candidate B: a word in the home bucket that every insertion of that home advances.
//!
//! The publication word names a claim by position and nonce, and counts versions. To insert X:
//!
//! 1. load the home's word; if the slot it names holds the claim it names, make that a member (*open* it);
//! 2. search the set: go on only if the key is absent;
//! 3. claim a slot, `EMPTY` or a victim, as `CLAIM(X, nonce)`; nobody else touches a claim that is not published;
//! 4. publish: exchange the home's word, from the value of step 1, for one that names the claim. Failure: withdraw the
//!    claim and start over;
//! 5. open the claim, unless a helper did. The insertion was decided in step 4 either way.
//!
//! Readers see members only. LINEARIZE an insertion: the opening exchange.
//!
//! Step 1 opens what the slot holds *now* under a nonce, so the nonce must tell the published claim from any other, even
//! from one of an adder that holds an outdated word: the next version is no such nonce. With [`SETTLED`] this rests on
//! the protocol: a publication is *pending* until its claim is open, its adder makes it settled before it returns, and
//! the nonce carries that adder's number. While the word is pending the adder has no second claim.

use super::{Adder, Candidate, Found, KeyOf, Outcome, Position, Spot, Table, Word};
use crate::sync::Ordering;
use crate::thread;

/// A publication is marked settled when its claim is open.
pub const SETTLED: u8 = 1;
/// Mutant: step 1 does not open the last publication.
pub const NO_HELP: u8 = 2;
/// Mutant: step 4 is left out.
pub const NO_PUBLICATION: u8 = 4;
/// Mutant: the nonce is the version to be published, whoever the adder is.
pub const VERSION_NONCE: u8 = 8;
/// Mutant: steps 1 and 4 order nothing.
pub const RELAXED: u8 = 16;
/// Mutant of `SETTLED`: the helper does not look at the word again after the slot.
pub const NO_SECOND_LOOK: u8 = 32;

/// From the top: pending (1), version (19), bucket (24), slot (4), nonce (16).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Publication(u64);

impl Publication {
    const PENDING: u64 = 1 << 63;

    #[inline]
    fn of(claim: Spot, version: u64, pending: u64) -> Self {
        let position = ((claim.at.bucket as u64) << 4) | claim.at.slot as u64;
        Self(pending | ((version << 45) >> 1) | (position << 16) | claim.word.nonce())
    }

    #[inline]
    fn version(self) -> u64 {
        (self.0 & !Self::PENDING) >> 44
    }

    fn position(self) -> Position {
        Position { bucket: (self.0 >> 20) as usize & 0xFF_FFFF, slot: (self.0 >> 16) as usize & 0xF }
    }
}

/// The table.
#[derive(Debug)]
pub struct PublicationWord<const SLOTS: usize, const VARIANT: u8>(Table<SLOTS>);

impl<const SLOTS: usize, const VARIANT: u8> PublicationWord<SLOTS, VARIANT> {
    const HAS_PENDING: bool = VARIANT & SETTLED != 0;
    const LOAD: Ordering = if VARIANT & RELAXED == 0 { Ordering::Acquire } else { Ordering::Relaxed };
    const PUBLISH: Ordering = if VARIANT & RELAXED == 0 { Ordering::AcqRel } else { Ordering::Relaxed };

    /// Step 1. The word from which a publication may start.
    #[inline]
    fn last(&self, home: usize) -> Publication {
        let word = &self.0.bucket(home).head;
        loop {
            let seen = Publication(word.load(Self::LOAD));
            let is_open = Self::HAS_PENDING && seen.0 & Publication::PENDING == 0;
            if is_open || VARIANT & (NO_HELP | NO_PUBLICATION) != 0 {
                return seen;
            }
            let spot = self.0.spot(seen.position());
            if Self::HAS_PENDING && VARIANT & NO_SECOND_LOOK == 0 && word.load(Self::LOAD) != seen.0 {
                continue;
            }
            if spot.word.is_claim() && spot.word.nonce() == seen.0 & 0xFFFF {
                self.open(spot);
            }
            if !Self::HAS_PENDING {
                return seen;
            }
            self.settle(home, seen);
        }
    }

    #[inline]
    fn open(&self, claim: Spot) {
        let object = claim.word.object();
        self.0.exchange(claim, Word::member(object, self.0.key_of(object)));
    }

    #[inline]
    fn settle(&self, home: usize, seen: Publication) {
        let settled = seen.0 & !Publication::PENDING;
        // Failure: a helper did it.
        let _ = self.0.bucket(home).head.exchange(seen.0, settled, Self::PUBLISH, Ordering::Acquire);
    }

    /// Steps 4 and 5; false when the claim has to be withdrawn.
    #[inline]
    fn publish(&self, home: usize, last: Publication, claim: Spot) -> bool {
        let pending = if Self::HAS_PENDING { Publication::PENDING } else { 0 };
        let next = Publication::of(claim, last.version() + 1, pending);
        let word = &self.0.bucket(home).head;
        if VARIANT & NO_PUBLICATION == 0
            && word.exchange(last.0, next.0, Self::PUBLISH, Ordering::Acquire).is_err()
        {
            return false;
        }
        self.open(claim);
        if Self::HAS_PENDING {
            self.settle(home, next);
        }
        true
    }

    #[inline]
    fn nonce(adder: &mut Adder, last: Publication) -> u64 {
        if VARIANT & VERSION_NONCE != 0 {
            (last.version() + 1) & 0xFFFF
        } else if Self::HAS_PENDING {
            adder.nonce(last.version() + 1)
        } else {
            adder.fresh_nonce()
        }
    }
}

impl<const SLOTS: usize, const VARIANT: u8> Candidate for PublicationWord<SLOTS, VARIANT> {
    fn new(buckets: usize, key_of: KeyOf) -> Self {
        Self(Table::new(buckets, key_of))
    }

    fn add(&self, adder: &mut Adder, key: u64, object: u64) -> Outcome {
        let home = self.0.home(key);
        loop {
            let last = self.last(home);
            let nonce = Self::nonce(adder, last);
            match self.0.find(key, nonce) {
                Found::Member(spot) if spot.word.object() == object => return Outcome::Identical,
                Found::Member(spot) => {
                    if self.0.exchange(spot, Word::member(object, key)) {
                        return Outcome::Replaced(spot.word.object());
                    }
                }
                Found::Room(room) => {
                    let Some(claim) = self.0.claim(adder, room, object, nonce) else { continue };
                    if self.publish(home, last, claim) {
                        return Outcome::Inserted;
                    }
                    self.0.exchange(claim, Word::EMPTY);
                }
                Found::Full => thread::yield_now(),
            }
        }
    }

    fn get(&self, key: u64) -> Option<u64> {
        self.0.member(key).map(|spot| spot.word.object())
    }

    fn take(&self, _adder: &mut Adder, key: u64) -> Option<u64> {
        loop {
            let spot = self.0.member(key)?;
            if self.0.exchange(spot, Word::EMPTY) {
                return Some(spot.word.object());
            }
        }
    }

    fn help(&self, key: u64) {
        self.last(self.0.home(key));
    }

    #[inline]
    fn touch(&self, key: u64) {
        let load = |bucket| self.0.bucket(bucket).head.load(Ordering::Relaxed);
        std::hint::black_box(self.0.set(key).map(load));
    }

    fn members(&self) -> Vec<u64> {
        self.0.members()
    }

    fn is_settled(&self) -> bool {
        self.0.newest().all(|word| word == Word::EMPTY || word.is_member())
    }

    fn assert_unique(&self) {
        self.0.assert_unique(&self.0.members());
    }
}
