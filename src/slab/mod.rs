//! Memory for sessions: blocks of whole cache lines, cut from chunks.
//!
//! A slab allocator with magazines, as Bonwick's (1994 and 2001). Each size class has a depot of
//! chunks and, in front of it, magazines: stacks of free blocks, which threads share.
//! Memory from a general allocator costs more where a server lives, with cold caches: its blocks
//! begin anywhere in a line, lie on pages of their own, and bring the allocator's own lines with
//! them.
//!
//! No thread waits here for another one: magazines and depots are locks that are tried. A thread
//! that finds its magazine in use tries the others, and at last takes pages from the global
//! allocator. What it frees goes to the depot or, if that is in use, on a stack that the next
//! thread in the depot empties.
//!
//! Blocks hold secrets. All their memory is kept out of core dumps and, where a program wants it,
//! locked. A block is wiped when it is freed.
//!
//! Each of a class's 16 magazines keeps up to 64 blocks, or fewer if they pass 32 KiB, of which an
//! eighth at a time comes from the depot or goes there. The depot keeps one free chunk, of at most
//! 2 MiB. A chunk with one block in use or in a magazine stays whole; while three quarters of a
//! class are free, the magazines that are used keep nothing. [`trim`] empties the magazines that
//! nobody is in.
//!
//! `INVARIANT(BLOCK-ORIGIN)`: a block of a class whose address is a multiple of a line is the
//! slab's. One that the global allocator supplied in its place lies half a line further.

mod bytes;
mod chunk;
mod depot;
mod locks;
mod pages;
mod pool;
mod size_class;
mod stack;

pub(crate) use self::bytes::Bytes;
pub(crate) use self::locks::{NotLocked, lock};
pub(crate) use self::pool::Pool;
pub(crate) use self::size_class::SizeClass;

use crate::memory::{LINE, PAGE};
use crate::sync::thread_local_value;
use crate::sync::untracked::{AtomicUsize, Ordering};
use pool::STRIPES;
use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;

/// Whether blocks come from the global allocator alone: under Miri, AddressSanitizer and valgrind,
/// which check each allocation, and in models, which have a pool of their own.
const IS_PLAIN: bool = cfg!(any(miri, sessile_plain_blocks, sessile_loom, sessile_shuttle))
    || cfg!(all(crossbeam_sanitize, not(crossbeam_sanitize_thread)));

/// By class.
#[cfg(not(any(sessile_loom, sessile_shuttle)))]
static POOLS: [Pool; SizeClass::COUNT] = [const { Pool::new() }; SizeClass::COUNT];

/// loom's words cannot be in a static.
#[cfg(any(sessile_loom, sessile_shuttle))]
static POOLS: [Pool; 0] = [];

/// Threads that allocated or freed so far.
static THREADS: AtomicUsize = AtomicUsize::new(0);

// Which magazine of a class this thread uses, from one on.
thread_local_value! {
    static STRIPE: Cell<usize> = Cell::new(0);
}

/// Which magazine of a class this thread uses.
#[inline(always)]
fn stripe() -> usize {
    STRIPE.try_with(Cell::get).unwrap_or(0).checked_sub(1).unwrap_or_else(choose_stripe)
}

/// Deals the magazines out in turn.
#[cold]
fn choose_stripe() -> usize {
    // ORDERING: Relaxed: a turn.
    let stripe = THREADS.fetch_add(1, Ordering::Relaxed) % STRIPES;
    let _ = STRIPE.try_with(|own| own.set(stripe + 1));
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
    POOLS.iter().for_each(Pool::trim);
}

/// Trims when it is dropped.
pub(crate) struct TrimOnDrop;

impl Drop for TrimOnDrop {
    fn drop(&mut self) {
        trim();
    }
}

/// The layout of a block from the global allocator in place of one of the slab's: whole pages, with
/// half a line in front of the block.
fn layout_elsewhere(class: SizeClass) -> Option<Layout> {
    Layout::from_size_align((class.bytes() + LINE).next_multiple_of(PAGE), PAGE).ok()
}

#[cold]
fn allocate_elsewhere(class: SizeClass) -> Option<NonNull<u8>> {
    // SAFETY: the size is not zero.
    let memory = unsafe { pages::allocate(layout_elsewhere(class)?) }?;
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
    unsafe { pages::free(block.sub(LINE / 2), layout) };
}

/// Overwrites memory with zeros, whether or not anybody reads it again.
///
/// # Safety
/// The `size` bytes are the caller's to write.
#[inline(always)]
pub(crate) unsafe fn wipe(memory: NonNull<u8>, size: usize) {
    // SAFETY: passed on.
    unsafe { memory.write_bytes(0, size) };
    // SAFETY: the bytes were just written.
    zeroize::optimization_barrier(unsafe { NonNull::slice_from_raw_parts(memory, size).as_ref() });
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
            pool.trim();
            assert_eq!(pool.bytes(), Some(0));
        }
    }

    /// Random calls; then the depot says of itself what must be so.
    #[test]
    fn free_blocks_and_those_in_use_are_all_there_are() {
        let mut random = fastrand::Rng::with_seed(1);
        for bytes in [64, 250, 1100, 9000] {
            let (class, pool, mut used) =
                (SizeClass::for_size(bytes).unwrap(), Pool::new(), vec![]);
            for round in 0..200 {
                // Now it grows, now it shrinks, in an order that leaves holes.
                let most = if round % 3 == 0 { 4000 } else { 300 };
                for _ in 0..500 {
                    let stripe = random.usize(..STRIPES);
                    if random.usize(..most) >= used.len() {
                        used.push(pool.allocate(stripe, class).unwrap());
                    } else {
                        let block = used.swap_remove(random.usize(..used.len()));
                        // SAFETY: it is of this pool, and nobody uses it.
                        unsafe { pool.free(stripe, class, block) };
                    }
                }
                if round % 10 == 0 {
                    pool.trim();
                    assert_eq!(pool.blocks_in_magazines(), 0);
                }
                let free = pool.check(class) + pool.blocks_in_magazines();
                assert_eq!(free + used.len(), pool.blocks(class));
            }
            // SAFETY: as above.
            used.drain(..).for_each(|block| unsafe { pool.free(0, class, block) });
            pool.trim();
            assert_eq!(pool.bytes(), Some(0));
        }
    }

    /// Whoever finds a magazine empty or full waits for a few blocks, not for all of it.
    #[test]
    fn a_small_part_of_a_magazine_comes_from_the_depot_and_goes_there() {
        let (class, pool) = (SizeClass::for_size(192).unwrap(), Pool::new());
        let most = class.magazine() / 8;
        let mut blocks = vec![];
        for _ in 0..2000 {
            let before = pool.blocks_in_magazines();
            blocks.push(pool.allocate(0, class).unwrap());
            assert!(pool.blocks_in_magazines() < before + most);
        }
        // Until the class is nearly free.
        for block in blocks.drain(1000..) {
            let before = pool.blocks_in_magazines();
            // SAFETY: it is of this pool, and nobody uses it.
            unsafe { pool.free(0, class, block) };
            assert!(before <= pool.blocks_in_magazines() + most);
        }
        assert!(pool.blocks_in_magazines() >= class.magazine() - most, "most of it stays");
        // SAFETY: as above.
        blocks.into_iter().for_each(|block| unsafe { pool.free(0, class, block) });
        pool.trim();
        assert_eq!(pool.bytes(), Some(0));
    }

    #[test]
    fn chunks_go_whatever_the_order_in_which_their_blocks_do() {
        let (class, pool) = (SizeClass::for_size(192).unwrap(), Pool::new());
        let mut blocks: Vec<_> = (0..100_000).map(|_| pool.allocate(0, class).unwrap()).collect();
        fastrand::Rng::with_seed(1).shuffle(&mut blocks);
        // SAFETY: it is of this pool, and nobody uses it.
        blocks.into_iter().for_each(|block| unsafe { pool.free(0, class, block) });
        assert!(pool.bytes().unwrap() <= 2 << 20, "one chunk stays, not {:?}", pool.bytes());
    }

    /// Many threads fill caches at once, while the depot maps chunk after chunk.
    #[test]
    fn few_blocks_are_from_elsewhere() {
        // A thread that loses its processor in the depot sends the others elsewhere.
        let least = (0..3).map(|_| from_elsewhere()).min().unwrap();
        assert!(least <= 800, "{least} of 80,000");
    }

    fn from_elsewhere() -> usize {
        const THREADS: usize = 8;
        const BLOCKS: usize = 10_000;
        let class = SizeClass::for_size(250).unwrap();
        let elsewhere = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let blocks: Vec<_> = (0..BLOCKS).map(|_| allocate(class).unwrap()).collect();
                    let is_elsewhere = |block: &&NonNull<u8>| block.addr().get() % LINE != 0;
                    let count = blocks.iter().filter(is_elsewhere).count();
                    elsewhere.fetch_add(count, Ordering::Relaxed);
                    // SAFETY: it is of this class, and nobody uses it.
                    blocks.into_iter().for_each(|block| unsafe { free(class, block) });
                });
            }
        });
        elsewhere.into_inner()
    }
}
