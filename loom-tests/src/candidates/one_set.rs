//! Candidate D: one set of two adjacent cache lines, and a publication word beside its fifteen slots.
//!
//! A key has one set. Its publication word `H` has a bit *closed*, the slot of the last publication, and a version. To
//! insert X:
//!
//! 1. load `h`. If the slot that it names holds a claim, load H once more; if it is still `h`, *open* the claim;
//! 2. search the set: go on only if the key is absent;
//! 3. choose an empty slot, not the one that `h` names. In a full set evict a member first, by an exchange of its own. If
//!    only the named slot is free, or may be freed, exchange H for a later version that names none, and start over;
//! 4. load H once more: it must still be `h`;
//! 5. claim the slot: `EMPTY(token) → CLAIM(X, version + 1)`;
//! 6. publish: exchange H, `h → (version + 1, slot)`. Failure: withdraw the claim and start over;
//! 7. open the claim, unless a helper did.
//!
//! A token is unique for each member that leaves; a claim that is withdrawn puts the word back that it found. Readers see members only. LINEARIZE an insertion: the opening exchange.
//!
//! With [`MATCHED`] step 3 takes any empty slot and any victim, and step 1 opens only a claim with the version of `h`: a
//! claim that is not published yet carries a later one.
//!
//! Migration, by one mover: link the new table, close every set, then for each member: `EMPTY → SHADOW(X)` in the new
//! table, `MEMBER(X) → MOVED(X)` in the old one, `SHADOW(X) → MEMBER(X)`, `MOVED(X) → EMPTY`. A shadow counts as present
//! exactly if the old table says MOVED. Lookups read the old table first; who adds closes the old set of the key and opens
//! its last claim before the search, and inserts into the new table.

use super::table::from_hand;
use super::{Adder, Candidate, KeyOf, Outcome};
use crate::sync::{Ordering, Watched};
use crate::thread;
use std::array;
use std::sync::OnceLock;

/// Claims are told by their version, and the named slot is like any other.
pub const MATCHED: u32 = 1;
/// Claims carry one bit of their version, so that the bound on pauses is within the reach of a model.
pub const ONE_BIT: u32 = 2;
/// Mutant: step 1 does not load H again after the slot.
pub const NO_SECOND_LOOK: u32 = 4;
/// Mutant: step 4 is left out.
pub const NO_FOURTH_STEP: u32 = 8;
/// Mutant of the form without `MATCHED`: step 3 takes the named slot too.
pub const NAMED_SLOT: u32 = 16;
/// Mutant: all empty slots are the same word.
pub const NO_TOKENS: u32 = 32;
/// Mutant: claims carry no version.
pub const NO_VERSION: u32 = 64;
/// Mutant: step 1 does not open the last publication.
pub const NO_HELP: u32 = 128;
/// Mutant: steps 1 and 6 order nothing.
pub const RELAXED: u32 = 256;
/// Mutant: who adds does not close the old set.
pub const NO_CLOSE: u32 = 512;
/// Mutant: who closes a set does not open its last claim.
pub const NO_HELP_AT_CLOSE: u32 = 1024;
/// Mutant: shadows are taken for members whatever the old table says.
pub const ANY_SHADOW: u32 = 2048;
/// Mutant: shadows are never taken for members by those who meet them.
pub const NO_PROMOTION: u32 = 4096;
/// Mutant: the mover clears the old word before it makes the shadow a member.
pub const EARLY_CLEAR: u32 = 8192;

/// A slot word: from the top, tag (10), age (6), object (44), version (2), state (2). The topmost ten bits are zero in an
/// empty word alone, which has a token in the next fifty. A claim has the topmost bit and its version in the free bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u64);

const STATE: u64 = 0b11;
const MEMBER: u64 = 0;
const CLAIM: u64 = 1;
const MOVED: u64 = 2;
const SHADOW: u64 = 3;
const TAG_SHIFT: u32 = 54;
const HIGH_SHIFT: u32 = 48;
const OBJECT_SHIFT: u32 = 4;
const OBJECT: u64 = ((1 << HIGH_SHIFT) - 1) & !((1 << OBJECT_SHIFT) - 1);
const TOP: u64 = 1 << 63;
/// Four in a model, whose versions no scenario exhausts during one pause.
const VERSION_BITS: u32 = if cfg!(sessile_loom) { 4 } else { 17 };

impl Word {
    #[inline]
    fn empty(token: u64) -> Self {
        Self(token << OBJECT_SHIFT)
    }

    #[inline]
    fn tag(key: u64) -> u64 {
        (key & 0x3FF).max(1) << TAG_SHIFT
    }

    #[inline]
    fn member(object: u64, key: u64) -> Self {
        Self(Self::tag(key) | object << OBJECT_SHIFT | MEMBER)
    }

    #[inline]
    fn claim(object: u64, version: u64) -> Self {
        Self(TOP | (version >> 2) << HIGH_SHIFT | object << OBJECT_SHIFT | (version & 3) << 2 | CLAIM)
    }

    #[inline]
    fn version(self) -> u64 {
        (self.0 & !TOP) >> HIGH_SHIFT << 2 | (self.0 >> 2 & 3)
    }

    fn moved(object: u64) -> Self {
        Self(1 << TAG_SHIFT | object << OBJECT_SHIFT | MOVED)
    }

    fn with_state(self, state: u64) -> Self {
        Self(self.0 & !STATE | state)
    }

    #[inline]
    fn object(self) -> u64 {
        (self.0 & OBJECT) >> OBJECT_SHIFT
    }

    #[inline]
    fn is_empty(self) -> bool {
        self.0 >> TAG_SHIFT == 0
    }

    #[inline]
    fn is(self, state: u64) -> bool {
        (self.0 & STATE == state) & !self.is_empty()
    }

    #[inline]
    fn may_be_of(self, key: u64, state: u64) -> bool {
        self.0 & (0x3FF << TAG_SHIFT | STATE) == Self::tag(key) | state
    }
}

/// From the top: closed (1), slot and one, or none (4), version (59).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Publication(u64);

impl Publication {
    const CLOSED: u64 = 1 << 63;
    const SLOT_SHIFT: u32 = 59;

    #[inline]
    fn version(self) -> u64 {
        self.0 & ((1 << Self::SLOT_SHIFT) - 1)
    }

    #[inline]
    fn slot(self) -> Option<usize> {
        ((self.0 & !Self::CLOSED) >> Self::SLOT_SHIFT).checked_sub(1).map(|slot| slot as usize)
    }

    #[inline]
    fn next(self, slot: Option<usize>) -> Self {
        Self(slot.map_or(0, |slot| (slot as u64 + 1) << Self::SLOT_SHIFT) | (self.version() + 1))
    }

    fn is_closed(self) -> bool {
        self.0 & Self::CLOSED != 0
    }
}

/// Two cache lines at fifteen slots.
#[derive(Debug)]
#[repr(align(128))]
struct Set<const SLOTS: usize> {
    publication: Watched,
    slots: [Watched; SLOTS],
}

const _: () = assert!(cfg!(sessile_loom) || size_of::<Set<15>>() == 128);

/// A slot and the word seen there.
#[derive(Clone, Copy)]
struct Spot<'t, const SLOTS: usize> {
    set: &'t Set<SLOTS>,
    slot: usize,
    word: Word,
}

/// The words of a set, and bit masks of those that are interesting.
struct Look<'t, const SLOTS: usize> {
    set: &'t Set<SLOTS>,
    words: [Word; SLOTS],
    alike: u32,
    empty: u32,
    members: u32,
}

impl<const SLOTS: usize> Set<SLOTS> {
    fn new() -> Self {
        let slots = array::from_fn(|_| Watched::new(Word::empty(0).0));
        Self { publication: Watched::new(0), slots }
    }

    #[inline]
    fn spot(&self, slot: usize) -> Spot<'_, SLOTS> {
        Spot { set: self, slot, word: Word(self.slots[slot].load(Ordering::Acquire)) }
    }

    fn newest(&self) -> impl Iterator<Item = Word> {
        self.slots.iter().map(|slot| Word(slot.newest()))
    }

    /// All slots at one pass. Shadows are alike where there may be some.
    #[inline]
    fn look(&self, key: u64, has_shadows: bool) -> Look<'_, SLOTS> {
        let words: [Word; SLOTS] = array::from_fn(|slot| Word(self.slots[slot].load(Ordering::Acquire)));
        let (mut alike, mut empty, mut members) = (0, 0, 0);
        for (slot, word) in words.iter().enumerate() {
            let is_alike = word.may_be_of(key, MEMBER) | (has_shadows && word.may_be_of(key, SHADOW));
            alike |= u32::from(is_alike) << slot;
            empty |= u32::from(word.is_empty()) << slot;
            members |= u32::from(word.is(MEMBER)) << slot;
        }
        Look { set: self, words, alike, empty, members }
    }
}

impl<const SLOTS: usize> Look<'_, SLOTS> {
    #[inline]
    fn spot(&self, slot: usize) -> Spot<'_, SLOTS> {
        Spot { set: self.set, slot, word: self.words[slot] }
    }
}

type Sets<const SLOTS: usize> = Box<[Set<SLOTS>]>;

/// The table, and its successor of twice the size.
#[derive(Debug)]
pub struct OneSet<const SLOTS: usize, const VARIANT: u32> {
    old: Sets<SLOTS>,
    new: OnceLock<Sets<SLOTS>>,
    key_of: KeyOf,
    /// The new table is linked.
    next: Watched,
    /// The old table is emptied and unlinked.
    root: Watched,
}

fn table<const SLOTS: usize>(sets: usize) -> Sets<SLOTS> {
    (0..sets).map(|_| Set::new()).collect()
}

#[inline]
fn set_of<const SLOTS: usize>(sets: &Sets<SLOTS>, key: u64) -> &Set<SLOTS> {
    &sets[(((key >> 32) * sets.len() as u64) >> 32) as usize]
}

impl<const SLOTS: usize, const VARIANT: u32> OneSet<SLOTS, VARIANT> {
    const LOAD: Ordering = if VARIANT & RELAXED == 0 { Ordering::Acquire } else { Ordering::Relaxed };
    const PUBLISH: Ordering = if VARIANT & RELAXED == 0 { Ordering::Release } else { Ordering::Relaxed };
    const VERSION: u64 = match VARIANT & (ONE_BIT | NO_VERSION) {
        0 => (1 << VERSION_BITS) - 1,
        ONE_BIT => 1,
        _ => 0,
    };

    /// The sets of a key in the tables in force, the older first.
    #[inline]
    fn sets(&self, key: u64) -> (Option<&Set<SLOTS>>, Option<&Set<SLOTS>>) {
        let old = (self.root.load(Ordering::Acquire) == 0).then(|| set_of(&self.old, key));
        (old, self.new_set(key))
    }

    #[inline]
    fn new_set(&self, key: u64) -> Option<&Set<SLOTS>> {
        let is_linked = self.next.load(Ordering::Acquire) != 0;
        is_linked.then(|| self.new.get().map(|sets| set_of(sets, key))).flatten()
    }

    #[inline]
    fn exchange(&self, spot: Spot<'_, SLOTS>, to: Word) -> bool {
        let done = spot.set.slots[spot.slot]
            .exchange(spot.word.0, to.0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if cfg!(sessile_loom) && done {
            self.assert_unique();
        }
        done
    }

    #[inline]
    fn empty(&self, spot: Spot<'_, SLOTS>, adder: &mut Adder) -> bool {
        self.exchange(spot, self.fresh(adder))
    }

    #[inline]
    fn fresh(&self, adder: &mut Adder) -> Word {
        Word::empty(if VARIANT & NO_TOKENS == 0 { adder.fresh_token() } else { 0 })
    }

    /// Step 1. `None`: H has changed meanwhile.
    #[inline]
    fn open_last(&self, set: &Set<SLOTS>) -> Option<Publication> {
        let last = Publication(set.publication.load(Self::LOAD));
        let Some(slot) = last.slot() else { return Some(last) };
        let claim = set.spot(slot);
        let is_last = VARIANT & MATCHED == 0 || claim.word.version() == last.version() & Self::VERSION;
        if !claim.word.is(CLAIM) || !is_last || VARIANT & NO_HELP != 0 {
            return Some(last);
        }
        if VARIANT & NO_SECOND_LOOK == 0 && set.publication.load(Ordering::Relaxed) != last.0 {
            return None;
        }
        self.open(claim);
        Some(last)
    }

    #[inline]
    fn open(&self, claim: Spot<'_, SLOTS>) {
        let object = claim.word.object();
        self.exchange(claim, Word::member(object, (self.key_of)(object)));
    }

    /// Forbids every further publication in a set, and opens the last one.
    fn close(&self, set: &Set<SLOTS>) {
        loop {
            let last = set.publication.load(Self::LOAD);
            if last & Publication::CLOSED == 0 {
                // It goes on with the release sequence of the last publication.
                let closed = last | Publication::CLOSED;
                let _ = set.publication.exchange(last, closed, Ordering::Relaxed, Ordering::Relaxed);
            } else if VARIANT & NO_HELP_AT_CLOSE != 0 || self.open_last(set).is_some() {
                return;
            }
        }
    }

    /// Steps 3 to 7; false: start over.
    #[inline]
    fn insert(
        &self,
        adder: &mut Adder,
        look: &Look<'_, SLOTS>,
        last: Publication,
        object: u64,
        open: &impl Fn(Spot<'_, SLOTS>),
    ) -> bool {
        let set = look.set;
        let keeps_off = VARIANT & (MATCHED | NAMED_SLOT) == 0;
        let named = last.slot().filter(|_| keeps_off).map_or(0, |slot| 1 << slot);
        let (empty, members) = (look.empty & !named, look.members & !named);
        let hand = adder.fresh_nonce() % SLOTS as u64;
        let mut room = match from_hand(if empty != 0 { empty } else { members }, hand) {
            Some(slot) => look.spot(slot),
            None if (look.empty | look.members) & named != 0 => {
                let _ = set.publication.exchange(last.0, last.next(None).0, Self::PUBLISH, Ordering::Relaxed);
                return false;
            }
            None => {
                thread::yield_now();
                return false;
            }
        };
        if empty == 0 {
            let emptied = self.fresh(adder);
            if !self.exchange(room, emptied) {
                return false;
            }
            adder.evicted.push(room.word.object());
            room.word = emptied;
        }
        if VARIANT & NO_FOURTH_STEP == 0 && set.publication.load(Ordering::Relaxed) != last.0 {
            return false;
        }
        let claim = Spot { word: Word::claim(object, (last.version() + 1) & Self::VERSION), ..room };
        if !self.exchange(room, claim.word) {
            return false;
        }
        if set
            .publication
            .exchange(last.0, last.next(Some(room.slot)).0, Self::PUBLISH, Ordering::Relaxed)
            .is_err()
        {
            // No publication named the slot since it had this token.
            let withdrawn = self.exchange(claim, room.word);
            assert!(withdrawn, "somebody opened an unpublished claim");
            return false;
        }
        open(claim);
        true
    }

    /// All steps; `open` is the last of them.
    #[inline]
    fn add_and(&self, adder: &mut Adder, key: u64, object: u64, open: impl Fn(Spot<'_, SLOTS>)) -> Outcome {
        loop {
            let (old, new) = self.sets(key);
            if let (Some(old), Some(_)) = (old, new) {
                if VARIANT & NO_CLOSE == 0 {
                    self.close(old);
                }
            }
            let newest = new.or(old).expect("a table");
            let Some(last) = self.open_last(newest).filter(|last| !last.is_closed()) else {
                thread::yield_now();
                continue;
            };
            match self.find(key) {
                Ok(spot) if spot.word.object() == object => return Outcome::Identical,
                Ok(spot) => {
                    if self.exchange(spot, Word::member(object, key)) {
                        return Outcome::Replaced(spot.word.object());
                    }
                }
                Err(Some(look)) if std::ptr::eq(look.set, newest) => {
                    if self.insert(adder, &look, last, object, &open) {
                        return Outcome::Inserted;
                    }
                }
                // A table was linked meanwhile.
                Err(_) => {}
            }
        }
    }

    /// The member of a key, or the look at the newest set that shows none.
    #[inline]
    fn find(&self, key: u64) -> Result<Spot<'_, SLOTS>, Option<Look<'_, SLOTS>>> {
        let mut newest = None;
        let old = (self.root.load(Ordering::Acquire) == 0).then(|| set_of(&self.old, key));
        if let Some(set) = old {
            let look = set.look(key, false);
            if let Some(spot) = self.member_in(&look, key, None) {
                return Ok(spot);
            }
            newest = Some(look);
        }
        // Not before the old set was read.
        if let Some(set) = self.new_set(key) {
            let look = set.look(key, true);
            if let Some(spot) = self.member_in(&look, key, old) {
                return Ok(spot);
            }
            newest = Some(look);
        }
        Err(newest)
    }

    #[inline]
    fn member_in<'t>(
        &self,
        look: &Look<'t, SLOTS>,
        key: u64,
        old: Option<&Set<SLOTS>>,
    ) -> Option<Spot<'t, SLOTS>> {
        let mut alike = look.alike;
        while alike != 0 {
            let slot = alike.trailing_zeros() as usize;
            let spot = Spot { set: look.set, slot, word: look.words[slot] };
            if (self.key_of)(spot.word.object()) == key {
                let member = if spot.word.is(SHADOW) { self.promote(spot, key, old) } else { Some(spot) };
                if member.is_some() {
                    return member;
                }
            }
            alike &= alike - 1;
        }
        None
    }

    /// Makes a shadow a member if the old table says that it is one. What is in its slot then, if that is of the key.
    #[cold]
    fn promote<'t>(
        &self,
        shadow: Spot<'t, SLOTS>,
        key: u64,
        old: Option<&Set<SLOTS>>,
    ) -> Option<Spot<'t, SLOTS>> {
        let moved = Word::moved(shadow.word.object());
        let has_left = || old.is_some_and(|old| (0..SLOTS).any(|slot| old.spot(slot).word == moved));
        if VARIANT & NO_PROMOTION == 0 && (VARIANT & ANY_SHADOW != 0 || has_left()) {
            self.exchange(shadow, shadow.word.with_state(MEMBER));
        }
        let now = shadow.set.spot(shadow.slot);
        (now.word.is(MEMBER) && (self.key_of)(now.word.object()) == key).then_some(now)
    }

    /// The mover's work, of which it does `steps` steps and sleeps for ever.
    fn move_all(&self, adder: &mut Adder, steps: &mut std::ops::Range<usize>) -> Option<()> {
        steps.next()?;
        let new = self.new.get_or_init(|| table(2 * self.old.len()));
        self.next.store(1, Ordering::Release);
        for set in &self.old {
            steps.next()?;
            self.close(set);
        }
        for set in &self.old {
            for slot in 0..SLOTS {
                while set.spot(slot).word.is(MEMBER) {
                    self.move_member(adder, set.spot(slot), new, steps)?;
                }
            }
        }
        steps.next()?;
        self.root.store(1, Ordering::Release);
        Some(())
    }

    fn move_member(
        &self,
        adder: &mut Adder,
        member: Spot<'_, SLOTS>,
        new: &Sets<SLOTS>,
        steps: &mut std::ops::Range<usize>,
    ) -> Option<()> {
        steps.next()?;
        if !member.word.is(MEMBER) {
            return Some(());
        }
        let object = member.word.object();
        let set = set_of(new, (self.key_of)(object));
        let word = member.word.with_state(SHADOW);
        let place = |at: &Spot<'_, SLOTS>| at.word.is_empty() && self.exchange(*at, word);
        let Some(place) = (0..SLOTS).map(|slot| set.spot(slot)).find(place) else {
            if self.empty(member, adder) {
                adder.evicted.push(object);
            }
            return Some(());
        };
        let shadow = Spot { word, ..place };
        steps.next()?;
        let moved = Spot { word: Word::moved(object), ..member };
        if !self.exchange(member, moved.word) {
            steps.next()?;
            let undone = self.exchange(shadow, place.word);
            assert!(undone, "a shadow that is not valid belongs to the mover");
            return Some(());
        }
        steps.next()?;
        if VARIANT & EARLY_CLEAR == 0 {
            self.exchange(shadow, word.with_state(MEMBER));
            steps.next()?;
        }
        let cleared = self.exchange(moved, Word::empty(0));
        assert!(cleared, "a moved word belongs to the mover");
        if VARIANT & EARLY_CLEAR != 0 {
            self.exchange(shadow, word.with_state(MEMBER));
        }
        Some(())
    }
}

impl<const SLOTS: usize, const VARIANT: u32> Candidate for OneSet<SLOTS, VARIANT> {
    fn new(buckets: usize, key_of: KeyOf) -> Self {
        let (next, root) = (Watched::new(0), Watched::new(0));
        Self { old: table(buckets), new: OnceLock::new(), key_of, next, root }
    }

    #[inline]
    fn add(&self, adder: &mut Adder, key: u64, object: u64) -> Outcome {
        self.add_and(adder, key, object, |claim| self.open(claim))
    }

    fn abandon(&self, adder: &mut Adder, key: u64, object: u64) -> Outcome {
        self.add_and(adder, key, object, |_| {})
    }

    fn get(&self, key: u64) -> Option<u64> {
        self.find(key).ok().map(|spot| spot.word.object())
    }

    fn take(&self, adder: &mut Adder, key: u64) -> Option<u64> {
        loop {
            let spot = self.find(key).ok()?;
            if self.empty(spot, adder) {
                return Some(spot.word.object());
            }
        }
    }

    fn help(&self, key: u64) {
        let (old, new) = self.sets(key);
        [old, new].into_iter().flatten().for_each(|set| _ = self.open_last(set));
    }

    fn migrate(&self, adder: &mut Adder, steps: usize) {
        let _ = self.move_all(adder, &mut (0..steps));
    }

    #[inline]
    fn touch(&self, key: u64) {
        let set = set_of(&self.old, key);
        let load = |word: &Watched| word.load(Ordering::Relaxed);
        std::hint::black_box([load(&set.publication), load(&set.slots[SLOTS - 1])]);
    }

    fn members(&self) -> Vec<u64> {
        let old: Vec<Word> = self.old.iter().flat_map(Set::newest).collect();
        let new = self.new.get().into_iter().flatten().flat_map(Set::newest);
        let is_present =
            |word: &Word| word.is(MEMBER) || (word.is(SHADOW) && old.contains(&Word::moved(word.object())));
        new.chain(old.iter().copied()).filter(is_present).map(Word::object).collect()
    }

    fn is_settled(&self) -> bool {
        let all = |sets: &Sets<SLOTS>, fits: fn(Word) -> bool| sets.iter().flat_map(Set::newest).all(fits);
        let is_moved = self.root.newest() == 1;
        let is_old_settled =
            if is_moved { all(&self.old, Word::is_empty) } else { all(&self.old, |word| !word.is(CLAIM)) };
        let is_new_settled =
            |new| all(new, |word| !word.is(CLAIM)) && (!is_moved || all(new, |word| !word.is(SHADOW)));
        is_old_settled && self.new.get().is_none_or(is_new_settled)
    }

    fn assert_unique(&self) {
        let objects = self.members();
        for (index, &object) in objects.iter().enumerate() {
            let twin = objects[..index].iter().find(|&&other| (self.key_of)(other) == (self.key_of)(object));
            assert!(twin.is_none(), "two members of a key: {twin:?} and {object}");
        }
    }
}
