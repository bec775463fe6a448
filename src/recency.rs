//! The tick by which members are stamped.
#![forbid(unsafe_code)]

use crate::raw::Stamp;
use crate::sync::untracked::{AtomicUsize, Ordering};
use crossbeam_utils::CachePadded;

/// A clock of adds: it ticks 32 times per capacity, so that six bits span twice the cache. What is older goes next.
///
/// A stamp read or written a tick too early or late costs at most one bad victim, hence `untracked`.
pub(crate) struct Recency {
    tick: CachePadded<AtomicUsize>,
    adds_per_tick: AtomicUsize,
}

/// Ticks in as many adds as the cache holds sessions.
const TICKS_PER_CAPACITY: usize = 32;

/// What counts as the capacity of a cache without one, in sessions.
const UNBOUNDED: usize = 1 << 16;

/// Ages above this are lowered when a victim is looked for, before they wrap and look young.
pub(crate) const AGE_MAX: usize = 48;

const _: () = assert!(AGE_MAX < Stamp::PERIOD - 8);

// ORDERING: Relaxed throughout: hints.

impl Recency {
    pub(crate) fn new(capacity: usize) -> Self {
        let recency =
            Self { tick: CachePadded::new(AtomicUsize::new(0)), adds_per_tick: AtomicUsize::new(1) };
        recency.set_capacity(capacity);
        recency
    }

    pub(crate) fn set_capacity(&self, capacity: usize) {
        // Without a bound nothing is evicted, until one is set.
        let capacity = if capacity == usize::MAX { UNBOUNDED } else { capacity };
        self.adds_per_tick.store((capacity / TICKS_PER_CAPACITY).max(1), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn tick(&self) -> usize {
        self.tick.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp::of_tick(self.tick())
    }

    /// Notes this thread's `nth` add, which may be the one that ticks.
    #[inline]
    pub(crate) fn note_add(&self, nth: u64) {
        if nth % self.adds_per_tick.load(Ordering::Relaxed) as u64 == 0 {
            self.advance();
        }
    }

    /// The next tick.
    pub(crate) fn advance(&self) -> usize {
        self.tick.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }
}
