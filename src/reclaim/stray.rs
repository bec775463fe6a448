//! The side entrance of a limbo: a stack that its owner pushes to while somebody else is inside.
//!
//! A thread that finds its own limbo occupied by a collector does not wait: it leaves the block
//! here. Whoever occupies the limbo next moves what is here into the queue, where it is sealed like
//! everything else.

use super::limbo::Retired;
use crate::sync::{AtomicPtr, Ordering};
use std::ptr;

pub(crate) struct Strays<B> {
    head: AtomicPtr<Stray<B>>,
}

struct Stray<B> {
    retired: Retired<B>,
    next: *mut Stray<B>,
}

impl<B> Strays<B> {
    pub(crate) fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    pub(crate) fn push(&self, retired: Retired<B>) {
        let stray = Box::into_raw(Box::new(Stray { retired, next: ptr::null_mut() }));
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
