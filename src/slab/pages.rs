//! Memory of the global allocator that the system is told about: it is left out of core dumps, in
//! huge pages where a whole one fits, and locked if a program wants it.

use super::locks;
use crate::memory::{leave_out_of_dumps, lock, put_into_dumps, unlock, want_huge_pages};
use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;

/// `None` when memory is exhausted, or cannot be locked where that is wanted. Memory that is to be
/// told about consists of whole pages.
///
/// # Safety
/// The size is not zero.
pub(super) unsafe fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    // SAFETY: the caller's promise.
    let memory = NonNull::new(unsafe { alloc(layout) })?;
    want_huge_pages(memory, layout.size());
    leave_out_of_dumps(memory, layout.size());
    if locks::are_wanted() && !lock(memory, layout.size()) {
        // SAFETY: it was just allocated with this layout.
        unsafe { free(memory, layout) };
        return None;
    }
    Some(memory)
}

/// # Safety
/// The memory came from [`allocate`] with this layout, and nobody uses it any more.
pub(super) unsafe fn free(memory: NonNull<u8>, layout: Layout) {
    if locks::were_wanted() {
        unlock(memory, layout.size());
    }
    put_into_dumps(memory, layout.size());
    // SAFETY: the caller's promise.
    unsafe { dealloc(memory.as_ptr(), layout) };
}
