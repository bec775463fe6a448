//! Bytes that are wiped.

use super::{SizeClass, allocate, free, locks, wipe};
use crate::memory::{PAGE, leave_out_of_dumps, lock, put_into_dumps, unlock};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::Deref;
use std::ptr::NonNull;

/// Bytes in a block of the slab, their own or a part of another one, that cannot be changed.
pub(crate) struct Bytes {
    start: NonNull<u8>,
    len: usize,
    home: Home,
}

/// Where bytes lie.
#[derive(Clone, Copy)]
enum Home {
    /// In a block of their own.
    Block(SizeClass),
    /// In pages of their own, from the global allocator: they are too many for a block.
    Pages { is_locked: bool },
    /// In a part of somebody's block.
    Part,
}

// SAFETY: the bytes are this value's alone and do not change.
unsafe impl Send for Bytes {}
// SAFETY: as above.
unsafe impl Sync for Bytes {}

impl Bytes {
    /// A copy in memory of its own. Aborts when memory is exhausted.
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        Self::try_copy_of(bytes).unwrap_or_else(|| handle_alloc_error(Self::pages(bytes.len())))
    }

    /// A copy in memory of its own, `None` when memory is exhausted.
    pub(crate) fn try_copy_of(bytes: &[u8]) -> Option<Self> {
        let len = bytes.len();
        let (start, home) = match SizeClass::of_size(len) {
            _ if len == 0 => (Some(NonNull::dangling()), Home::Part),
            Some(class) => (allocate(class), Home::Block(class)),
            None => Self::allocate_pages(len),
        };
        let start = start?;
        // SAFETY: the memory is new and has room for them.
        unsafe { start.copy_from_nonoverlapping(NonNull::from(bytes).cast(), len) };
        Some(Self { start, len, home })
    }

    /// A copy at `start`.
    ///
    /// # Safety
    /// There is room for the bytes, which nobody else uses as long as the result lives.
    pub(crate) unsafe fn copy_to(start: NonNull<u8>, bytes: &[u8]) -> Self {
        // SAFETY: the caller's promise.
        unsafe { start.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        Self { start, len: bytes.len(), home: Home::Part }
    }

    fn allocate_pages(len: usize) -> (Option<NonNull<u8>>, Home) {
        let (layout, is_locked) = (Self::pages(len), locks::are_wanted());
        // SAFETY: the size is not zero.
        let start = NonNull::new(unsafe { alloc(layout) });
        let start = start.filter(|&start| {
            let is_fit = !is_locked || lock(start, layout.size());
            if !is_fit {
                // SAFETY: it was just allocated with this layout.
                unsafe { dealloc(start.as_ptr(), layout) };
            }
            is_fit
        });
        start.into_iter().for_each(|start| leave_out_of_dumps(start, layout.size()));
        (start, Home::Pages { is_locked })
    }

    /// Whole pages for so many bytes.
    fn pages(len: usize) -> Layout {
        // The length is that of a slice, which is far from the largest number.
        let layout = Layout::from_size_align(len.next_multiple_of(PAGE), PAGE);
        layout.unwrap_or(Layout::new::<u8>())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: 1. So many bytes were written there. 2. They do not change while `self` lives.
        unsafe { NonNull::slice_from_raw_parts(self.start, self.len).as_ref() }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        match self.home {
            // SAFETY: it came from `allocate` of this class, and this is its end.
            Home::Block(class) => unsafe { free(class, self.start) },
            Home::Pages { is_locked } => {
                let layout = Self::pages(self.len);
                // SAFETY: nobody reads the bytes any more.
                unsafe { wipe(self.start, self.len) };
                if is_locked {
                    unlock(self.start, layout.size());
                }
                put_into_dumps(self.start, layout.size());
                // SAFETY: it was allocated with this layout.
                unsafe { dealloc(self.start.as_ptr(), layout) };
            }
            // Wiped with the block.
            Home::Part => {}
        }
    }
}
