//! Memory that may be refused.
//!
//! What grows with use, sessions and tables, reports that there is none. Book-keeping of a few words aborts, as the
//! standard library's collections do; the README's limits name it.

use std::alloc::{Layout, alloc};
use std::ptr::NonNull;

/// `Box::new`, or the value back when memory is exhausted.
pub(crate) fn try_box<T>(value: T) -> Result<Box<T>, T> {
    const { assert!(size_of::<T>() > 0, "a box of nothing needs no memory") };
    // SAFETY: the size is not zero.
    let memory = unsafe { alloc(Layout::new::<T>()) }.cast::<T>();
    let Some(memory) = NonNull::new(memory) else { return Err(value) };
    // SAFETY: 1. The memory was just allocated with the layout of `T` from the global allocator. 2. It is written before it
    // is a box.
    unsafe {
        memory.write(value);
        Ok(Box::from_raw(memory.as_ptr()))
    }
}

/// Bytes of a cache line, as far as anybody counts in them here.
pub(crate) const LINE: usize = 64;

/// Asks for the cache line of an address that will be read soon. Whatever the address, nothing else happens.
#[inline(always)]
pub(crate) fn prefetch<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 processor has the instruction, and it never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}
