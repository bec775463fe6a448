//! A global allocator: the system's, which on demand refuses, counts, weighs and searches.
//!
//! - It refuses the n-th allocation of a thread ([`refuse`]), or all of a size from there on
//!   ([`refusing`]).
//! - It counts what a thread asks for ([`allocations`]).
//! - It searches each block that is given back for bytes that should have been wiped
//!   ([`given_back`], and [`canaries_freed`] for all threads): the only moment at which they are
//!   certainly unwanted and still readable.
//! - It weighs the live blocks of chosen sizes ([`weigh`]), without asking the cache.
//!
//! Each costs one load of a flag while it is off. A program installs it:
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: testkit::allocator::Probe = testkit::allocator::Probe;
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The allocator.
#[derive(Clone, Copy, Debug, Default)]
pub struct Probe;

/// What no block that is given back may hold. Random, so that nothing else looks like it.
pub const CANARY: [u8; 16] = [
    0xC5, 0x1A, 0x9E, 0x77, 0xE3, 0x08, 0xB4, 0x6D, 0x2F, 0xD1, 0x5C, 0x93, 0xF8, 0x41, 0xA6, 0x3B,
];

/// Blocks of every size, for [`weigh`].
pub const ALL_SIZES: RangeInclusive<usize> = 0..=usize::MAX;

#[derive(Clone, Copy)]
struct Refusal {
    /// Concerns blocks of at least so many bytes.
    from_size: usize,
    /// Lets so many of them pass first.
    passes: usize,
    /// Lifted by the first refusal, which this is told of; otherwise it stays.
    once: Option<fn()>,
}

/// A search of this thread's freed blocks.
#[derive(Clone, Copy)]
struct Search {
    /// Its first byte occurs in it once, or throughout.
    needle: &'static [u8],
    length: usize,
    found: GivenBack,
}

/// What a thread gave back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenBack {
    /// Blocks that held what was searched for.
    pub unwiped: usize,
    /// Blocks of the length that was counted.
    pub of_length: usize,
}

thread_local! {
    static REFUSAL: Cell<Option<Refusal>> = const { Cell::new(None) };
    static ASKED: Cell<usize> = const { Cell::new(0) };
    static SEARCH: Cell<Option<Search>> = const { Cell::new(None) };
}

/// Held by whoever measures what all threads do: it would count what another one causes.
static MEASURING: Mutex<()> = Mutex::new(());

static IS_LOOKING: AtomicBool = AtomicBool::new(false);
static CANARIES: AtomicU64 = AtomicU64::new(0);
static IS_WEIGHING: AtomicBool = AtomicBool::new(false);
static LIGHTEST: AtomicUsize = AtomicUsize::new(0);
static HEAVIEST: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicIsize = AtomicIsize::new(0);

/// Runs `f` with one allocation of this thread refused, after `passes` others. Also says whether it
/// came to that. `tell` is called the moment before, when the refusal is lifted already.
pub fn refuse<R>(passes: usize, tell: fn(), f: impl FnOnce() -> R) -> (R, bool) {
    REFUSAL.set(Some(Refusal { from_size: 0, passes, once: Some(tell) }));
    let result = f();
    (result, REFUSAL.take().is_none())
}

/// Runs `f` while this thread's blocks of at least `from_size` bytes are refused, after `passes` of
/// them. No assertion may fail inside.
pub fn refusing<R>(from_size: usize, passes: usize, f: impl FnOnce() -> R) -> R {
    REFUSAL.set(Some(Refusal { from_size, passes, once: None }));
    let result = f();
    REFUSAL.set(None);
    result
}

/// How often `f` asks for memory on this thread.
pub fn allocations(f: impl FnOnce()) -> usize {
    let before = ASKED.get();
    f();
    ASKED.get() - before
}

/// Runs `f`, drops what it returns, and tells what this thread gave back meanwhile: blocks with the
/// needle in them, and blocks of a length. The needle's first byte occurs in it once, or
/// throughout.
pub fn given_back<R>(needle: &'static [u8], length: usize, f: impl FnOnce() -> R) -> GivenBack {
    SEARCH.set(Some(Search { needle, length, found: GivenBack::default() }));
    drop(f());
    SEARCH.take().map(|search| search.found).unwrap_or_default()
}

/// Runs `f` and returns how many blocks were given back with a canary in them meanwhile, by any
/// thread. Waits until no other thread measures; not to be nested.
pub fn canaries_freed<R>(f: impl FnOnce() -> R) -> (R, u64) {
    let _measuring = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
    let before = CANARIES.load(Ordering::SeqCst);
    IS_LOOKING.store(true, Ordering::SeqCst);
    let result = f();
    IS_LOOKING.store(false, Ordering::SeqCst);
    (result, CANARIES.load(Ordering::SeqCst) - before)
}

/// Runs `f` while live blocks of these sizes are weighed. `f` gets a function that tells how many
/// bytes were added since. Waits until no other thread measures; not to be nested.
pub fn weigh<R>(
    sizes: RangeInclusive<usize>,
    f: impl FnOnce(&(dyn Fn() -> isize + Sync)) -> R,
) -> R {
    let _measuring = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
    LIGHTEST.store(*sizes.start(), Ordering::SeqCst);
    HEAVIEST.store(*sizes.end(), Ordering::SeqCst);
    IS_WEIGHING.store(true, Ordering::SeqCst);
    let before = LIVE_BYTES.load(Ordering::SeqCst);
    let result = f(&|| LIVE_BYTES.load(Ordering::SeqCst) - before);
    IS_WEIGHING.store(false, Ordering::SeqCst);
    result
}

impl Probe {
    /// Storage of a thread without destructors is there as long as the thread.
    #[inline]
    fn is_refused(layout: Layout) -> bool {
        let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
        let refusal = REFUSAL.try_with(Cell::get).ok().flatten();
        refusal.is_some_and(|refusal| Self::refuses(refusal, layout))
    }

    #[cold]
    fn refuses(refusal: Refusal, layout: Layout) -> bool {
        if layout.size() < refusal.from_size {
            return false;
        }
        if refusal.passes > 0 {
            REFUSAL.set(Some(Refusal { passes: refusal.passes - 1, ..refusal }));
            return false;
        }
        if let Some(tell) = refusal.once {
            REFUSAL.set(None);
            tell();
        }
        true
    }

    #[inline]
    fn weigh(layout: Layout, sign: isize) {
        if IS_WEIGHING.load(Ordering::Relaxed) {
            let sizes = LIGHTEST.load(Ordering::Relaxed)..=HEAVIEST.load(Ordering::Relaxed);
            if sizes.contains(&layout.size()) {
                LIVE_BYTES.fetch_add(sign * layout.size() as isize, Ordering::Relaxed);
            }
        }
    }

    /// Searches a block for what all threads or this one look for.
    ///
    /// # Safety
    /// `memory` is a live block of `size` bytes that nobody else uses.
    #[inline]
    unsafe fn search(memory: *mut u8, size: usize) {
        if IS_LOOKING.load(Ordering::Relaxed) {
            // SAFETY: the caller's promise.
            let is_found = unsafe { Self::holds(memory, size, &CANARY) };
            CANARIES.fetch_add(u64::from(is_found), Ordering::Relaxed);
        }
        if let Ok(Some(mut search)) = SEARCH.try_with(Cell::get) {
            // SAFETY: the caller's promise.
            let is_found = unsafe { Self::holds(memory, size, search.needle) };
            search.found.unwiped += usize::from(is_found);
            search.found.of_length += usize::from(size == search.length);
            SEARCH.set(Some(search));
        }
    }

    /// Whether the needle is in the block, which is cleared then: a later block at the same place,
    /// of which not every byte is written, would show it again.
    ///
    /// # Safety
    /// `memory` is a live block of `size` bytes that nobody else uses.
    #[cold]
    unsafe fn holds(memory: *mut u8, size: usize, needle: &[u8]) -> bool {
        let mut matched = 0;
        for at in 0..size {
            // SAFETY: within the block. Volatile, because the compiler may think that nobody reads
            // a block that is freed.
            let byte = unsafe { memory.add(at).read_volatile() };
            matched = match byte {
                // A mismatch starts over with no prefix kept: see `given_back`.
                _ if byte == needle[matched] => matched + 1,
                _ => usize::from(byte == needle[0]),
            };
            if matched == needle.len() {
                // SAFETY: within the block, volatile as above.
                (0..size).for_each(|at| unsafe { memory.add(at).write_volatile(0) });
                return true;
            }
        }
        false
    }
}

// SAFETY: every call is refused, as an allocator may, or passed on to the system's allocator
// unchanged. The provided `realloc` copies through `alloc` and `dealloc`, so that a block that
// moved is searched too.
unsafe impl GlobalAlloc for Probe {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if Self::is_refused(layout) {
            return std::ptr::null_mut();
        }
        Self::weigh(layout, 1);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if Self::is_refused(layout) {
            return std::ptr::null_mut();
        }
        Self::weigh(layout, 1);
        // SAFETY: passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        Self::weigh(layout, -1);
        // SAFETY: the caller gives the block back, and its layout says how large it is.
        unsafe { Self::search(memory, layout.size()) };
        // SAFETY: passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::{CANARY, GivenBack, Probe, canaries_freed, given_back, refuse, refusing, weigh};
    use std::hint::black_box;

    #[global_allocator]
    static ALLOCATOR: Probe = Probe;

    #[test]
    fn a_canary_is_found_at_any_place_and_an_incomplete_one_is_not() {
        for (length, before, found) in [(16, 0, 1), (16, 1, 1), (16, 1000, 1), (15, 3, 0)] {
            let mut bytes = vec![CANARY[0]; before];
            bytes.extend_from_slice(&CANARY[..length]);
            let ((), count) = canaries_freed(|| drop(black_box(bytes)));
            assert_eq!(count, found, "{length} bytes after {before}");
        }
    }

    #[test]
    fn the_chosen_allocation_is_refused_once() {
        for passes in 0..3 {
            let (sizes, refused) = refuse(
                passes,
                || (),
                || {
                    let mut sizes = Vec::<u8>::new();
                    let mut reserve = |bytes: usize| sizes.try_reserve_exact(bytes).is_ok();
                    [reserve(10), reserve(20), reserve(30)].map(black_box)
                },
            );
            assert!(refused);
            assert_eq!(sizes.iter().position(|granted| !granted), Some(passes));
        }
        assert!(
            !refuse(1, || (), || drop(black_box(Box::new(1)))).1,
            "one allocation is fewer than two"
        );
    }

    #[test]
    fn live_blocks_of_the_sizes_are_weighed() {
        weigh(7777..=7777, |added| {
            let kept = black_box(vec![0u8; 7777]);
            assert_eq!(added(), 7777);
            drop(black_box(vec![0u8; 7777]));
            drop(kept);
            assert_eq!(added(), 0);
        });
    }

    #[test]
    fn blocks_of_a_size_are_refused_until_the_end() {
        let granted = refusing(100, 1, || {
            [10, 100, 200, 50, 100].map(|bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok())
        });
        assert_eq!(granted, [true, true, false, true, false]);
    }

    #[test]
    fn what_this_thread_gives_back_is_searched_and_counted() {
        let needle = &[7; 8];
        let freed = |bytes: Vec<u8>| given_back(needle, 100, || black_box(bytes));
        assert_eq!(freed(vec![7; 100]), GivenBack { unwiped: 1, of_length: 1 });
        assert_eq!(freed(vec![7; 7]), GivenBack { unwiped: 0, of_length: 0 });
        assert_eq!(freed(vec![0; 100]), GivenBack { unwiped: 0, of_length: 1 });
    }
}
