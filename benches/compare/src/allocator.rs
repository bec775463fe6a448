//! The allocator of the process, with a scale.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "mimalloc")]
type Inner = mimalloc::MiMalloc;
#[cfg(feature = "mimalloc")]
const INNER: Inner = mimalloc::MiMalloc;
#[cfg(not(feature = "mimalloc"))]
type Inner = std::alloc::System;
#[cfg(not(feature = "mimalloc"))]
const INNER: Inner = std::alloc::System;

/// The label of the figures.
pub(crate) const NAME: &str = if cfg!(feature = "mimalloc") {
    "mimalloc"
} else if cfg!(target_env = "gnu") {
    "glibc malloc"
} else {
    "system malloc"
};

/// Passes everything on; for a thread that weighs, it counts the bytes that are asked for, less the
/// chunks of Sessile's sessions. For all others it costs the load of a flag.
pub(crate) struct Scale(Inner);

/// Whether any thread weighs: what everybody has to load.
static IS_WEIGHING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The bytes that this thread allocated and has not freed, while it weighs.
    static BYTES: Cell<Option<i64>> = const { Cell::new(None) };
}

/// Sessile cuts its sessions from chunks of whole pages. Nothing else is aligned to so much.
const CHUNK_ALIGN: usize = 4 << 10;

#[inline]
fn weigh(layout: Layout, bytes: i64) {
    // ORDERING: Relaxed: a thread sees what it set itself.
    if IS_WEIGHING.load(Ordering::Relaxed) && layout.align() < CHUNK_ALIGN {
        let _ = BYTES.try_with(|sum| sum.set(sum.get().map(|sum| sum + bytes)));
    }
}

impl Scale {
    pub(crate) const fn new() -> Self {
        Self(INNER)
    }
}

/// What `work` returns, and by how many bytes more this thread has allocated after it.
pub(crate) fn bytes_kept<R>(work: impl FnOnce() -> R) -> (R, i64) {
    BYTES.set(Some(0));
    // ORDERING: Relaxed, as in `weigh`.
    IS_WEIGHING.store(true, Ordering::Relaxed);
    let result = work();
    IS_WEIGHING.store(false, Ordering::Relaxed);
    (result, BYTES.take().unwrap_or(0))
}

// SAFETY: every call is passed on as it came.
unsafe impl GlobalAlloc for Scale {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        weigh(layout, layout.size() as i64);
        // SAFETY: passed on.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        weigh(layout, -(layout.size() as i64));
        // SAFETY: passed on.
        unsafe { self.0.dealloc(address, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        weigh(layout, layout.size() as i64);
        // SAFETY: passed on.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        weigh(layout, size as i64 - layout.size() as i64);
        // SAFETY: passed on.
        unsafe { self.0.realloc(address, layout, size) }
    }
}
