//! The allocator of this program: the system's, which on demand refuses, looks and weighs.
//!
//! - It refuses the n-th allocation of a thread ([`refuse`]), so that each allocation of an
//!   operation fails once.
//! - It looks into each block that is given back for a canary ([`canaries_freed`]), so that a
//!   secret that was not wiped is found at the only moment at which it is certainly unwanted and
//!   still readable.
//! - It weighs the live blocks of chosen sizes ([`weigh`]), which counts garbage without asking the
//!   cache.
//!
//! Each costs one load of a flag while it is off.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, AtomicUsize, Ordering};

#[global_allocator]
static ALLOCATOR: Probe = Probe;

struct Probe;

/// What no block that is given back may hold. Random, so that nothing else looks like it.
pub(crate) const CANARY: [u8; 16] = [
    0xC5, 0x1A, 0x9E, 0x77, 0xE3, 0x08, 0xB4, 0x6D, 0x2F, 0xD1, 0x5C, 0x93, 0xF8, 0x41, 0xA6, 0x3B,
];

#[derive(Clone, Copy)]
struct Refusal {
    passes: usize,
    /// Told the moment before the refusal, which is lifted by then.
    tell: fn(),
}

thread_local! {
    static REFUSAL: Cell<Option<Refusal>> = const { Cell::new(None) };
}

static IS_LOOKING: AtomicBool = AtomicBool::new(false);
static CANARIES: AtomicU64 = AtomicU64::new(0);
static IS_WEIGHING: AtomicBool = AtomicBool::new(false);
static LIGHTEST: AtomicUsize = AtomicUsize::new(0);
static HEAVIEST: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicIsize = AtomicIsize::new(0);

/// Runs `f` with one allocation of this thread refused, after `passes` others. Also says whether it
/// came to that.
pub(crate) fn refuse<R>(passes: usize, tell: fn(), f: impl FnOnce() -> R) -> (R, bool) {
    REFUSAL.set(Some(Refusal { passes, tell }));
    let result = f();
    (result, REFUSAL.take().is_none())
}

/// Runs `f` and returns how many blocks were given back with a canary in them meanwhile, by any
/// thread.
pub(crate) fn canaries_freed<R>(f: impl FnOnce() -> R) -> (R, u64) {
    let before = CANARIES.load(Ordering::SeqCst);
    IS_LOOKING.store(true, Ordering::SeqCst);
    let result = f();
    IS_LOOKING.store(false, Ordering::SeqCst);
    (result, CANARIES.load(Ordering::SeqCst) - before)
}

/// Runs `f` while live blocks of these sizes are weighed. `f` gets a function that tells how many
/// bytes were added since.
pub(crate) fn weigh<R>(
    sizes: RangeInclusive<usize>,
    f: impl FnOnce(&(dyn Fn() -> isize + Sync)) -> R,
) -> R {
    LIGHTEST.store(*sizes.start(), Ordering::SeqCst);
    HEAVIEST.store(*sizes.end(), Ordering::SeqCst);
    IS_WEIGHING.store(true, Ordering::SeqCst);
    let before = LIVE_BYTES.load(Ordering::SeqCst);
    let result = f(&|| LIVE_BYTES.load(Ordering::SeqCst) - before);
    IS_WEIGHING.store(false, Ordering::SeqCst);
    result
}

impl Probe {
    #[inline]
    fn is_refused() -> bool {
        REFUSAL.try_with(Cell::get).ok().flatten().is_some_and(Self::refuses)
    }

    #[cold]
    fn refuses(refusal: Refusal) -> bool {
        if refusal.passes > 0 {
            REFUSAL.set(Some(Refusal { passes: refusal.passes - 1, ..refusal }));
            return false;
        }
        REFUSAL.set(None);
        (refusal.tell)();
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

    /// Counts the block if it holds a canary, and then clears it: a later block at the same place,
    /// of which not every byte is written, would show it again.
    ///
    /// # Safety
    /// `memory` is a live block of `size` bytes that nobody else uses.
    #[cold]
    unsafe fn look(memory: *mut u8, size: usize) {
        let mut matched = 0;
        for at in 0..size {
            // SAFETY: within the block. Volatile, because the compiler may think that nobody reads
            // a block that is freed.
            let byte = unsafe { memory.add(at).read_volatile() };
            matched = match byte {
                // The canary's first byte occurs in it once, so a mismatch starts over with no
                // prefix kept.
                _ if byte == CANARY[matched] => matched + 1,
                _ => usize::from(byte == CANARY[0]),
            };
            if matched == CANARY.len() {
                CANARIES.fetch_add(1, Ordering::Relaxed);
                // SAFETY: within the block, volatile as above.
                (0..size).for_each(|at| unsafe { memory.add(at).write_volatile(0) });
                return;
            }
        }
    }
}

// SAFETY: every call is refused, as an allocator may, or passed on to the system's allocator
// unchanged. The provided `realloc` copies through `alloc` and `dealloc`, so that a block that
// moved is looked at too.
unsafe impl GlobalAlloc for Probe {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if Self::is_refused() {
            return std::ptr::null_mut();
        }
        Self::weigh(layout, 1);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if Self::is_refused() {
            return std::ptr::null_mut();
        }
        Self::weigh(layout, 1);
        // SAFETY: passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        Self::weigh(layout, -1);
        if IS_LOOKING.load(Ordering::Relaxed) {
            // SAFETY: the caller gives the block back, and its layout says how large it is.
            unsafe { Self::look(memory, layout.size()) };
        }
        // SAFETY: passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::{CANARY, canaries_freed, refuse, weigh};
    use std::hint::black_box;

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
}
