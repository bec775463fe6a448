//! Removals and one slot of a table.

use crate::cache::removals::{Removals, Watch, Way};
use crate::sync::{AtomicBool, Ordering};

/// A slot, which a session comes to late.
pub struct BareRemovals {
    removals: Removals,
    slot: AtomicBool,
}

impl BareRemovals {
    /// An empty slot.
    ///
    /// # Panics
    /// Without memory.
    pub fn new() -> Self {
        Self { removals: Removals::new().expect("memory"), slot: AtomicBool::new(false) }
    }

    /// A session sets out.
    pub fn set_out(&self) -> Watch {
        self.removals.watch(0)
    }

    /// It comes; whether it may stay.
    pub fn come(&self, watch: Watch) -> bool {
        // ORDERING: Relaxed: what the removals promise they promise without it.
        self.slot.store(true, Ordering::Relaxed);
        self.removals.may_stay(Way::Taken, watch)
    }

    /// A removal; whether it finds the session.
    pub fn remove(&self) -> bool {
        let _removing = self.removals.begin(0);
        // ORDERING: Relaxed: as there.
        self.slot.load(Ordering::Relaxed)
    }
}
