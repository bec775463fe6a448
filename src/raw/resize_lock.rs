//! Who moves sessions between tables, and to what size: one thread at a time, and never nobody
//! while a size is wanted.
#![forbid(unsafe_code)]

use crate::sync::untracked::AtomicUsize as Untracked;
use crate::sync::{AtomicBool, Ordering, fence};

/// The right to move sessions between tables, and the size they are moved to.
pub(crate) struct ResizeLock {
    is_held: AtomicBool,
    /// Buckets that a table wants that follows its sessions; else they are derived from the limit.
    wanted: Untracked,
    /// A migration is under way, or a size may be wanted that no mover has looked at: what every
    /// add asks.
    is_requested: AtomicBool,
}

impl ResizeLock {
    pub(crate) fn new(buckets: usize) -> Self {
        Self {
            is_held: AtomicBool::new(false),
            wanted: Untracked::new(buckets),
            is_requested: AtomicBool::new(false),
        }
    }

    /// The buckets that were wanted last, or the most of what was wanted at a time.
    #[inline]
    pub(crate) fn wanted(&self) -> usize {
        // ORDERING: Relaxed: whoever wants more sets the flag afterwards, and the mover looks after
        // it took the flag down.
        self.wanted.load(Ordering::Relaxed)
    }

    pub(crate) fn raise_wanted(&self, buckets: usize) {
        // ORDERING: Relaxed, as in `wanted`.
        self.wanted.fetch_max(buckets, Ordering::Relaxed);
    }

    /// Whoever wants more meanwhile, and is overlooked, comes again.
    pub(crate) fn set_wanted(&self, buckets: usize) {
        // ORDERING: Relaxed, as in `wanted`.
        self.wanted.swap(buckets, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_requested(&self) -> bool {
        // ORDERING: Relaxed: a hint to those who could help.
        self.is_requested.load(Ordering::Relaxed)
    }

    /// Whether a size is wanted, asked by the mover after it has ended. A load might see the flag
    /// as it was before another thread set it, which then found the right to move still taken, and
    /// nobody would move.
    pub(crate) fn is_still_requested(&self) -> bool {
        // ORDERING: Release: who sets the flag after this exchange finds the right to move free;
        // pairs with the fence in `request`. Relaxed on failure: it is set, which is all that is
        // asked. Invisible: loom's exchanges see the newest value always, so that of `try_lock`
        // does; that this is an exchange and no load is what `mover_hands_over` needs.
        self.is_requested
            .compare_exchange(false, false, Ordering::Release, Ordering::Relaxed)
            .is_err()
    }

    pub(crate) fn request(&self) {
        // ORDERING: Release: the wanted size is visible to the mover that takes the flag down;
        // pairs with `clear`. An exchange, because a store would end the release sequence of
        // another thread's. Model: `migrate_two_sizes`.
        self.is_requested.swap(true, Ordering::Release);
        // ORDERING: Acquire fence: pairs with `is_still_requested`. Invisible: as there.
        fence(Ordering::Acquire);
    }

    pub(crate) fn clear(&self) {
        // ORDERING: Acquire: sees the size that was wanted when the flag was set, pairs with
        // `request`. Model: `migrate_two_sizes`.
        self.is_requested.swap(false, Ordering::Acquire);
    }

    pub(crate) fn try_lock(&self) -> bool {
        // ORDERING: Acquire: sees the cursors of the mover before, pairs with `unlock`. Relaxed on
        // failure: nothing is read. Model: `migrate_two_sizes`.
        self.is_held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn unlock(&self) {
        // ORDERING: Release: hands the cursors over, pairs with `try_lock`. Model:
        // `migrate_two_sizes`.
        self.is_held.store(false, Ordering::Release);
    }
}
