//! Permits and counters alone: what `len() <= capacity()` rests on.

use crate::cache::{Permits, Spare};
use crate::stats::{self, Counter, Counters};

/// A budget with the parts of three threads.
#[derive(Debug)]
pub struct BareBudget {
    permits: Permits,
    threads: [Part; 3],
}

#[derive(Debug, Default)]
struct Part {
    spare: Spare,
    counters: Counters,
}

impl BareBudget {
    /// A budget for `limit` sessions, of which each thread may keep `limit >> spare_shift` permits.
    pub fn new(limit: usize, spare_shift: u32) -> Self {
        Self { permits: Permits::new(limit, spare_shift), threads: Default::default() }
    }

    /// What an insertion does. False when there is no permit.
    pub fn insert(&self, thread: usize) -> bool {
        let Part { spare, counters } = &self.threads[thread];
        let placed = self.permits.take(spare);
        if placed {
            counters.count(Counter::Added);
        }
        placed
    }

    /// What a take does.
    pub fn remove(&self, thread: usize) {
        let Part { spare, counters } = &self.threads[thread];
        counters.count(Counter::Taken);
        self.permits.give(spare);
    }

    /// Returns the spares of a thread to everybody.
    pub fn reclaim(&self, thread: usize) {
        self.permits.reclaim(&self.threads[thread].spare);
    }

    /// What `SessionCache::len` says.
    pub fn len(&self) -> usize {
        stats::number(|| self.threads.iter().map(|part| &part.counters))
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
