//! The table alone, for models that need more threads than the whole cache leaves room for.
//!
//! The steps are the table's own; what is left out is counting, permits, eviction and reclamation.
//! Marks are never freed in a model, so every address stays valid.

use crate::raw::{Root, Spot, Stamp, Table, Tag, Word};
use std::fmt;
use std::ptr::NonNull;

/// What a [`BareTable`] stores.
#[derive(Debug)]
#[repr(align(16))]
pub struct Mark {
    /// Tells keys with one hash apart.
    pub key: u8,
    /// Tells marks apart.
    pub number: u8,
}

/// A table of two buckets without a cache around it.
pub struct BareTable(Root<Mark>);

impl BareTable {
    /// An empty table: one set.
    pub fn new() -> Self {
        let Ok(table) = Table::new(2) else { unreachable!("two buckets are a valid size") };
        Self(Root::new(table))
    }

    fn table(&self) -> &Table<Mark> {
        // SAFETY: nothing is retired here, so no guard is needed.
        unsafe { self.0.chain() }.oldest()
    }

    fn find(&self, hash: u64, key: u8) -> Option<Spot<'_, Mark>> {
        // SAFETY: as in `table`; marks are never freed.
        unsafe { self.0.chain() }
            .find(&self.table().probe(hash), |mark| unsafe { mark.as_ref() }.key == key)
    }

    /// What every `SessionCache::add` of a key with this home does first: it opens what is pending
    /// there.
    pub fn help(&self, hash: u64) {
        let finish = |block| Word::member(block, Tag::of_hash(hash), Stamp::of_tick(0));
        assert!(
            self.table().settle(&self.table().probe(hash), &finish).is_some(),
            "nothing closes this table"
        );
    }

    /// The steps of `SessionCache::add`, for `claimant`. True when the mark was inserted, false
    /// when it replaced another.
    pub fn add(&self, hash: u64, mark: &'static Mark, claimant: usize) -> bool {
        self.add_with(hash, mark, claimant, || {})
    }

    /// The same with something in between: after the claim of a slot, before its publication.
    pub fn add_with(
        &self,
        hash: u64,
        mark: &'static Mark,
        claimant: usize,
        claimed: impl Fn(),
    ) -> bool {
        let (tag, stamp) = (Tag::of_hash(hash), Stamp::of_tick(0));
        let block = NonNull::from(mark);
        let table = self.table();
        loop {
            let finish = |block| Word::member(block, tag, stamp);
            let Some(home) = table.settle(&table.probe(hash), &finish) else {
                unreachable!("nothing closes this table")
            };
            if let Some(spot) = self.find(hash, mark.key) {
                if spot.exchange(Word::member(block, tag, stamp)) {
                    return false;
                }
            } else if let Some(spot) =
                table.set_spots(&table.probe(hash)).find(|spot| spot.word.is_empty())
            {
                let claim = spot.claim(block, tag, claimant + 1, home);
                claim.iter().for_each(|_| claimed());
                if claim.is_some_and(|claim| claim.publish(stamp)) {
                    return true;
                }
            }
            crate::sync::relax();
        }
    }

    /// The steps of `SessionCache::take`.
    pub fn take(&self, hash: u64, key: u8) -> Option<u8> {
        loop {
            let spot = self.find(hash, key)?;
            if spot.exchange(Word::EMPTY) {
                // SAFETY: marks are never freed.
                return spot.block().map(|mark| unsafe { mark.as_ref() }.number);
            }
            crate::sync::relax();
        }
    }

    /// The numbers of all members.
    pub fn members(&self) -> Vec<u8> {
        let table = self.table();
        let spots = (0..table.len()).flat_map(|bucket| table.bucket_spots(bucket));
        let members = spots.filter(|spot| spot.word.is_member()).filter_map(|spot| spot.block());
        // SAFETY: marks are never freed.
        members.map(|mark| unsafe { mark.as_ref() }.number).collect()
    }
}

impl Default for BareTable {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BareTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BareTable(..)")
    }
}
