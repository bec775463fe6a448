//! Memory for sessions: blocks of whole cache lines, cut from chunks.
//!
//! A slab as Bonwick's (1994, and with magazines 2001). Each size class has a [`Depot`] of chunks
//! and, in front of it, magazines: two stacks of free blocks for each stripe of threads. Memory
//! from a general allocator costs more where a server lives, with cold caches: its blocks begin
//! anywhere in a line, lie on pages of their own, and bring the allocator's own lines with them.
//!
//! No thread waits here for another one. A magazine and a depot are tried: who finds one in use
//! takes the block from the global allocator, or puts it where the next one picks it up.
//!
//! Blocks hold secrets. Chunks are kept out of core dumps, and a block is wiped when it is freed.
//!
//! `INVARIANT(BLOCK-ORIGIN)`: a block whose address is a multiple of a line is the slab's. One that
//! the global allocator supplied in its place lies half a line further.

mod chunk;
mod class;
mod depot;
mod stack;

use self::class::STRIPES;
pub(crate) use self::class::SizeClass;

use crate::memory::LINE;
use crate::sync::thread_local_value;
use crate::sync::untracked::{AtomicUsize, Ordering};
use std::alloc::{Layout, alloc, dealloc};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The largest block, in lines.
#[cfg(not(any(sessile_loom, sessile_shuttle)))]
const LINES_MAX: usize = 16;

/// Whether blocks come from the global allocator alone: for what checks each block by itself.
#[cfg(not(any(sessile_loom, sessile_shuttle)))]
const IS_PLAIN: bool = cfg!(any(miri, sessile_plain_blocks))
    || cfg!(all(crossbeam_sanitize, not(crossbeam_sanitize_thread)));

/// By lines, from one on.
#[cfg(not(any(sessile_loom, sessile_shuttle)))]
static CLASSES: [SizeClass; LINES_MAX] = [const { SizeClass::new() }; LINES_MAX];

/// Threads that allocated or freed so far.
static THREADS: AtomicUsize = AtomicUsize::new(0);

// Which magazine of a class this thread uses, from one on.
thread_local_value! {
    static STRIPE: Cell<usize> = Cell::new(0);
}

/// Which magazine of a class this thread uses.
#[inline(always)]
fn stripe() -> usize {
    STRIPE.with(Cell::get).checked_sub(1).unwrap_or_else(choose_stripe)
}

/// Deals the magazines out in turn.
#[cold]
fn choose_stripe() -> usize {
    // ORDERING: Relaxed: a turn.
    let stripe = THREADS.fetch_add(1, Ordering::Relaxed) % STRIPES;
    STRIPE.with(|own| own.set(stripe + 1));
    stripe
}

const fn lines<T>() -> usize {
    size_of::<T>().div_ceil(LINE)
}

#[cfg(not(any(sessile_loom, sessile_shuttle)))]
#[inline(always)]
fn class_of<T>() -> Option<&'static SizeClass> {
    let fits = const { !IS_PLAIN && lines::<T>() <= LINES_MAX && align_of::<T>() <= LINE / 2 };
    fits.then(|| &CLASSES[const { (lines::<T>() - 1) % LINES_MAX }])
}

/// loom's words cannot be in a static: models have a class of their own.
#[cfg(any(sessile_loom, sessile_shuttle))]
fn class_of<T>() -> Option<&'static SizeClass> {
    None
}

/// Memory for a `T`; `None` when it is exhausted.
#[inline]
pub(crate) fn allocate<T>() -> Option<NonNull<T>> {
    const { assert!(size_of::<T>() > 0, "a block of nothing needs no memory") };
    let Some(class) = class_of::<T>() else {
        // SAFETY: the size is not zero.
        return NonNull::new(unsafe { alloc(Layout::new::<T>()) }.cast());
    };
    match class.allocate(stripe(), lines::<T>()) {
        Some(block) => Some(block.cast()),
        None => allocate_elsewhere(),
    }
}

/// Wipes a block and gives it back.
///
/// # Safety
/// The block came from [`allocate`] of the same type, and nobody uses it any more.
#[inline]
pub(crate) unsafe fn free<T>(block: NonNull<T>) {
    // SAFETY: the block has this size, and it is the caller's.
    unsafe { wipe(block.cast(), size_of::<T>()) };
    match class_of::<T>() {
        // SAFETY: 1. By BLOCK-ORIGIN it is a block of this class. 2. Nobody uses it.
        Some(class) if block.addr().get() % LINE == 0 => unsafe {
            class.free(stripe(), block.cast())
        },
        // SAFETY: by BLOCK-ORIGIN it came from there.
        Some(_) => unsafe { free_elsewhere(block) },
        // SAFETY: without a class `allocate` took it from there with this layout.
        None => unsafe { dealloc(block.as_ptr().cast(), Layout::new::<T>()) },
    }
}

/// Gives the free chunks of blocks for `T` back to the global allocator when it is dropped.
pub(crate) struct Trim<T>(PhantomData<fn() -> T>);

impl<T> Trim<T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }

    /// Gives them back now.
    pub(crate) fn trim(&self) {
        if let Some(class) = class_of::<T>() {
            // ORDERING: Relaxed: a thread that comes meanwhile has few blocks.
            class.trim(THREADS.load(Ordering::Relaxed));
        }
    }
}

impl<T> Drop for Trim<T> {
    fn drop(&mut self) {
        self.trim();
    }
}

/// The layout of a block from the global allocator in place of one of the slab's.
const fn layout_elsewhere<T>() -> Layout {
    match Layout::from_size_align((lines::<T>() + 1) * LINE, LINE) {
        Ok(layout) => layout,
        Err(_) => panic!("a few lines are no large layout"),
    }
}

#[cold]
fn allocate_elsewhere<T>() -> Option<NonNull<T>> {
    // SAFETY: the size is not zero.
    let memory = NonNull::new(unsafe { alloc(const { layout_elsewhere::<T>() }) })?;
    // SAFETY: the layout is a line longer than a block.
    Some(unsafe { memory.add(LINE / 2) }.cast())
}

/// # Safety
/// The block came from [`allocate_elsewhere`], and nobody uses it any more.
#[cold]
unsafe fn free_elsewhere<T>(block: NonNull<T>) {
    // SAFETY: `allocate_elsewhere` went so far into what it was given.
    let memory = unsafe { block.cast::<u8>().sub(LINE / 2) };
    // SAFETY: it was allocated with this layout.
    unsafe { dealloc(memory.as_ptr(), const { layout_elsewhere::<T>() }) };
}

/// Overwrites memory with zeros, whether or not anybody reads it again.
///
/// # Safety
/// The `size` bytes are the caller's to write.
#[inline(always)]
unsafe fn wipe(memory: NonNull<u8>, size: usize) {
    // SAFETY: passed on.
    unsafe { memory.write_bytes(0, size) };
    // SAFETY: no instruction. The compiler has to think that what was written is read.
    #[cfg(not(miri))]
    unsafe {
        std::arch::asm!("/* {0} */", in(reg) memory.as_ptr(), options(nostack, preserves_flags));
    }
}

#[cfg(test)]
mod tests {
    use super::SizeClass;

    #[test]
    fn all_memory_is_given_back() {
        let class = SizeClass::new();
        let blocks: Vec<_> = (0..100_000).map(|n| class.allocate(n % 16, 3).unwrap()).collect();
        for (n, block) in blocks.into_iter().enumerate() {
            assert_eq!(block.addr().get() % 64, 0);
            // SAFETY: it is of this class, and nobody uses it.
            unsafe { class.free(n / 7 % 16, block) };
        }
        class.trim(usize::MAX);
        assert_eq!(class.bytes(), Some(0));
    }
}
