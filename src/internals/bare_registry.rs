//! The list of the threads' parts alone.

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
        let part = self.0.acquire(|_| Part { count: Tally::default(), lifetime: Lifetime::begin() });
        part.value.count.add(1);
        part.disown();
    }

    /// The sum over all parts.
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|part| (part.value.lifetime.touch(), part.value.count.get()).1).sum()
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
