//! Memory for sessions: blocks of whole cache lines, cut from chunks.
//!
//! A slab allocator with magazines, as Bonwick's (1994 and 2001). Each size class has a depot of
//! chunks and, in front of it, magazines: two stacks of free blocks each, which threads share.
//! Memory from a general allocator costs more where a server lives, with cold caches: its blocks
//! begin anywhere in a line, lie on pages of their own, and bring the allocator's own lines with
//! them.
//!
//! No thread waits here for another one. A magazine and a depot are tried: who finds one in use
//! takes the block from the global allocator, or puts it where the next one picks it up.
//!
//! Blocks hold secrets. Chunks are kept out of core dumps and, where a program wants it, locked in
//! memory. A block is wiped when it is freed.
//!
//! What is not in use is bounded: two batches of up to 32 blocks or 16 KiB in each of a class's 16
//! magazines, and one chunk, of 2 MiB at most. [`trim`] gives all of it back, but for chunks with a
//! block in use.
//!
//! `INVARIANT(BLOCK-ORIGIN)`: a block of a class whose address is a multiple of a line is the
//! slab's. One that the global allocator supplied in its place lies half a line further.

mod bytes;
mod chunk;
mod depot;
mod locks;
mod pool;
mod size_class;
mod stack;

pub(crate) use self::bytes::Bytes;
pub(crate) use self::locks::{NotLocked, lock};
pub(crate) use self::pool::Pool;
pub(crate) use self::size_class::SizeClass;

use crate::memory::LINE;
use crate::sync::untracked::{AtomicUsize, Ordering};
use crate::sync::{thread_local_value, yield_now};
use pool::STRIPES;
use std::alloc::{Layout, alloc, dealloc};
use std::cell::Cell;
use std::ptr::NonNull;

/// Whether blocks come from the global allocator alone: for what checks each block by itself, and
/// for models, which have a pool of their own.
const IS_PLAIN: bool = cfg!(any(miri, sessile_plain_blocks, sessile_loom, sessile_shuttle))
    || cfg!(all(crossbeam_sanitize, not(crossbeam_sanitize_thread)));

/// By class.
#[cfg(not(any(sessile_loom, sessile_shuttle)))]
static POOLS: [Pool; SizeClass::COUNT] = [const { Pool::new() }; SizeClass::COUNT];

/// loom's words cannot be in a static.
#[cfg(any(sessile_loom, sessile_shuttle))]
static POOLS: [Pool; 0] = [];

/// Attempts to get a block of the slab where none may come from elsewhere.
const PATIENCE: u32 = 1000;

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

impl SizeClass {
    /// The class of blocks of `size` bytes. `None` if the global allocator has to supply them.
    #[inline]
    pub(crate) const fn of_size(size: usize) -> Option<Self> {
        if IS_PLAIN { None } else { Self::for_size(size) }
    }

    #[inline(always)]
    fn pool(self) -> &'static Pool {
        &POOLS[self.index()]
    }
}

/// A block, which begins at a multiple of half a line; `None` when memory is exhausted.
#[inline(always)]
pub(crate) fn allocate(class: SizeClass) -> Option<NonNull<u8>> {
    class.pool().allocate(stripe(), class).or_else(|| allocate_elsewhere(class))
}

/// Wipes a block and gives it back.
///
/// # Safety
/// The block came from [`allocate`] of the same class, and nobody uses it any more.
#[inline(always)]
pub(crate) unsafe fn free(class: SizeClass, block: NonNull<u8>) {
    // SAFETY: a block of the class has so many bytes, and it is the caller's.
    unsafe { wipe(block, class.bytes()) };
    if block.addr().get() % LINE == 0 {
        // SAFETY: 1. By BLOCK-ORIGIN it is a block of this class. 2. Nobody uses it.
        unsafe { class.pool().free(stripe(), class, block) };
    } else {
        // SAFETY: by BLOCK-ORIGIN it came from there.
        unsafe { free_elsewhere(class, block) };
    }
}

/// Gives free chunks back to the global allocator.
#[cold]
pub(crate) fn trim() {
    // ORDERING: Relaxed: a thread that comes meanwhile has few blocks.
    let stripes = THREADS.load(Ordering::Relaxed);
    POOLS.iter().for_each(|pool| pool.trim(stripes));
}

/// Trims when it is dropped.
pub(crate) struct TrimOnDrop;

impl Drop for TrimOnDrop {
    fn drop(&mut self) {
        trim();
    }
}

/// The layout of a block from the global allocator in place of one of the slab's: half a line in
/// front of it and behind.
fn layout_elsewhere(class: SizeClass) -> Option<Layout> {
    Layout::from_size_align(class.bytes() + LINE, LINE).ok()
}

#[cold]
fn allocate_elsewhere(class: SizeClass) -> Option<NonNull<u8>> {
    if locks::are_wanted() {
        // What is from elsewhere is not locked.
        return (0..PATIENCE).find_map(|_| {
            yield_now();
            class.pool().allocate(stripe(), class)
        });
    }
    // SAFETY: the size is not zero.
    let memory = NonNull::new(unsafe { alloc(layout_elsewhere(class)?) })?;
    // SAFETY: the layout is a line longer than a block.
    Some(unsafe { memory.add(LINE / 2) })
}

/// # Safety
/// The block came from [`allocate_elsewhere`], and nobody uses it any more.
#[cold]
unsafe fn free_elsewhere(class: SizeClass, block: NonNull<u8>) {
    let Some(layout) = layout_elsewhere(class) else { return };
    // SAFETY: 1. `allocate_elsewhere` went so far into what it was given. 2. It was allocated with
    // this layout.
    unsafe { dealloc(block.sub(LINE / 2).as_ptr(), layout) };
}

/// Overwrites memory with zeros, whether or not anybody reads it again.
///
/// # Safety
/// The `size` bytes are the caller's to write.
#[inline(always)]
pub(crate) unsafe fn wipe(memory: NonNull<u8>, size: usize) {
    // SAFETY: passed on.
    unsafe { memory.write_bytes(0, size) };
    // SAFETY: no instruction. The compiler has to think that what was written is read.
    #[cfg(not(miri))]
    unsafe {
        std::arch::asm!("/* {0} */", in(reg) memory.as_ptr(), options(nostack, preserves_flags));
    }
}

#[cfg(all(test, not(any(sessile_loom, sessile_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn all_memory_is_given_back() {
        for bytes in [40, 192, 1000, 3000, 16_000] {
            let class = SizeClass::for_size(bytes).unwrap();
            let pool = Pool::new();
            let count = 20_000_000 / bytes;
            let blocks = (0..count).map(|n| pool.allocate(n % STRIPES, class).unwrap());
            let blocks: Vec<_> = blocks.collect();
            for (n, block) in blocks.into_iter().enumerate() {
                assert_eq!(block.addr().get() % LINE, 0);
                // SAFETY: it is of this pool, and nobody uses it.
                unsafe { pool.free(n / 7 % STRIPES, class, block) };
            }
            assert!(pool.bytes().unwrap() < 10 << 20, "one chunk and full magazines stay");
            pool.trim(usize::MAX);
            assert_eq!(pool.bytes(), Some(0));
        }
    }
}
