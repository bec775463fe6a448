//! Where a thread retires to while another one holds the lock of its limbo.
//!
//! A thread does not wait for a collector that holds the lock of its limbo: it pushes the block
//! here. The next one that takes the lock moves what is here into the queue, where it is sealed
//! like everything else.

use crate::sync::{AtomicPtr, Ordering};
use std::ptr::{self, NonNull};

/// A block that waits, and the bytes it holds back: what is subtracted is what was added, though a
/// first weighing may have changed it since.
pub(super) struct Retired<B> {
    pub(super) block: NonNull<B>,
    pub(super) bytes: u64,
}

/// A Treiber stack.
pub(crate) struct OverflowStack<B> {
    head: AtomicPtr<OverflowNode<B>>,
}

struct OverflowNode<B> {
    retired: Retired<B>,
    next: *mut OverflowNode<B>,
}

impl<B> OverflowStack<B> {
    pub(crate) fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    pub(crate) fn push(&self, retired: Retired<B>) {
        let stray = Box::into_raw(Box::new(OverflowNode { retired, next: ptr::null_mut() }));
        // ORDERING: Relaxed: only compared.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: `stray` is not published yet.
            unsafe { (*stray).next = head };
            // ORDERING: Release publishes the stray, pairs with `take_all`; Relaxed on failure,
            // only compared.
            // Model: `limbo_side_entrance`.
            match self.head.compare_exchange(head, stray, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Whether there is nothing, as far as can be told in passing.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // ORDERING: Relaxed: a hint that spares the exchange.
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// Empties the stack.
    #[cold]
    pub(crate) fn take_all(&self) -> Vec<Retired<B>> {
        // ORDERING: Acquire: pairs with the Release in `push`. Model: `limbo_side_entrance`.
        let mut next = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        let mut all = Vec::new();
        while !next.is_null() {
            // SAFETY: the swap made the whole list ours; each stray came from a box.
            let stray = unsafe { Box::from_raw(next) };
            all.push(stray.retired);
            next = stray.next;
        }
        all
    }
}
