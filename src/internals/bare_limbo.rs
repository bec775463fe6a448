//! A limbo alone, with its sentinels in the hands of the model.

use crate::reclaim::{Limbo, Reclaim, Release};
use crate::sync::Lifetime;
use std::ptr::NonNull;

/// A limbo without a domain around it.
pub struct BareLimbo(Limbo<Remains>);

/// A block that is retired.
struct Remains(Lifetime);

/// Somebody who reached a block before it was retired.
pub struct Reader(NonNull<Remains>);

// SAFETY: a reader only touches the block, whose life the model watches.
unsafe impl Send for Reader {}

/// What makes a batch ripe when it runs.
pub struct Sentinel(Box<dyn FnOnce() + Send>);

// SAFETY: a block is freed by whoever releases it.
unsafe impl Reclaim for Remains {}

impl Release for Remains {
    unsafe fn release(this: NonNull<Self>) {
        // SAFETY: every block comes from a box, and its one count is given up here.
        let remains = unsafe { Box::from_raw(this.as_ptr()) };
        remains.0.end();
    }
}

impl BareLimbo {
    /// An empty limbo.
    pub fn new() -> Self {
        Self(Limbo::new())
    }

    /// Retires a new block, by the side entrance if somebody is inside.
    pub fn retire(&self) -> Reader {
        let block = NonNull::from(Box::leak(Box::new(Remains(Lifetime::begin()))));
        drop(self.0.retire(block, 1));
        Reader(block)
    }

    /// Runs `f` inside, unless somebody else is.
    pub fn inside(&self, f: impl FnOnce()) {
        let occupied = self.0.try_lock();
        if occupied.is_some() {
            f();
        }
    }

    /// Tells a total what is pending: how much more it is than it was told last.
    pub fn publish(&self) -> i64 {
        self.0.unpublished_bytes()
    }

    /// Blocks that are retired and not released.
    pub fn pending(&self) -> u64 {
        self.0.pending().0
    }

    /// Seals what is open.
    pub fn seal(&self) -> Option<Sentinel> {
        let sentinel = self.0.try_lock()?.seal()?;
        Some(Sentinel(Box::new(sentinel)))
    }

    /// Releases the oldest block if it is ripe.
    pub fn release(&self) -> bool {
        let Some(block) = self.0.try_lock().and_then(|mut limbo| limbo.pop()) else {
            return false;
        };
        // SAFETY: it was popped, so its count is ours.
        unsafe { Remains::release(block) };
        true
    }
}

impl Reader {
    /// Looks at the block.
    pub fn touch(&self) {
        // SAFETY: in a model that holds, the block is released after the sentinel that is run after
        // this.
        unsafe { self.0.as_ref() }.0.touch();
    }
}

impl Sentinel {
    /// What happens once every guard is gone.
    pub fn run(self) {
        (self.0)();
    }
}
