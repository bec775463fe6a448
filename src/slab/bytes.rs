//! Bytes that are wiped.

use super::{SizeClass, allocate, free, wipe};
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
    /// In memory of their own, from the global allocator: they are too many for a block.
    Large,
    /// In a part of somebody's block.
    Part,
}

// SAFETY: the bytes are this value's alone and do not change.
unsafe impl Send for Bytes {}
// SAFETY: as above.
unsafe impl Sync for Bytes {}

impl Bytes {
    /// A copy in a block of its own. Aborts when memory is exhausted.
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        let len = bytes.len();
        let (start, home) = match SizeClass::of_size(len) {
            _ if len == 0 => (Some(NonNull::dangling()), Home::Part),
            Some(class) => (allocate(class), Home::Block(class)),
            // SAFETY: the length is not zero.
            None => (NonNull::new(unsafe { alloc(Self::layout(len)) }), Home::Large),
        };
        let Some(start) = start else { handle_alloc_error(Self::layout(len)) };
        // SAFETY: the memory is new and has room for them.
        unsafe { start.copy_from_nonoverlapping(NonNull::from(bytes).cast(), len) };
        Self { start, len, home }
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

    fn layout(len: usize) -> Layout {
        // The length is that of a slice, so there is a layout.
        Layout::array::<u8>(len).unwrap_or(Layout::new::<u8>())
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
            Home::Large => unsafe {
                wipe(self.start, self.len);
                dealloc(self.start.as_ptr(), Self::layout(self.len));
            },
            // Wiped with the block.
            Home::Part => {}
        }
    }
}
