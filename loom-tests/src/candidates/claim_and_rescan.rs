//! Candidate A: claim a slot, look again, settle by position.
//!
//! To insert X: search the set; claim a slot, `EMPTY → CLAIM(X, nonce)`; SeqCst fence; look at the whole set again. A
//! member of the key, or a claim of it at a *lower* position, refuses our claim: withdraw it; bring the lower claim to
//! its end on its owner's behalf; start over. A claim of the key at a *higher* position is knocked out. With nothing of
//! the key left elsewhere the claim becomes a member. Readers see members only.
//!
//! LINEARIZE an insertion: `CLAIM → MEMBER`, by the owner or by a helper.
//!
//! In the first draft a refused claim becomes `EMPTY`. Then an owner whose last exchange failed cannot tell "refused"
//! from "made a member by a helper, and replaced or taken since"; it starts over, and inserts X a second time. With
//! [`MARKED`], a refused claim stays in the slot as such until its owner clears it, so the owner knows.

use super::{Adder, Candidate, Found, KeyOf, Outcome, Position, Spot, Table, Word};
use crate::sync::{Ordering, fence};
use crate::thread;

/// Repair: who refuses a claim leaves a mark that only the owner clears.
pub const MARKED: u8 = 1;
/// Mutant: no fence between the claim and the second look.
pub const NO_FENCE: u8 = 2;
/// Mutant: all claims of an object in a slot are the same word.
pub const NO_NONCE: u8 = 4;

/// The table; `VARIANT` is 0 for the first draft.
#[derive(Debug)]
pub struct ClaimAndRescan<const SLOTS: usize, const VARIANT: u8>(Table<SLOTS>);

impl<const SLOTS: usize, const VARIANT: u8> ClaimAndRescan<SLOTS, VARIANT> {
    /// Brings a claim to its end; true when this call made it a member. Recursion descends in position.
    fn settle(&self, key: u64, claim: Spot) -> bool {
        if VARIANT & NO_FENCE == 0 {
            fence(Ordering::SeqCst);
        }
        let Some(rival) = self.rival(key, claim) else {
            return self.0.exchange(claim, Word::member(claim.word.object(), key));
        };
        self.refuse(claim);
        if rival.word.is_claim() {
            self.settle(key, rival);
        }
        false
    }

    /// The member or lower claim of the key that forbids `claim`. Refuses every higher claim on the way.
    fn rival(&self, key: u64, claim: Spot) -> Option<Spot> {
        let mut is_higher = false;
        for bucket in self.0.set(key) {
            let look = self.0.look(bucket, key);
            let mut suspects = look.alike | look.claims;
            while suspects != 0 {
                let at = Position { bucket, slot: suspects.trailing_zeros() as usize };
                suspects &= suspects - 1;
                is_higher |= at.bucket == claim.at.bucket && at.slot > claim.at.slot;
                if at != claim.at {
                    if let Some(rival) = self.rival_at(key, at, is_higher) {
                        return Some(rival);
                    }
                }
            }
            is_higher |= bucket == claim.at.bucket;
        }
        None
    }

    /// What is at one position, if it forbids a claim that is lower, or higher, than it.
    fn rival_at(&self, key: u64, at: Position, is_higher: bool) -> Option<Spot> {
        loop {
            let other = self.0.spot(at);
            let is_claim = other.word.is_claim();
            if !(is_claim || other.word.is_member()) || self.0.key_of(other.word.object()) != key {
                return None;
            }
            if !is_claim || !is_higher {
                return Some(other);
            }
            if self.refuse(other) {
                return None;
            }
            // It was refused by another thread, or made a member.
        }
    }

    fn refuse(&self, claim: Spot) -> bool {
        let word = if VARIANT & MARKED != 0 { claim.word.refused() } else { Word::EMPTY };
        self.0.exchange(claim, word)
    }

    /// For the owner of a claim that it could not make a member: was it refused, rather than finished by a helper?
    fn was_refused(&self, claim: Spot) -> bool {
        let refused = Spot { word: claim.word.refused(), ..claim };
        VARIANT & MARKED == 0 || self.0.exchange(refused, Word::EMPTY)
    }
}

impl<const SLOTS: usize, const VARIANT: u8> Candidate for ClaimAndRescan<SLOTS, VARIANT> {
    fn new(buckets: usize, key_of: KeyOf) -> Self {
        Self(Table::new(buckets, key_of))
    }

    fn add(&self, adder: &mut Adder, key: u64, object: u64) -> Outcome {
        let mut may_be_finished = false;
        loop {
            let nonce = if VARIANT & NO_NONCE == 0 { adder.fresh_nonce() } else { 1 };
            match self.0.find(key, nonce) {
                Found::Member(spot) if spot.word.object() == object => {
                    return if may_be_finished { Outcome::Inserted } else { Outcome::Identical };
                }
                Found::Member(spot) => {
                    if self.0.exchange(spot, Word::member(object, key)) {
                        return Outcome::Replaced(spot.word.object());
                    }
                }
                Found::Room(room) => {
                    let Some(claim) = self.0.claim(adder, room, object, nonce) else { continue };
                    if self.settle(key, claim) || !self.was_refused(claim) {
                        return Outcome::Inserted;
                    }
                    may_be_finished = VARIANT & MARKED == 0;
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
        for bucket in self.0.set(key) {
            for slot in 0..SLOTS {
                let spot = self.0.spot(Position { bucket, slot });
                if spot.word.is_claim() && self.0.key_of(spot.word.object()) == key {
                    self.settle(key, spot);
                }
            }
        }
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
