//! The threads' records alone.

use crate::reclaim::Registry;
use crate::sync::{Lifetime, SingleWriterCounter, UnsafeCell};

/// A registry whose parts are counters.
pub struct BareRegistry(Registry<Part>);

struct Part {
    count: SingleWriterCounter,
    lifetime: Lifetime,
    /// What the owner leaves for others to look after, and nobody else touches.
    left: UnsafeCell<u64>,
}

impl Part {
    fn new() -> Self {
        Self {
            count: SingleWriterCounter::default(),
            lifetime: Lifetime::begin(),
            left: UnsafeCell::new(0),
        }
    }
}

// SAFETY: the cell is its owner's, and the registry hands it over.
unsafe impl Send for Part {}
// SAFETY: as above.
unsafe impl Sync for Part {}

impl BareRegistry {
    /// No thread has come yet.
    pub fn new() -> Self {
        Self(Registry::new())
    }

    /// What a thread does that comes, counts and exits.
    pub fn count(&self) {
        let record = self.0.acquire(|_| Part::new());
        record.value.count.add(1);
        self.0.release(record);
    }

    /// What a thread does that comes, leaves something and exits.
    pub fn leave(&self) {
        let record = self.0.acquire(|_| Part::new());
        // SAFETY: the cell is the owner's.
        record.value.left.with_mut(|left| unsafe { *left += 1 });
        self.0.release(record);
    }

    /// Looks after what exited threads left, and lets their records rest. Returns how much it was.
    pub fn tidy(&self) -> u64 {
        let mut tidied = 0;
        for record in self.0.busy() {
            record.if_unowned(|| {
                // SAFETY: as in `leave`.
                tidied += record.value.left.with_mut(|left| unsafe { std::mem::take(&mut *left) });
                record.rest();
            });
        }
        tidied
    }

    /// The sum over all parts.
    pub fn sum(&self) -> u64 {
        self.0
            .iter()
            .map(|record| (record.value.lifetime.touch(), record.value.count.get()).1)
            .sum()
    }
}
