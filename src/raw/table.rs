//! A table: an array of buckets, the link to its successor, and the root that names the one in
//! force.

use super::bucket::{Bucket, SLOTS};
use super::publish::BUCKETS_MAX;
use super::set::{Chain, Position, Probe, Set, Spot};
use super::word::Word;
use crate::memory::{prefetch, prefetch_to_write, try_box, zeroed};
use crate::sync::untracked::{AtomicU64 as Untracked, Ordering as Order};
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};
use std::alloc::Layout;
use std::ptr::{self, NonNull};

/// `INVARIANT(STAYS)`: each member, shadow and claim owns one count of its block; a MOVED word owns
/// none. A count is given up, through `retire`, by whoever ends the stay with a successful
/// exchange.
pub(crate) struct Table<B> {
    buckets: Box<[Bucket<B>]>,
    next: AtomicPtr<Table<B>>,
    /// Unique in the process: an address may be used again.
    number: u64,
    /// Progress of the migration that empties this table: the next bucket to close, then the next
    /// to move.
    pub(super) closing: AtomicUsize,
    pub(super) moving: AtomicUsize,
}

/// Why a table could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableError {
    TooLarge,
    OutOfMemory,
}

impl<B> Table<B> {
    /// The smallest table: one set.
    pub(crate) const BUCKETS_MIN: usize = 2;

    /// Whether a table may have so many buckets.
    pub(crate) fn check_size(buckets: usize) -> Result<(), TableError> {
        if buckets > BUCKETS_MAX { Err(TableError::TooLarge) } else { Ok(()) }
    }

    pub(crate) fn new(buckets: usize) -> Result<Box<Self>, TableError> {
        let buckets = buckets.max(Self::BUCKETS_MIN);
        Self::check_size(buckets)?;
        static NEXT: Untracked = Untracked::new(1);
        try_box(Self {
            buckets: allocate(buckets)?,
            // ORDERING: Relaxed: the number only has to be unique.
            number: NEXT.fetch_add(1, Order::Relaxed),
            next: AtomicPtr::new(ptr::null_mut()),
            closing: AtomicUsize::new(0),
            moving: AtomicUsize::new(0),
        })
        .map_err(|_| TableError::OutOfMemory)
    }

    /// Buckets.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Slots.
    pub(crate) fn slots(&self) -> usize {
        self.len() * SLOTS
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The two buckets of a hash, home first.
    #[inline]
    pub(crate) fn buckets_of(&self, probe: &Probe) -> [usize; 2] {
        self.set_of(probe).buckets
    }

    /// A bucket by chance.
    pub(crate) fn bucket_at(&self, chance: u64) -> usize {
        super::set::scale(chance as u32, self.len())
    }

    /// The slots in one row.
    pub(crate) fn nth_slot(&self, n: usize) -> Position {
        Position { bucket: n / SLOTS, slot: n % SLOTS }
    }

    /// Whether every key has the same fourteen slots.
    #[inline]
    pub(crate) fn is_one_set(&self) -> bool {
        self.len() == Self::BUCKETS_MIN
    }

    #[inline]
    pub(super) fn bucket(&self, index: usize) -> &Bucket<B> {
        &self.buckets[index]
    }

    /// The buckets of a set of this table.
    #[inline(always)]
    pub(super) fn buckets_in(&self, set: Set) -> [&Bucket<B>; 2] {
        let [home, other] = set.buckets;
        [self.bucket(home), self.bucket(other)]
    }

    /// Asks for the cache line of a bucket, if there is one with this number.
    #[inline]
    pub(crate) fn prefetch(&self, bucket: usize) {
        self.buckets.get(bucket).into_iter().for_each(|bucket| prefetch(bucket));
    }

    /// What is in a slot now.
    #[inline]
    pub(crate) fn at(&self, position: Position) -> Spot<'_, B> {
        Spot { table: self, position, word: self.bucket(position.bucket).load(position.slot) }
    }

    /// A word that was seen in a slot.
    #[inline]
    pub(crate) fn spot(&self, bucket: usize, slot: usize, word: Word<B>) -> Spot<'_, B> {
        Spot { table: self, position: Position { bucket, slot }, word }
    }

    /// What is in the slots of a bucket, one after another.
    #[inline]
    pub(crate) fn bucket_spots(&self, bucket: usize) -> impl Iterator<Item = Spot<'_, B>> {
        let slots = self.bucket(bucket);
        (0..SLOTS).map(move |slot| self.spot(bucket, slot, slots.load(slot)))
    }

    /// What is in the slots of a set, one after another, home first.
    pub(crate) fn set_spots(&self, probe: &Probe) -> impl Iterator<Item = Spot<'_, B>> {
        self.set_of(probe).positions().map(move |position| self.at(position))
    }

    #[inline]
    pub(crate) fn next(&self) -> Option<&Self> {
        // ORDERING: Acquire: sees the table as it was made; pairs with `link`. Model:
        // `migrate_and_replace`.
        let next = self.next.load(Ordering::Acquire);
        // SAFETY: a successor is retired after its predecessor, which the caller's guard keeps
        // alive.
        unsafe { next.as_ref() }
    }

    /// Publishes the successor, unless there is one.
    pub(super) fn link(&self, next: Box<Self>) {
        let next = Box::into_raw(next);
        // ORDERING: Release: publishes the table, pairs with `next`. Relaxed on failure: nothing is
        // read. Model: `migrate_and_replace`.
        let linked =
            self.next.compare_exchange(ptr::null_mut(), next, Ordering::Release, Ordering::Relaxed);
        if linked.is_err() {
            // SAFETY: it came from the box above, and nobody else has seen it.
            drop(unsafe { Box::from_raw(next) });
        }
    }
}

/// Zeroed memory is a row of fresh buckets.
#[cfg(not(any(sessile_loom, sessile_shuttle)))]
fn allocate<B>(buckets: usize) -> Result<Box<[Bucket<B>]>, TableError> {
    let layout = Layout::array::<Bucket<B>>(buckets).map_err(|_| TableError::TooLarge)?;
    let memory = zeroed(layout).ok_or(TableError::OutOfMemory)?.cast::<Bucket<B>>();
    let row = ptr::slice_from_raw_parts_mut(memory.as_ptr(), buckets);
    // SAFETY: 1. The memory has the layout of the boxed slice, from the global allocator. 2. A
    // bucket is atomic integers and pointers, for which all bits zero is a value.
    Ok(unsafe { Box::from_raw(row) })
}

#[cfg(any(sessile_loom, sessile_shuttle))]
fn allocate<B>(buckets: usize) -> Result<Box<[Bucket<B>]>, TableError> {
    let _: (Option<Layout>, fn(Layout) -> Option<NonNull<u8>>) = (None, zeroed);
    Ok((0..buckets).map(|_| Bucket::new()).collect())
}

/// The oldest table in force. Its successors hang on it.
pub(crate) struct Root<B> {
    oldest: AtomicPtr<Table<B>>,
    /// Where its buckets lie and how many they are, for those who want no more than to ask for
    /// their cache lines.
    row: Row,
}

/// An address and a length that may not belong together for a moment: nothing is read through them.
struct Row {
    address: Untracked,
    buckets: Untracked,
}

impl Row {
    fn of<B>(table: &Table<B>) -> Self {
        let row = Self { address: Untracked::new(0), buckets: Untracked::new(0) };
        row.move_to(table);
        row
    }

    // ORDERING: Relaxed throughout: hints.

    fn move_to<B>(&self, table: &Table<B>) {
        self.address.store(table.buckets.as_ptr().addr() as u64, Order::Relaxed);
        self.buckets.store(table.len() as u64, Order::Relaxed);
    }

    #[inline(always)]
    fn probe<B>(&self, hash: u64, will_write: bool) -> Probe {
        let address = self.address.load(Order::Relaxed) as usize;
        let probe = Probe::new(hash, self.buckets.load(Order::Relaxed) as usize);
        let line = |bucket| ptr::without_provenance::<Bucket<B>>(address).wrapping_add(bucket);
        let [home, other] = probe.set().buckets.map(line);
        if will_write {
            prefetch_to_write(home)
        } else {
            prefetch(home)
        }
        prefetch(other);
        probe
    }
}

impl<B> Root<B> {
    pub(crate) fn new(table: Box<Table<B>>) -> Self {
        let row = Row::of(&table);
        Self { oldest: AtomicPtr::new(Box::into_raw(table)), row }
    }

    /// The probe of a hash. Asks for the cache lines of its set, without a guard: on large tables
    /// the lines come while the guard is taken, and while the lookup before this one still waits
    /// for its session.
    #[inline(always)]
    pub(crate) fn probe(&self, hash: u64) -> Probe {
        self.row.probe::<B>(hash, false)
    }

    /// The same for an operation that will write to the home, most probably.
    #[inline(always)]
    pub(crate) fn probe_to_write(&self, hash: u64) -> Probe {
        self.row.probe::<B>(hash, true)
    }

    /// The tables in force.
    ///
    /// # Safety
    /// The caller is pinned for `'t` in the domain that retires the tables, or has the root for
    /// itself.
    #[inline]
    pub(crate) unsafe fn chain<'t>(&self) -> Chain<'t, B> {
        // ORDERING: Acquire: sees the table as it was made; pairs with `advance`. Model:
        // `migrate_and_get`.
        let oldest = self.oldest.load(Ordering::Acquire);
        // SAFETY: the root is never null, and a table that was reachable when the guard began is
        // not freed under it.
        Chain { oldest: unsafe { &*oldest } }
    }

    /// Makes the successor of `emptied` the oldest table, and returns `emptied` for retirement.
    ///
    /// The caller is the mover, `emptied` is the oldest table and has a successor.
    pub(super) fn advance(&self, emptied: &Table<B>) -> Option<NonNull<Table<B>>> {
        // ORDERING: Relaxed: the mover has seen it by `next`. The pointer itself is taken, not one
        // made from a reference: it will be freed by.
        let next = emptied.next.load(Ordering::Relaxed);
        if next.is_null() {
            return None;
        }
        // ORDERING: Release so that whoever loads the root sees the new table, pairs with `chain`.
        // Model: `migrate_and_get`.
        let old = self.oldest.swap(next, Ordering::Release);
        // SAFETY: the successor is alive as long as it is the oldest, and the mover alone changes
        // that.
        self.row.move_to(unsafe { &*next });
        debug_assert!(ptr::eq(old, emptied));
        NonNull::new(old)
    }
}

impl<B> Drop for Root<B> {
    fn drop(&mut self) {
        // ORDERING: Relaxed twice: `&mut self` is ordered after every other user.
        let mut table = self.oldest.load(Ordering::Relaxed);
        while !table.is_null() {
            // SAFETY: the tables from the root on came from boxes and are freed here once; the
            // blocks in them were released by the owner of the root.
            let owned = unsafe { Box::from_raw(table) };
            table = owned.next.load(Ordering::Relaxed);
        }
    }
}
