//! Memory that may be refused, and hints to the processor and the system about it.
//!
//! What grows with use, sessions and tables, reports that there is none. Book-keeping of a few
//! words aborts, as the standard library's collections do; the README's limits name it.

use std::alloc::{Layout, alloc};
use std::ptr::NonNull;

/// `Box::new`, or the value back when memory is exhausted.
pub(crate) fn try_box<T>(value: T) -> Result<Box<T>, T> {
    const { assert!(size_of::<T>() > 0, "a box of nothing needs no memory") };
    // SAFETY: the size is not zero.
    let memory = unsafe { alloc(Layout::new::<T>()) }.cast::<T>();
    let Some(memory) = NonNull::new(memory) else { return Err(value) };
    // SAFETY: 1. The memory was just allocated with the layout of `T` from the global allocator. 2.
    // It is written before it is a box.
    unsafe {
        memory.write(value);
        Ok(Box::from_raw(memory.as_ptr()))
    }
}

/// Zeroed memory, all of it touched: who uses it later meets no page fault.
///
/// Large memory is asked for in huge pages, where the system has them to give: a table is read at
/// random, and with small pages most reads would miss the processor's list of pages too.
pub(crate) fn zeroed(layout: Layout) -> Option<NonNull<u8>> {
    if layout.size() == 0 {
        return None;
    }
    // SAFETY: the size is not zero.
    let memory = NonNull::new(unsafe { alloc(layout) })?;
    want_huge_pages(memory, layout.size());
    // SAFETY: the memory was just allocated with this size.
    unsafe { memory.write_bytes(0, layout.size()) };
    Some(memory)
}

/// Tells the system about memory that this crate has for itself.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
mod advice {
    use super::HUGE_PAGE;
    use rustix::mm::{Advice, madvise};
    use std::ptr::NonNull;

    /// Asks for huge pages where a whole one fits.
    pub(crate) fn want_huge_pages(memory: NonNull<u8>, size: usize) {
        advise(memory, size, HUGE_PAGE, Advice::LinuxHugepage);
    }

    /// Leaves the memory out of core dumps.
    pub(crate) fn leave_out_of_dumps(memory: NonNull<u8>, size: usize) {
        advise(memory, size, super::PAGE, Advice::LinuxDontDump);
    }

    /// The memory goes back to where it came from.
    pub(crate) fn put_into_dumps(memory: NonNull<u8>, size: usize) {
        advise(memory, size, super::PAGE, Advice::LinuxDoDump);
    }

    /// Keeps the memory from being swapped out. Whether the system does it.
    pub(crate) fn lock(memory: NonNull<u8>, size: usize) -> bool {
        // SAFETY: the range is the caller's, and no byte of it changes.
        unsafe { rustix::mm::mlock(memory.as_ptr().cast(), size) }.is_ok()
    }

    /// Ends that.
    pub(crate) fn unlock(memory: NonNull<u8>, size: usize) {
        // SAFETY: as in `lock`.
        let _ = unsafe { rustix::mm::munlock(memory.as_ptr().cast(), size) };
    }

    fn advise(memory: NonNull<u8>, size: usize, page: usize, advice: Advice) {
        let start = memory.as_ptr().align_offset(page);
        let whole = size.saturating_sub(start) / page * page;
        if whole > 0 {
            // SAFETY: 1. The range lies within the memory. 2. The advice changes which pages back
            // it and who copies them, never what is in it. An answer that it is not followed is no
            // news.
            let _ = unsafe { madvise(memory.as_ptr().wrapping_add(start).cast(), whole, advice) };
        }
    }
}

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(miri))))]
mod advice {
    use std::ptr::NonNull;

    pub(crate) fn want_huge_pages(_memory: NonNull<u8>, _size: usize) {}
    pub(crate) fn leave_out_of_dumps(_memory: NonNull<u8>, _size: usize) {}
    pub(crate) fn put_into_dumps(_memory: NonNull<u8>, _size: usize) {}
    pub(crate) fn lock(_memory: NonNull<u8>, _size: usize) -> bool {
        false
    }
    pub(crate) fn unlock(_memory: NonNull<u8>, _size: usize) {}
}

pub(crate) use self::advice::{leave_out_of_dumps, lock, put_into_dumps, unlock, want_huge_pages};

/// At least the size of a page: supported systems have pages of 4 to 64 KiB.
pub(crate) const PAGE: usize = if cfg!(target_arch = "x86_64") { 4 << 10 } else { 64 << 10 };

/// Bytes of a huge page, where the system has them.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// Bytes of a cache line, as far as anybody counts in them here.
pub(crate) const LINE: usize = 64;

/// Asks for the cache line of an address that will be read soon. Whatever the address, nothing else
/// happens.
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

/// Asks for the cache line of an address that will be written soon, so that it need not be asked
/// for twice. As [`prefetch`].
#[inline(always)]
pub(crate) fn prefetch_to_write<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a hint to every processor that runs x86-64 systems of today, which demand the
    // instruction; it never faults.
    unsafe {
        std::arch::asm!(
            "prefetchw [{at}]",
            at = in(reg) at,
            options(nostack, preserves_flags, readonly),
        );
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    prefetch(at);
}
