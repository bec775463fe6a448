//! What models need beside the public API: parts alone, for models that need more threads than the
//! whole cache leaves room for, and the switches of the model's backend.
#![allow(
    missing_debug_implementations,
    clippy::new_without_default,
    reason = "only models make and see these"
)]

mod bare_budget;
mod bare_bytes;
mod bare_limbo;
mod bare_registry;
mod bare_removals;
mod bare_slab;
mod bare_table;

pub use self::bare_budget::BareBudget;
pub use self::bare_bytes::BareBytes;
pub use self::bare_limbo::{BareLimbo, Reader, Sentinel};
pub use self::bare_registry::BareRegistry;
pub use self::bare_removals::BareRemovals;
pub use self::bare_slab::{BareBlock, BareSlab};
pub use self::bare_table::{BareTable, Mark};
#[cfg(sessile_loom)]
pub use crate::sync::marks::Marks;
pub use crate::sync::search::{Search, Switches};

use crate::{SessionCache, SessionId};

/// The slots of the table that new sessions enter.
pub fn slots<T: Send + Sync + 'static>(cache: &SessionCache<T>) -> usize {
    cache.slots()
}

/// The buckets of a key in the newest table, home first, and the one that its session lies in.
pub fn buckets_of<T: Send + Sync + 'static>(
    cache: &SessionCache<T>,
    id: &SessionId,
) -> ([usize; 2], Option<usize>) {
    cache.buckets_of(id)
}
