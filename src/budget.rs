//! Permits: what makes `len() <= capacity()` true at every moment.
//!
//! Each stored session holds a permit. A placement takes one first, a removal gives one back, and an eviction passes the
//! victim's to the newcomer, so that a full cache touches no shared counter in steady state. Threads keep a few spare
//! permits; they count as used, hence the number of sessions can be read too low for a moment and never too high.
#![forbid(unsafe_code)]

use crate::sync::{AtomicUsize, Ordering};
use crossbeam_utils::CachePadded;

/// A bounded number of permits: sessions, or bytes.
pub(crate) struct Budget {
    /// Permits handed out, to sessions or as spares.
    used: CachePadded<AtomicUsize>,
    limit: AtomicUsize,
    /// The limit that is shown. Lowered only when `used` is down.
    announced: AtomicUsize,
    /// Spares that one thread may keep.
    spare_max: AtomicUsize,
}

/// One thread's spare permits.
#[derive(Default)]
pub(crate) struct Spare(AtomicUsize);

// ORDERING: Relaxed throughout this file: permits are counted, and a count publishes nothing. The bound follows from the
// modification order of `used` alone, the table's words carry their own edges. Model: `capacity_bound`.

impl Budget {
    pub(crate) fn new(limit: usize, spare_max: usize) -> Self {
        Self {
            used: CachePadded::new(AtomicUsize::new(0)),
            limit: AtomicUsize::new(limit),
            announced: AtomicUsize::new(limit),
            spare_max: AtomicUsize::new(spare_max),
        }
    }

    /// The limit as it may be shown: never below what is stored.
    pub(crate) fn announced(&self) -> usize {
        self.announced.load(Ordering::Relaxed)
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit in force for new permits.
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn is_unlimited(&self) -> bool {
        self.limit() == usize::MAX
    }

    /// Whether threads may keep spares.
    pub(crate) fn has_spares(&self) -> bool {
        self.spare_max.load(Ordering::Relaxed) > 0
    }

    /// Permits that the limit in force does not cover any more.
    pub(crate) fn excess(&self) -> usize {
        self.used().saturating_sub(self.limit())
    }

    /// Permits held by sessions: never above the announced limit.
    pub(crate) fn held<'s>(&self, spares: impl Iterator<Item = &'s Spare>) -> usize {
        let used = self.used();
        let spare: usize = spares.map(|spare| spare.0.load(Ordering::Relaxed)).sum();
        used.saturating_sub(spare).min(self.announced())
    }

    /// Sets the limit for new permits; a higher one is announced at once.
    pub(crate) fn set_limit(&self, limit: usize, spare_max: usize) {
        self.spare_max.store(spare_max, Ordering::Relaxed);
        self.limit.store(limit, Ordering::Relaxed);
        self.announced.fetch_max(limit, Ordering::Relaxed);
    }

    /// Announces the limit in force, after the excess has gone.
    pub(crate) fn announce(&self) {
        self.announced.store(self.limit.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Takes `n` permits. All or nothing.
    pub(crate) fn try_take(&self, n: usize) -> bool {
        self.take_between(n, n) == n
    }

    /// Gives `n` permits back.
    pub(crate) fn give(&self, n: usize) {
        self.used.fetch_sub(n, Ordering::Relaxed);
    }

    /// Takes one permit, from this thread's spares if it has any.
    #[inline]
    pub(crate) fn take_one(&self, spare: &Spare) -> bool {
        if spare.take() {
            return true;
        }
        let batch = (self.spare_max.load(Ordering::Relaxed) / 2).max(1);
        match self.take_between(1, batch) {
            0 => false,
            taken => {
                if taken > 1 {
                    spare.put(taken - 1);
                }
                true
            }
        }
    }

    /// Gives one permit back, as a spare of this thread while it has few.
    #[inline]
    pub(crate) fn give_one(&self, spare: &Spare) {
        let max = self.spare_max.load(Ordering::Relaxed);
        if max == 0 {
            return self.give(1);
        }
        spare.put(1);
        if spare.0.load(Ordering::Relaxed) > max {
            let half = spare.drain(max / 2);
            self.give(half);
        }
    }

    /// Returns the spares of a thread to everybody.
    pub(crate) fn reclaim(&self, spare: &Spare) {
        let spares = spare.drain(0);
        if spares > 0 {
            self.give(spares);
        }
    }

    /// Takes as many permits as there are, from `least` to `most`, or none.
    fn take_between(&self, least: usize, most: usize) -> usize {
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let free = self.limit.load(Ordering::Relaxed).saturating_sub(used);
            if free < least {
                return 0;
            }
            let taken = most.min(free);
            match self.used.compare_exchange(used, used + taken, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return taken,
                Err(now) => used = now,
            }
        }
    }
}

impl Spare {
    fn take(&self) -> bool {
        let mut spare = self.0.load(Ordering::Relaxed);
        while spare > 0 {
            match self.0.compare_exchange(spare, spare - 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => spare = now,
            }
        }
        false
    }

    fn put(&self, n: usize) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes all but `keep` spares out.
    fn drain(&self, keep: usize) -> usize {
        let mut spare = self.0.load(Ordering::Relaxed);
        while spare > keep {
            match self.0.compare_exchange(spare, keep, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return spare - keep,
                Err(now) => spare = now,
            }
        }
        0
    }
}
