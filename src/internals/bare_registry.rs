//! The threads' records alone.

use crate::reclaim::Registry;
use crate::sync::{Lifetime, Tally};
use std::fmt;

/// A registry whose parts are counters.
pub struct BareRegistry(Registry<Part>);

struct Part {
    count: Tally,
    lifetime: Lifetime,
}

impl BareRegistry {
    /// No thread has come yet.
    pub fn new() -> Self {
        Self(Registry::new())
    }

    /// What a thread does that comes, counts and exits.
    pub fn count(&self) {
        let record = self.0.acquire(|_| Part { count: Tally::default(), lifetime: Lifetime::begin() });
        record.value.count.add(1);
        self.0.release(record);
    }

    /// The sum over all parts.
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|record| (record.value.lifetime.touch(), record.value.count.get()).1).sum()
    }
}

impl Default for BareRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BareRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BareRegistry(..)")
    }
}
