//! Free blocks, linked through their first words.

use crate::memory::prefetch_to_write;
use crate::sync::{AtomicPtr, Ordering};
use std::ptr::{self, NonNull};

/// What a free block begins with.
pub(super) struct FreeBlock {
    next: *mut FreeBlock,
}

/// Free blocks of one class, for one thread at a time.
pub(super) struct Stack {
    head: *mut FreeBlock,
    len: usize,
}

// SAFETY: the blocks are nobody's but the stack's.
unsafe impl Send for Stack {}

impl Stack {
    pub(super) const fn new() -> Self {
        Self { head: ptr::null_mut(), len: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// # Safety
    /// The block has room for a pointer and is nobody's.
    #[inline]
    pub(super) unsafe fn push(&mut self, block: NonNull<u8>) {
        let block = block.cast::<FreeBlock>();
        // SAFETY: the caller's promise.
        unsafe { block.write(FreeBlock { next: self.head }) };
        self.head = block.as_ptr();
        self.len += 1;
    }

    /// Takes the block that was pushed last, and prefetches the one below.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<NonNull<u8>> {
        let block = NonNull::new(self.head)?;
        // SAFETY: what is on the stack was pushed, so it begins with a link.
        self.head = unsafe { block.read() }.next;
        self.len -= 1;
        prefetch_to_write(self.head);
        Some(block.cast())
    }
}

/// Blocks that found a magazine in use: a Treiber stack that is only ever emptied as a whole, so
/// that no thread compares with an address that was used again.
pub(super) struct Returned {
    head: AtomicPtr<FreeBlock>,
}

impl Returned {
    #[cfg(not(any(sessile_loom, sessile_shuttle)))]
    pub(super) const fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// A checker's words are no constants.
    #[cfg(any(sessile_loom, sessile_shuttle))]
    pub(super) fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// # Safety
    /// The block has room for a pointer and is nobody's.
    #[cold]
    pub(super) unsafe fn push(&self, block: NonNull<u8>) {
        let block = block.cast::<FreeBlock>();
        // ORDERING: Relaxed: only compared.
        let mut next = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: the block is still the caller's.
            unsafe { block.write(FreeBlock { next }) };
            // ORDERING: Release: what the last user did with the block, and the link, happen before
            // the next user; pairs with `take_all`. Relaxed on failure: only compared. Model:
            // `slab_returned`.
            match self.head.compare_exchange(
                next,
                block.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => next = now,
            }
        }
    }

    /// Takes all there are, one after the other.
    pub(super) fn take_all(&self) -> impl Iterator<Item = NonNull<u8>> + use<> {
        // ORDERING: Relaxed: a hint that spares the exchange.
        let is_empty = self.head.load(Ordering::Relaxed).is_null();
        // ORDERING: Acquire: pairs with the Release in `push`. Model: `slab_returned`.
        let head = match is_empty {
            true => ptr::null_mut(),
            false => self.head.swap(ptr::null_mut(), Ordering::Acquire),
        };
        let mut rest = head;
        std::iter::from_fn(move || {
            let block = NonNull::new(rest)?;
            // SAFETY: the exchange made all of them the caller's, and each begins with a link.
            rest = unsafe { block.read() }.next;
            Some(block.cast())
        })
    }
}
