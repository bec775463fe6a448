//! Immutable bytes that are wiped: in a block of their own, in pages of their own, or behind a
//! session's block.

use super::{SizeClass, allocate, free, pages, wipe};
use crate::memory::PAGE;
use std::alloc::{Layout, handle_alloc_error};
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
    Pages,
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
            // SAFETY: the length is not zero.
            None => (unsafe { pages::allocate(Self::pages(len)) }, Home::Pages),
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

    /// Whole pages for so many bytes.
    fn pages(len: usize) -> Layout {
        match Layout::from_size_align(len.next_multiple_of(PAGE), PAGE) {
            Ok(layout) => layout,
            Err(_) => unreachable!("no slice is nearly as long as the address space"),
        }
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
            // SAFETY: 1. Nobody reads the bytes any more. 2. They were allocated with this layout.
            Home::Pages => unsafe {
                wipe(self.start, self.len);
                pages::free(self.start, Self::pages(self.len));
            },
            // Wiped with the block.
            Home::Part => {}
        }
    }
}
