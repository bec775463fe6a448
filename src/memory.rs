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
