//! The threads' records: found by index, each with one owner at a time.
//!
//! Records lie in groups, groups in segments, of which each has twice as many as the one before: a
//! record never moves, and an index leads to it in a few steps. A group has two words of bits. A
//! record is *owned* while a thread leases it, or somebody tidies up after its last owner; whoever
//! sets the bit owns it, and the lowest free record is taken first. It is *busy* while it is owned
//! or holds something that others must look after. Only the owner changes that, so that nobody
//! takes the bit away from a record that was leased anew. Walks visit busy records: those of
//! threads that are gone cost a bit each.

use crate::sync::on_request::{AtomicPtr, AtomicU64};
use crate::sync::untracked::{AtomicU64 as Untracked, AtomicUsize};
use crate::sync::{MODELLED, Ordering};
use std::array;
use std::ptr::{self, NonNull};

pub(crate) struct Registry<N> {
    /// Segment k has 2^k groups.
    segments: [AtomicPtr<Segment<N>>; SEGMENTS],
    /// The segments that walks have to look at: whoever knows of a record knows of its segment.
    published: AtomicUsize,
    /// Records that are leased.
    leased: AtomicUsize,
}

struct Segment<N> {
    /// How many of its records are busy: walks leave a segment out that has none. Raised before the
    /// bit is set and lowered after it is taken away, by the owner.
    busy: AtomicUsize,
    groups: Box<[Group<N>]>,
}

struct Group<N> {
    owned: AtomicU64,
    /// INVARIANT(BUSY-OWNER): changed by the record's owner alone. No proof rests on its order:
    /// whoever knows of what a record holds knows of the bit, which was set before.
    busy: Untracked,
    records: [AtomicPtr<Record<N>>; GROUP],
}

/// In this order: what the value begins with begins a cache line.
#[repr(C)]
pub(crate) struct Record<N> {
    pub(crate) value: N,
    /// Unique in the registry.
    pub(crate) index: usize,
    /// What the record lies in.
    segment: NonNull<Segment<N>>,
    group: NonNull<Group<N>>,
}

/// Records of a group.
const GROUP: usize = if MODELLED { 2 } else { u64::BITS as usize };
/// Enough for more threads than a system can have.
const SEGMENTS: usize = if MODELLED { 3 } else { 20 };

impl<N> Registry<N> {
    pub(crate) fn new() -> Self {
        let segments = array::from_fn(|_| AtomicPtr::new(ptr::null_mut()));
        Self { segments, published: AtomicUsize::new(0), leased: AtomicUsize::new(0) }
    }

    /// Takes the lowest free record, which is built from its index if it is the first time.
    pub(crate) fn acquire(&self, make: impl FnOnce(usize) -> N) -> &Record<N> {
        // ORDERING: Relaxed: a statistic.
        self.leased.fetch_add(1, Ordering::Relaxed);
        let owned = (0..SEGMENTS).find_map(|nth| {
            let segment = self.segment_or_new(nth);
            let mut groups = Self::groups_of(nth, segment);
            groups.find_map(|(first, group)| Some((segment, first, group, group.own_lowest()?)))
        });
        let Some((segment, first, group, bit)) = owned else {
            unreachable!("no system has so many threads")
        };
        // ORDERING: Relaxed: the owner's own bit; for others see the fields.
        if group.busy.load(Ordering::Relaxed) & (1 << bit) == 0 {
            segment.busy.fetch_add(1, Ordering::Relaxed);
            group.busy.fetch_or(1 << bit, Ordering::Relaxed);
        }
        let make = |index| {
            let (segment, group) = (NonNull::from(segment), NonNull::from(group));
            Record { value: make(index), index, segment, group }
        };
        group.record(bit).unwrap_or_else(|| group.put(bit, make(first + bit)))
    }

    /// Frees a record that was [acquired](Self::acquire) for another owner.
    pub(crate) fn release(&self, record: &Record<N>) {
        record.disown();
        // ORDERING: Relaxed: a statistic.
        self.leased.fetch_sub(1, Ordering::Relaxed);
    }

    /// All records, used or not.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Record<N>> {
        let groups = self.segments().flat_map(|(nth, segment)| Self::groups_of(nth, segment));
        groups.flat_map(|(_, group)| (0..GROUP).filter_map(|bit| group.record(bit)))
    }

    /// The busy records from an index on.
    pub(crate) fn busy_from(&self, index: usize) -> impl Iterator<Item = &Record<N>> {
        let groups = self.busy_groups().filter(move |(first, _)| first + GROUP > index);
        groups.flat_map(move |(first, group)| {
            // ORDERING: Relaxed: see the field.
            let busy = group.busy.load(Ordering::Relaxed) & (!0 << index.saturating_sub(first));
            group.records_of(busy)
        })
    }

    /// The records that have an owner now: of those that are busy, what threads left that exited
    /// are not among them.
    pub(crate) fn owned(&self) -> impl Iterator<Item = &Record<N>> {
        self.busy_groups().flat_map(|(_, group)| {
            // ORDERING: Relaxed twice: whoever knows of what an owner put into its record knows of
            // the bits, which were set before.
            let (busy, owned) = (&group.busy, &group.owned);
            group.records_of(busy.load(Ordering::Relaxed) & owned.load(Ordering::Relaxed))
        })
    }

    /// The groups of the segments with busy records.
    fn busy_groups(&self) -> impl Iterator<Item = (usize, &Group<N>)> {
        // ORDERING: Relaxed: see the field.
        let segments =
            self.segments().filter(|(_, segment)| segment.busy.load(Ordering::Relaxed) > 0);
        segments.flat_map(|(nth, segment)| Self::groups_of(nth, segment))
    }

    /// The busy records.
    pub(crate) fn busy(&self) -> impl Iterator<Item = &Record<N>> {
        self.busy_from(0)
    }

    /// Records that are leased now.
    pub(crate) fn leased(&self) -> usize {
        // ORDERING: Relaxed: a statistic.
        self.leased.load(Ordering::Relaxed)
    }

    fn segments(&self) -> impl Iterator<Item = (usize, &Segment<N>)> {
        // ORDERING: Relaxed: see the field.
        (0..self.published.load(Ordering::Relaxed)).map_while(|nth| Some((nth, self.segment(nth)?)))
    }

    /// The groups of a segment, each with the index of its first record.
    fn groups_of(nth: usize, segment: &Segment<N>) -> impl Iterator<Item = (usize, &Group<N>)> {
        let before = (1 << nth) - 1;
        segment
            .groups
            .iter()
            .enumerate()
            .map(move |(place, group)| ((before + place) * GROUP, group))
    }

    fn segment(&self, nth: usize) -> Option<&Segment<N>> {
        // SAFETY: a published segment lives as long as the registry.
        unsafe { self.segment_address(nth).as_ref() }
    }

    fn segment_address(&self, nth: usize) -> *mut Segment<N> {
        // ORDERING: Acquire: pairs with the Release in `segment_or_new`. Model:
        // `registry_is_walked`.
        self.segments[nth].load(Ordering::Acquire)
    }

    /// Lets walks come to a segment, before a record in it has an owner: who put the segment there
    /// may sleep.
    fn announce(&self, nth: usize) {
        // ORDERING: Relaxed twice: see the field.
        if self.published.load(Ordering::Relaxed) <= nth {
            self.published.fetch_max(nth + 1, Ordering::Relaxed);
        }
    }

    fn segment_or_new(&self, nth: usize) -> &Segment<N> {
        if let Some(segment) = self.segment(nth) {
            self.announce(nth);
            return segment;
        }
        let groups = (0..1 << nth).map(|_| Group::new()).collect();
        let raw = Box::into_raw(Box::new(Segment { busy: AtomicUsize::new(0), groups }));
        // ORDERING: Release publishes the segment, Acquire on failure sees another thread's: pairs
        // with each other and with `segment`. Model: `registry_is_walked`.
        match self.segments[nth].compare_exchange(
            ptr::null_mut(),
            raw,
            Ordering::Release,
            Ordering::Acquire,
        ) {
            Ok(_) => {
                self.announce(nth);
                // SAFETY: as in `segment`.
                unsafe { &*raw }
            }
            Err(published) => {
                // SAFETY: `raw` was not published.
                drop(unsafe { Box::from_raw(raw) });
                self.announce(nth);
                // SAFETY: as in `segment`.
                unsafe { &*published }
            }
        }
    }
}

impl<N> Record<N> {
    /// Where its bits are.
    fn place(&self) -> (&Segment<N>, &Group<N>, usize) {
        // SAFETY: the record lies in them, and they live as long as it does.
        unsafe { (self.segment.as_ref(), self.group.as_ref(), self.index % GROUP) }
    }

    /// Runs `f` as the record's owner, unless it has one.
    pub(crate) fn if_unowned(&self, f: impl FnOnce()) {
        let (_, group, bit) = self.place();
        if group.try_own(bit) {
            f();
            self.disown();
        }
    }

    /// Leaves the record out of the walks until it is acquired again. Called by its owner, when it
    /// holds nothing.
    pub(crate) fn rest(&self) {
        let (segment, group, bit) = self.place();
        // ORDERING: Relaxed: see the fields; the next owner, who sets the bit again, comes after
        // this one.
        if group.busy.fetch_and(!(1 << bit), Ordering::Relaxed) & (1 << bit) != 0 {
            segment.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn disown(&self) {
        let (_, group, bit) = self.place();
        // ORDERING: Release: hands over what this owner did, pairs with `try_own`. Model:
        // `registry_hands_over`.
        group.owned.fetch_and(!(1 << bit), Ordering::Release);
    }
}

impl<N> Group<N> {
    fn new() -> Self {
        Self {
            owned: AtomicU64::new(0),
            busy: Untracked::new(0),
            records: array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
        }
    }

    /// Owns the lowest record that is free.
    fn own_lowest(&self) -> Option<usize> {
        // ORDERING: Relaxed: only compared.
        let mut owned = self.owned.load(Ordering::Relaxed);
        loop {
            let bit = owned.trailing_ones() as usize;
            if bit >= GROUP {
                return None;
            }
            match self.own(owned, bit) {
                Ok(_) => return Some(bit),
                Err(now) => owned = now,
            }
        }
    }

    /// Owns a record unless it is owned.
    fn try_own(&self, bit: usize) -> bool {
        // ORDERING: Relaxed: only compared.
        let mut owned = self.owned.load(Ordering::Relaxed);
        while owned & (1 << bit) == 0 {
            match self.own(owned, bit) {
                Ok(_) => return true,
                Err(now) => owned = now,
            }
        }
        false
    }

    fn own(&self, owned: u64, bit: usize) -> Result<u64, u64> {
        // ORDERING: Acquire: takes over what the last owner did, pairs with `disown`. Relaxed on
        // failure: only compared.
        // Model: `registry_hands_over`.
        self.owned.compare_exchange(owned, owned | 1 << bit, Ordering::Acquire, Ordering::Relaxed)
    }

    /// The records that a word of bits names.
    fn records_of(&self, bits: u64) -> impl Iterator<Item = &Record<N>> {
        let rests = std::iter::successors(Some(bits), |rest| Some(rest & rest.wrapping_sub(1)));
        let bits = rests.take_while(|rest| *rest != 0).map(|rest| rest.trailing_zeros() as usize);
        bits.filter_map(|bit| self.record(bit))
    }

    fn record(&self, bit: usize) -> Option<&Record<N>> {
        // SAFETY: a published record lives as long as the registry.
        unsafe { self.record_address(bit).as_ref() }
    }

    fn record_address(&self, bit: usize) -> *mut Record<N> {
        // ORDERING: Acquire: pairs with the Release in `put`. Model: `records_are_walked`.
        self.records[bit].load(Ordering::Acquire)
    }

    /// Publishes a record. Called by its first owner.
    fn put(&self, bit: usize, record: Record<N>) -> &Record<N> {
        let raw = Box::into_raw(Box::new(record));
        // ORDERING: Release publishes the record, pairs with `record`. Model: `records_are_walked`.
        self.records[bit].store(raw, Ordering::Release);
        // SAFETY: records are freed by `Group::drop` alone.
        unsafe { &*raw }
    }
}

impl<N> Drop for Registry<N> {
    fn drop(&mut self) {
        let segments = (0..SEGMENTS).map(|nth| self.segment_address(nth));
        for segment in segments.filter(|segment| !segment.is_null()) {
            // SAFETY: it came from a box in `segment_or_new` and is freed here once.
            drop(unsafe { Box::from_raw(segment) });
        }
    }
}

impl<N> Drop for Group<N> {
    fn drop(&mut self) {
        let records = (0..GROUP).map(|bit| self.record_address(bit));
        for record in records.filter(|record| !record.is_null()) {
            // SAFETY: it came from a box in `put` and is freed here once.
            drop(unsafe { Box::from_raw(record) });
        }
    }
}

#[cfg(all(test, not(any(sessile_loom, sessile_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_record_is_taken_first() {
        let registry = Registry::new();
        let records: Vec<_> = (0..1200).map(|_| registry.acquire(|index| index)).collect();
        assert!(
            records
                .iter()
                .enumerate()
                .all(|(nth, record)| record.index == nth && record.value == nth)
        );
        // One stays.
        records.iter().rev().filter(|record| record.index != 40).for_each(|record| {
            record.rest();
            registry.release(record);
        });
        assert_eq!(registry.leased(), 1);
        assert_eq!((registry.iter().count(), registry.busy().count()), (1200, 1));
        assert_eq!(registry.acquire(|_| unreachable!("there are records")).index, 0);
        assert_eq!(registry.acquire(|_| unreachable!("there are records")).index, 1);
    }

    #[test]
    fn walks_begin_where_they_are_told() {
        let registry = Registry::new();
        let records: Vec<_> = (0..200).map(|_| registry.acquire(|index| index)).collect();
        records.iter().filter(|record| record.index % 63 != 0).for_each(|record| record.rest());
        let from = |index| registry.busy_from(index).map(|record| record.index).collect::<Vec<_>>();
        assert_eq!(from(0), [0, 63, 126, 189]);
        assert_eq!(from(63), [63, 126, 189]);
        assert_eq!(from(64), [126, 189]);
        assert!(from(190).is_empty() && from(100_000).is_empty());
    }

    #[test]
    fn only_what_is_unowned_is_tidied() {
        let registry = Registry::new();
        let record = registry.acquire(|index| index);
        record.if_unowned(|| unreachable!("it is owned"));
        registry.release(record);
        let mut tidied = false;
        record.if_unowned(|| {
            tidied = true;
            assert_eq!(registry.acquire(|index| index).index, record.index + 1);
        });
        assert!(tidied);
    }
}
