//! The blocks of one size class: a depot, and magazines in front of it.

use super::depot::Depot;
use super::size_class::SizeClass;
use super::stack::{Returned, Stack};
use crate::sync::{MODELLED, TryLock};
use std::mem;
use std::ptr::NonNull;

/// Magazines of a class. Threads share them, so that free blocks do not grow with threads: a thread
/// has a magazine in its hands for some ten nanoseconds in an operation, so two seldom meet.
pub(super) const STRIPES: usize = if MODELLED { 2 } else { 16 };

/// Two stacks of up to a batch each: with one, a thread that frees and allocates by turns where it
/// is full would go to the depot each time.
struct Magazine {
    loaded: Stack,
    spare: Stack,
}

impl Magazine {
    const fn new() -> Self {
        Self { loaded: Stack::new(), spare: Stack::new() }
    }

    #[inline]
    fn pop(&mut self) -> Option<NonNull<u8>> {
        if self.loaded.len() == 0 {
            mem::swap(&mut self.loaded, &mut self.spare);
        }
        self.loaded.pop()
    }

    /// Whether a block was pushed: not when both stacks are full.
    ///
    /// # Safety
    /// As for [`Stack::push`].
    #[inline]
    unsafe fn push(&mut self, block: NonNull<u8>, batch: usize) -> bool {
        if self.loaded.len() >= batch {
            if self.spare.len() > 0 {
                return false;
            }
            mem::swap(&mut self.loaded, &mut self.spare);
        }
        // SAFETY: passed on.
        unsafe { self.loaded.push(block) };
        true
    }
}

/// A magazine has a cache line of its own.
#[repr(align(64))]
struct Padded(TryLock<Magazine>);

/// Blocks of one size.
pub(crate) struct Pool {
    magazines: [Padded; STRIPES],
    depot: TryLock<Depot>,
    /// Freed while a magazine or the depot was in use.
    returned: Returned,
}

impl Pool {
    #[cfg(not(sessile_loom))]
    pub(crate) const fn new() -> Self {
        Self {
            magazines: [const { Padded(TryLock::new(Magazine::new())) }; STRIPES],
            depot: TryLock::new(Depot::new()),
            returned: Returned::new(),
        }
    }

    /// loom's words are no constants.
    #[cfg(sessile_loom)]
    pub(crate) fn new() -> Self {
        Self {
            magazines: std::array::from_fn(|_| Padded(TryLock::new(Magazine::new()))),
            depot: TryLock::new(Depot::new()),
            returned: Returned::new(),
        }
    }

    /// A block of `class`, which is the pool's own. `None` when memory is exhausted, or the
    /// magazine or the depot in use.
    #[inline(always)]
    pub(crate) fn allocate(&self, stripe: usize, class: SizeClass) -> Option<NonNull<u8>> {
        let magazine = &self.magazines[stripe].0;
        let block = magazine.with(|magazine| match magazine.pop() {
            Some(block) => Some(block),
            None => self.refill(magazine, class),
        });
        block.flatten()
    }

    #[cold]
    fn refill(&self, magazine: &mut Magazine, class: SizeClass) -> Option<NonNull<u8>> {
        magazine.loaded = self.with_depot(|depot| depot.take(class)).flatten()?;
        magazine.loaded.pop()
    }

    /// Takes a block back. Never waits.
    ///
    /// # Safety
    /// The block came from [`allocate`](Self::allocate), and nobody uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn free(&self, stripe: usize, class: SizeClass, block: NonNull<u8>) {
        let magazine = &self.magazines[stripe].0;
        // SAFETY: 1. A block has at least a line. 2. By the caller's promise it is nobody's.
        let push = |magazine: &mut Magazine| unsafe { magazine.push(block, class.batch()) };
        let is_kept = magazine
            .with(|magazine| push(magazine) || (self.make_room(magazine) && push(magazine)));
        if is_kept != Some(true) {
            // SAFETY: as above.
            unsafe { self.returned.push(block) };
        }
    }

    /// Empties one of the two full stacks, unless the depot is in use.
    #[cold]
    fn make_room(&self, magazine: &mut Magazine) -> bool {
        self.with_depot(|depot| depot.put_all(&mut magazine.spare)).is_some()
    }

    /// Gives chunks without blocks in use back to the global allocator, once the first so many
    /// magazines are empty. Blocks in a magazine that is in use are left there.
    #[cold]
    pub(crate) fn trim(&self, stripes: usize) {
        for magazine in self.magazines.iter().take(stripes) {
            magazine.0.with(|Magazine { loaded, spare }| {
                self.with_depot(|depot| {
                    depot.put_all(loaded);
                    depot.put_all(spare);
                })
            });
        }
        self.with_depot(Depot::trim);
    }

    /// Locks the memory of all chunks. Whether all of it is locked; `None` while the depot is in
    /// use.
    pub(super) fn lock(&self) -> Option<bool> {
        self.with_depot(Depot::lock)
    }

    /// Bytes of its chunks; `None` while the depot is in use.
    #[cfg(any(test, sessile_loom, sessile_shuttle))]
    pub(crate) fn bytes(&self) -> Option<usize> {
        self.with_depot(|depot| depot.bytes())
    }

    fn with_depot<R>(&self, f: impl FnOnce(&mut Depot) -> R) -> Option<R> {
        self.depot.with(|depot| {
            self.returned.take_all().for_each(|block| depot.put(block));
            f(depot)
        })
    }
}
