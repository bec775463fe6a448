//! The table alone, for models that need more threads than the whole cache leaves room for.
//!
//! The steps are the table's own; what is left out is counting, permits, eviction and reclamation.
//! Marks are never freed in a model, so every address stays valid.

use crate::raw::{Entry, Occupied, RawTable, Table};
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
pub struct BareTable(RawTable<Mark>);

impl BareTable {
    /// An empty table: one set.
    pub fn new() -> Self {
        let Some(table) = Table::new(2) else { unreachable!("two buckets are a valid size") };
        Self(RawTable::new(table))
    }

    fn oldest(&self) -> &Table<Mark> {
        // SAFETY: nothing is retired here and marks are never freed, so no guard is needed.
        unsafe { self.0.oldest() }
    }

    fn find(&self, hash: u64, key: u8) -> Option<Occupied<'_, Mark>> {
        self.oldest().find(&self.0.probe(hash), |mark| mark.key == key)
    }

    /// What every `SessionCache::add` of a key with this home does first: it opens what is pending
    /// there.
    pub fn help(&self, hash: u64) {
        self.oldest().open_home(&self.0.probe(hash), &|_| (hash, 0));
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
        let (block, probe) = (NonNull::from(mark), self.0.probe(hash));
        let claimed = || {
            claimed();
            0
        };
        loop {
            match self.oldest().entry(&probe, &|_| (hash, 0), |other| other.key == mark.key) {
                Entry::Occupied(member) => {
                    if member.replace(block, 0).is_some() {
                        return false;
                    }
                }
                Entry::Vacant(vacant) => {
                    let free = vacant.set().first_free();
                    let insert =
                        |free| vacant.insert(free, block, &probe, claimant + 1, |_| claimed());
                    if free.and_then(insert).is_some() {
                        return true;
                    }
                }
                Entry::Resized => unreachable!("nothing closes this table"),
            }
            crate::sync::relax();
        }
    }

    /// The steps of `SessionCache::take`.
    pub fn take(&self, hash: u64, key: u8) -> Option<u8> {
        loop {
            let member = self.find(hash, key)?;
            if member.remove().is_some() {
                return Some(member.block().number);
            }
            crate::sync::relax();
        }
    }

    /// Hangs a table of so many buckets on the oldest one, unless one hangs there, and returns the
    /// number of the one that does.
    pub fn grow(&self, buckets: usize) -> Option<u64> {
        self.oldest().succeeded_by(buckets).map(Table::number)
    }

    /// The numbers of all members.
    pub fn members(&self) -> Vec<u8> {
        let table = self.oldest().newest();
        let members = (0..table.len()).flat_map(|bucket| table.members(bucket));
        members.map(|member| member.block().number).collect()
    }

    /// Runs `f` with a claimant's number that is lent to nobody else meanwhile.
    pub fn with_lent<R>(&self, f: impl FnOnce(usize) -> R) -> Option<R> {
        let claimant = self.0.claimant(usize::MAX)?;
        Some(f(claimant.number))
    }

    /// Wants a size and moves to it, unless another thread does. There is nothing to move.
    pub fn resize(&self) {
        let resize = self.0.resize();
        resize.request();
        while resize.try_lock() {
            resize.clear();
            resize.unlock();
            if !resize.is_still_requested() {
                return;
            }
        }
    }

    /// Whether every size that was wanted was looked at.
    pub fn is_settled(&self) -> bool {
        !self.0.resize().is_still_requested()
    }
}
