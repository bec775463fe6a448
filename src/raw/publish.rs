//! Unique insertion: the publication word.
//!
//! Two adders of one absent key may claim two different slots, since a key has fourteen. What keeps
//! a key unique is one word per bucket that every insertion of a key with that *home* must advance.
//! An insertion is
//!
//! 1. **settle** the home: load its publication word; if it says *pending*, open the claim it names
//!    and mark it *settled*. [`Home`] is the settled value.
//! 2. search the whole set; go on only if the key is absent.
//! 3. **claim** a slot: `EMPTY`, or a victim, becomes `CLAIM(X, nonce)`. Nobody but the claimant
//!    touches an unpublished claim, and nobody looks at its block.
//! 4. **publish**: exchange the home's word, *from the value of step 1*, for *pending(version + 1,
//!    position, nonce)*. Failure means that some key of this home was published since the search:
//!    withdraw the claim and start over.
//! 5. **open**: `CLAIM(X, nonce)` becomes `MEMBER(X)`. A helper may have been faster; either way
//!    the insertion was decided in step 4. Then mark the word settled.
//!
//! `INVARIANT(UNIQUE-KEY)`: at most one member of a key exists in the tables at any time. Members
//! of an absent key arise in step 5 alone, after a publication that found the key absent at some
//! moment after step 1, with no publication of this home in between; every earlier publication was
//! opened before step 2, or was gone by then. A replacement keeps the slot and so the count of
//! members.
//!
//! `INVARIANT(CLAIM-IDENTITY)`: a claim that a pending word names by position and nonce is the
//! published one. The nonce carries the claimant's number, and a claimant whose publication is
//! pending is still inside that `add`: it has no other claim. `settle` therefore looks at the slot
//! *between* two loads of the same pending word. The bound: eight bits of the version are in the
//! nonce, so a helper that sleeps behind its second look is fooled by a claim of the same object,
//! slot and claimant that is 256 publications of the home younger, and not published.
//!
//! A bucket of a table that is being emptied has its word *closed*: no publication succeeds any
//! more.
//!
//! ```text
//!   63     62      61   59 58        35 34      25 24                0
//!  +------+-------+-------+------------+----------+--------------------+
//!  |closed|pending| slot  |   bucket   | claimant |      version       |
//!  +------+-------+-------+------------+----------+--------------------+
//! ```
//!
//! The version wraps after 33 million publications of one home. An adder that sleeps for exactly a
//! multiple of that between its search and its publication, and then finds the same claimant and
//! slot, would not notice.

use super::set::{Probe, SetRef};
use super::slot::{SlotIndex, SlotRef};
use super::table::{BUCKET_BITS, Table};
use super::word::{Nonce, Stamp, Tag, Word};
use crate::hint::{likely, unlikely};
use crate::sync::{AtomicU64, Ordering};
use std::ptr::NonNull;

/// Claimant numbers: one for each thread that may be inserting, see [`Nonce`].
pub(crate) const CLAIMANTS: usize = 1 << Nonce::CLAIMANT_BITS;

const CLOSED: u64 = 1 << 63;
const PENDING: u64 = 1 << 62;
const SLOT_SHIFT: u32 = 59;
const BUCKET_SHIFT: u32 = SLOT_SHIFT - BUCKET_BITS;
const CLAIMANT_SHIFT: u32 = BUCKET_SHIFT - Nonce::CLAIMANT_BITS;
const VERSION: u64 = (1 << CLAIMANT_SHIFT) - 1;

const _: () = assert!(super::table::SLOTS <= 1 << (62 - SLOT_SHIFT));
const _: () = assert!(CLAIMANT_SHIFT > Nonce::VERSION_BITS);

/// A home's publication word, settled: the licence to insert a key that is absent from the set
/// *afterwards*.
#[derive(Clone, Copy)]
pub(super) struct Home<'t> {
    word: &'t AtomicU64,
    publication: u64,
}

/// A slot that holds our claim.
pub(crate) struct Claim<'t, B> {
    spot: SlotRef<'t, B>,
    block: NonNull<B>,
    tag: Tag,
    nonce: Nonce,
    home: Home<'t>,
}

/// What a pending publication names.
struct Pending {
    position: SlotIndex,
    nonce: Nonce,
}

impl Pending {
    fn decode(publication: u64) -> Self {
        let field = |shift: u32, bits: u32| (publication >> shift) & ((1 << bits) - 1);
        Self {
            position: SlotIndex {
                bucket: field(BUCKET_SHIFT, BUCKET_BITS) as usize,
                slot: field(SLOT_SHIFT, 3) as usize,
            },
            nonce: Nonce::new(
                field(CLAIMANT_SHIFT, Nonce::CLAIMANT_BITS) as usize,
                publication & VERSION,
            ),
        }
    }

    fn encode(&self, version: u64) -> u64 {
        PENDING
            | (self.position.slot as u64) << SLOT_SHIFT
            | (self.position.bucket as u64) << BUCKET_SHIFT
            | u64::from(self.nonce.claimant) << CLAIMANT_SHIFT
            | (version & VERSION)
    }
}

/// Makes the member word of a block that another thread claims a slot for.
pub(super) trait Finish<B> {
    /// `block` is alive under the guard of the caller.
    fn member(&self, block: NonNull<B>) -> Word<B>;
}

impl<B, F: Fn(NonNull<B>) -> Word<B>> Finish<B> for F {
    fn member(&self, block: NonNull<B>) -> Word<B> {
        self(block)
    }
}

impl<'g, B> SetRef<'g, B> {
    /// Step 1 for a key of this set. `None` when the home is closed: there is a newer table to
    /// insert into.
    #[inline(always)]
    pub(super) fn settle(self, finish: &impl Finish<B>) -> Option<Home<'g>> {
        let word = &self.home().publication;
        let publication = self.table.settle_home(word, finish);
        likely(publication & CLOSED == 0).then_some(Home { word, publication })
    }
}

impl<B> Table<B> {
    /// Forbids every further publication in the home of this hash, and finishes the last one.
    pub(super) fn close(&self, probe: &Probe, finish: &impl Finish<B>) {
        self.close_bucket(self.set_of(probe).buckets[0], finish);
    }

    pub(super) fn close_bucket(&self, bucket: usize, finish: &impl Finish<B>) {
        let word = &self.bucket(bucket).publication;
        // ORDERING: Relaxed: a hint that spares the write; `settle_home` reads it again.
        if word.load(Ordering::Relaxed) & CLOSED == 0 {
            // ORDERING: Relaxed: it goes on with the release sequence of the last publication,
            // which `settle_home` acquires.
            word.fetch_or(CLOSED, Ordering::Relaxed);
        }
        self.settle_home(word, finish);
    }

    /// Opens what is pending and returns the word once nothing is.
    #[inline]
    fn settle_home(&self, word: &AtomicU64, finish: &impl Finish<B>) -> u64 {
        loop {
            // ORDERING: Acquire: the claim that the word names is visible, and so is every earlier
            // one of this home; pairs with the Release in `publish` and `mark_settled`. Model:
            // `publish_two`.
            let publication = word.load(Ordering::Acquire);
            if likely(publication & PENDING == 0) {
                return publication;
            }
            self.help(word, publication, finish);
        }
    }

    /// Opens the claim that `publication` names and marks it settled.
    #[cold]
    fn help(&self, word: &AtomicU64, publication: u64, finish: &impl Finish<B>) {
        let Pending { position, nonce } = Pending::decode(publication);
        let seen = self.bucket(position.bucket).load(position.slot);
        // The second look of CLAIM-IDENTITY: the same pending word before and after means that its
        // claimant had no other claim in between. ORDERING: Relaxed: whoever sees a later claim, by
        // the Acquire load of the slot, sees that the claimant's earlier publication is settled.
        if word.load(Ordering::Relaxed) & !CLOSED != publication & !CLOSED {
            return;
        }
        if let (true, Some(block)) = (seen.is_claim(nonce), seen.address()) {
            // The claim was the published one at the second look, so its block is stored or will
            // be: its count is given up through `retire`, after the guard of this helper.
            let member = finish.member(block);
            // LINEARIZE: the insertion, when a helper performs it.
            SlotRef { table: self, position, word: seen }.exchange(member);
        }
        mark_settled(word, publication);
    }
}

/// Turns a pending word into a settled one unless somebody did.
#[inline]
fn mark_settled(word: &AtomicU64, publication: u64) {
    // A close may add its bit meanwhile; then the word is tried once more with it.
    for closed in [publication & CLOSED, CLOSED] {
        let from = publication | closed;
        // ORDERING: Release: the open happens before any insertion that builds on the settled word;
        // pairs with the Acquire in `settle_home`. Relaxed on failure: whoever changed the word
        // has settled it, or closed it.
        // Model: `publish_two`.
        if word
            .compare_exchange(from, from & !PENDING, Ordering::Release, Ordering::Relaxed)
            .is_ok()
        {
            return;
        }
    }
}

impl<'t, B> SlotRef<'t, B> {
    /// Step 3: puts a claim for `block` where `word`, empty or a victim, was seen.
    ///
    /// # Errors
    /// The word changed meanwhile.
    #[inline]
    pub(super) fn claim(
        &self,
        block: NonNull<B>,
        tag: Tag,
        claimant: usize,
        home: Home<'t>,
    ) -> Option<Claim<'t, B>> {
        let nonce = Nonce::new(claimant, (home.publication + 1) & VERSION);
        let word = Word::claim(block, nonce);
        // LINEARIZE: an eviction, when `self.word` is a member.
        let spot = Self { word, ..*self };
        self.exchange(word).then_some(Claim { spot, block, tag, nonce, home })
    }
}

/// Gives a claimed slot up. False if the block is stored all the same: nobody else touches an
/// unpublished claim, but should a helper ever be fooled by a nonce that wrapped, it must count as
/// stored.
#[inline]
fn withdraw<B>(claim: &SlotRef<'_, B>) -> bool {
    claim.exchange(Word::EMPTY)
}

impl<B> Claim<'_, B> {
    /// Gives the slot up, see [`withdraw`].
    #[cfg(test)]
    pub(crate) fn withdraw(self) -> bool {
        withdraw(&self.spot)
    }

    /// Steps 4 and 5. True when the block is stored; false when the claim was withdrawn.
    #[inline]
    pub(crate) fn publish(self, stamp: Stamp) -> bool {
        let Self { spot, block, tag, nonce, home } = self;
        let pending = Pending { position: spot.position, nonce };
        let publication = pending.encode((home.publication + 1) & VERSION);
        // ORDERING: Release publishes the claim; pairs with the Acquire in `settle_home`. Relaxed
        // on failure: the caller starts over. Model: `publish_two`, `add_and_add`.
        let published = home.word.compare_exchange(
            home.publication,
            publication,
            Ordering::Release,
            Ordering::Relaxed,
        );
        if unlikely(published.is_err()) {
            return !withdraw(&spot);
        }
        // LINEARIZE: the insertion. If a helper opened the claim first, it did this; somebody may
        // even have replaced or taken the session since.
        spot.exchange(Word::member(block, tag, stamp));
        mark_settled(home.word, publication);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(16))]
    struct Block;

    const CLAIMANT: usize = 1;
    const RIVAL: usize = 2;

    /// A set in which everything has one home and one tag, and what happens there one step after
    /// another.
    struct Scene {
        table: Box<Table<Block>>,
        probe: Probe,
        blocks: [Block; 3],
    }

    impl Scene {
        fn new() -> Self {
            let Some(table) = Table::new(2) else { panic!("two buckets are a valid size") };
            let probe = table.probe(0);
            Self { table, probe, blocks: [Block, Block, Block] }
        }

        fn block(&self, n: usize) -> NonNull<Block> {
            NonNull::from(&self.blocks[n])
        }

        fn member(&self, block: NonNull<Block>) -> Word<Block> {
            Word::member(block, self.probe.tag(), Stamp::of_tick(0))
        }

        fn claim(&self, claimant: usize, n: usize, slot: usize) -> Claim<'_, Block> {
            let set = self.table.set(&self.probe);
            let home = set.settle(&|block| self.member(block)).unwrap();
            let spot = self.table.at(SlotIndex { bucket: self.probe.set().buckets[0], slot });
            assert!(spot.word.is_empty());
            spot.claim(self.block(n), self.probe.tag(), claimant, home).unwrap()
        }

        fn take(&self, slot: usize) {
            let spot = self.table.at(SlotIndex { bucket: self.probe.set().buckets[0], slot });
            assert!(spot.word.is_member() && spot.exchange(Word::EMPTY));
        }

        fn members(&self) -> usize {
            self.table.set(&self.probe).members().count()
        }

        /// A helper sees block 0 published, and sleeps between its second look and its exchange.
        /// The block is opened and taken, and its claimant claims its slot for it again, which a
        /// rival overtakes by the last of so many `publications`. Then the helper goes on. Returns
        /// the claim, which was never published.
        fn helped_after(&self, publications: u64) -> Claim<'_, Block> {
            let first = self.claim(CLAIMANT, 0, 0);
            let word = first.home.word;
            let pending = Pending { position: first.spot.position, nonce: first.nonce }
                .encode((first.home.publication + 1) & VERSION);
            // ORDERING: Relaxed: one thread.
            word.store(pending, Ordering::Relaxed);
            let second = std::cell::Cell::new(None);
            let sleep = |block| {
                first.spot.exchange(self.member(first.block));
                mark_settled(word, pending);
                self.take(0);
                for _ in 1..publications {
                    assert!(self.claim(RIVAL, 1, 1).publish(Stamp::of_tick(0)));
                    self.take(1);
                }
                second.set(Some(self.claim(CLAIMANT, 0, 0)));
                assert!(self.claim(RIVAL, 1, 1).publish(Stamp::of_tick(0)));
                self.member(block)
            };
            self.table.help(word, pending, &sleep);
            second.take().unwrap()
        }
    }

    /// The bound of CLAIM-IDENTITY: a claim carries eight bits of its version.
    #[test]
    fn a_helper_that_sleeps_across_256_publications_of_one_home_opens_what_was_not_published() {
        for publications in 1..=600 {
            let scene = Scene::new();
            let is_fooled = publications % (1 << Nonce::VERSION_BITS) == 0;
            let claim = scene.helped_after(publications);
            assert_eq!(scene.members(), if is_fooled { 2 } else { 1 }, "after {publications}");
            assert_eq!(
                claim.publish(Stamp::of_tick(0)),
                is_fooled,
                "what is a member counts as stored"
            );
            assert_eq!(scene.members(), if is_fooled { 2 } else { 1 });
        }
    }

    /// Whoever withdraws a claim that was opened all the same, and replaced since, leaves the
    /// successor where it is.
    #[test]
    fn a_withdrawal_empties_its_own_claim_and_nothing_else() {
        let scene = Scene::new();
        let claim = scene.helped_after(1 << Nonce::VERSION_BITS);
        let (spot, successor) = (scene.table.at(claim.spot.position), scene.member(scene.block(2)));
        assert!(spot.word == scene.member(scene.block(0)) && spot.exchange(successor));
        assert!(claim.publish(Stamp::of_tick(0)), "its session was stored, and replaced");
        assert!(scene.table.at(spot.position).word == successor);
    }
}
