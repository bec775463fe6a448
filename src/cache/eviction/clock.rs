//! The logical clock by which members are stamped.
#![forbid(unsafe_code)]

use crate::sync::untracked::{AtomicU64, AtomicUsize, Ordering};

/// A clock of adds: it ticks 32 times per capacity, so that six bits span twice the cache. What is
/// older goes next. Where weights decide how many sessions there are, that number is the capacity.
///
/// Sessions that leave of themselves are adds undone. Else, where half of all tickets are taken,
/// what is never taken would live through twice as many ticks, more than a stamp can tell apart.
///
/// A stamp read or written a tick too early or late costs at most one bad victim, hence
/// `untracked`.
pub(crate) struct LogicalClock {
    tick: AtomicUsize,
    /// 1 where weights decide how many sessions there are: then that number is asked for at each
    /// add.
    adds_per_tick: AtomicUsize,
}

/// What one thread has placed since it ticked last, less what it removed; below zero in two's
/// complement.
#[derive(Debug, Default)]
pub(crate) struct TickCounter(AtomicU64);

/// Ticks in as many adds as the cache holds sessions.
const TICKS_PER_CAPACITY: usize = 32;

/// What counts as the capacity of a cache without one, in sessions.
const UNBOUNDED: usize = 1 << 16;

// ORDERING: Relaxed throughout: hints.

impl LogicalClock {
    pub(crate) fn new(capacity: usize) -> Self {
        let clock = Self { tick: AtomicUsize::new(0), adds_per_tick: AtomicUsize::new(1) };
        clock.set_capacity(capacity);
        clock
    }

    pub(crate) fn set_capacity(&self, capacity: usize) {
        // Without a bound nothing is evicted, until one is set.
        let capacity = if capacity == usize::MAX { UNBOUNDED } else { capacity };
        self.adds_per_tick.swap(adds_per_tick(capacity), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn tick(&self) -> usize {
        self.tick.load(Ordering::Relaxed)
    }

    /// Records an insertion by this thread, and ticks if that completes a tick. `stored` is the
    /// number of sessions where weights decide it.
    #[inline]
    pub(crate) fn record_insert(
        &self,
        counter: &TickCounter,
        stored: impl FnOnce() -> Option<usize>,
    ) {
        let placed = counter.get() + 1;
        if placed < self.adds_per_tick.load(Ordering::Relaxed) as i64 {
            counter.set(placed);
        } else {
            self.tick_if_due(counter, placed, stored());
        }
    }

    #[cold]
    fn tick_if_due(&self, counter: &TickCounter, placed: i64, stored: Option<usize>) {
        let is_due = placed >= self.adds_per_tick_of(stored);
        counter.set(if is_due { 0 } else { placed });
        if is_due {
            self.advance();
        }
    }

    /// Records that a session left without being displaced: an add undone. A thread that only
    /// removes is owed no more than a tick.
    #[inline]
    pub(crate) fn record_removal(
        &self,
        counter: &TickCounter,
        stored: impl FnOnce() -> Option<usize>,
    ) {
        let placed = counter.get() - 1;
        if placed >= -(self.adds_per_tick.load(Ordering::Relaxed) as i64) {
            counter.set(placed);
        } else {
            counter.set(placed.max(-self.adds_per_tick_of(stored())));
        }
    }

    fn adds_per_tick_of(&self, stored: Option<usize>) -> i64 {
        let adds = stored.map_or_else(|| self.adds_per_tick.load(Ordering::Relaxed), adds_per_tick);
        adds as i64
    }

    /// The next tick.
    pub(crate) fn advance(&self) -> usize {
        self.tick.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }
}

fn adds_per_tick(capacity: usize) -> usize {
    (capacity / TICKS_PER_CAPACITY).max(1)
}

impl TickCounter {
    #[inline]
    fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed) as i64
    }

    #[inline]
    fn set(&self, placed: i64) {
        self.0.store(placed as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_by_what_stays() {
        let clock = LogicalClock::new(64);
        let counter = TickCounter::default();
        let arrive = |n| {
            (0..n).for_each(|_| {
                clock.record_insert(&counter, || None);
            })
        };
        let depart = |n| (0..n).for_each(|_| clock.record_removal(&counter, || None));
        arrive(3);
        assert_eq!(clock.tick(), 1);
        depart(1);
        arrive(1);
        assert_eq!(clock.tick(), 1);
        arrive(2);
        assert_eq!(clock.tick(), 2);
        depart(1000);
        arrive(3);
        assert_eq!(clock.tick(), 2);
        arrive(1);
        assert_eq!(clock.tick(), 3);
    }

    /// Where weights decide, at once and whatever was before.
    #[test]
    fn ticks_by_what_is_stored() {
        let (clock, counter) = (LogicalClock::new(0), TickCounter::default());
        let insert =
            |n, stored| (0..n).for_each(|_| clock.record_insert(&counter, || Some(stored)));
        insert(31, 1024);
        assert_eq!(clock.tick(), 0);
        insert(1, 1024);
        assert_eq!(clock.tick(), 1);
        insert(20, 1024);
        insert(1, 64);
        assert_eq!(clock.tick(), 2, "fewer are stored now");
        insert(6, 64);
        assert_eq!(clock.tick(), 5);
        (0..100).for_each(|_| clock.record_removal(&counter, || Some(64)));
        insert(3, 64);
        assert_eq!(clock.tick(), 5);
        insert(1, 64);
        assert_eq!(clock.tick(), 6);
    }
}
