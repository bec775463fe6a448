//! The blocks of one size class: a depot, and magazines in front of it.

use super::depot::Depot;
use super::size_class::SizeClass;
use super::stack::{Returned, Stack};
use crate::sync::{MODELLED, TryLock, yield_now};
use std::mem;
use std::ptr::NonNull;

/// Magazines of a class. Threads share them, so that free blocks do not grow with threads: a thread
/// has a magazine in its hands for some ten nanoseconds in an operation, so two seldom meet.
pub(super) const STRIPES: usize = if MODELLED { 2 } else { 16 };

/// Free blocks. A full magazine gives one batch of several to the depot, and an empty one gets one
/// from there: a thread that frees and allocates by turns goes there seldom.
struct Magazine {
    blocks: Stack,
    /// How many it keeps: none while nearly all blocks of the class are free and go to the depot at
    /// once, so that chunks become free.
    limit: usize,
}

impl Magazine {
    const fn new() -> Self {
        Self { blocks: Stack::new(), limit: 0 }
    }

    #[inline]
    fn pop(&mut self) -> Option<NonNull<u8>> {
        self.blocks.pop()
    }

    /// Gives everything to the depot, and keeps nothing until it is filled again.
    fn empty_into(&mut self, depot: &mut Depot) {
        depot.put_up_to(usize::MAX, &mut self.blocks);
        self.limit = 0;
    }

    /// Whether a block was pushed: not when the magazine is full.
    ///
    /// # Safety
    /// As for [`Stack::push`].
    #[inline]
    unsafe fn push(&mut self, block: NonNull<u8>) -> bool {
        if self.blocks.len() >= self.limit {
            return false;
        }
        // SAFETY: passed on.
        unsafe { self.blocks.push(block) };
        true
    }
}

/// How an empty magazine was filled.
enum Refill {
    Block(NonNull<u8>),
    Exhausted,
    DepotInUse,
}

/// Attempts of an allocation, between which others may run.
const PATIENCE: u32 = if MODELLED { 1 } else { 256 };

/// A magazine has a cache line of its own.
#[repr(align(64))]
struct Padded(TryLock<Magazine>);

/// Blocks of one size.
pub(crate) struct Pool {
    magazines: [Padded; STRIPES],
    depot: TryLock<Depot>,
    /// Freed while the depot was in use.
    returned: Returned,
}

impl Pool {
    #[cfg(not(any(sessile_loom, sessile_shuttle)))]
    pub(crate) const fn new() -> Self {
        Self {
            magazines: [const { Padded(TryLock::new(Magazine::new())) }; STRIPES],
            depot: TryLock::new(Depot::new()),
            returned: Returned::new(),
        }
    }

    /// A checker's words are no constants.
    #[cfg(any(sessile_loom, sessile_shuttle))]
    pub(crate) fn new() -> Self {
        Self {
            magazines: std::array::from_fn(|_| Padded(TryLock::new(Magazine::new()))),
            depot: TryLock::new(Depot::new()),
            returned: Returned::new(),
        }
    }

    /// A block of `class`, which is the pool's own, through the magazine of a stripe or, if that
    /// is in use, through another one. `None` if memory is exhausted, or if for a while all
    /// magazines that have blocks are in use, and the depot.
    #[inline(always)]
    pub(crate) fn allocate(&self, stripe: usize, class: SizeClass) -> Option<NonNull<u8>> {
        let block = self.magazines[stripe].0.with(Magazine::pop);
        block.flatten().or_else(|| self.allocate_slowly(stripe, class))
    }

    /// Tries for a while: whoever is in the depot may be mapping a chunk, and a block from
    /// elsewhere has a page of its own.
    #[cold]
    fn allocate_slowly(&self, stripe: usize, class: SizeClass) -> Option<NonNull<u8>> {
        for attempt in 0..PATIENCE {
            if attempt > 0 {
                yield_now();
            }
            let (others, own) = self.magazines.split_at(stripe);
            for magazine in own.iter().chain(others) {
                let take = |magazine: &mut Magazine| match magazine.pop() {
                    Some(block) => Refill::Block(block),
                    None => self.refill(magazine, class),
                };
                match magazine.0.with(take) {
                    Some(Refill::Block(block)) => return Some(block),
                    Some(Refill::Exhausted) => return None,
                    Some(Refill::DepotInUse) | None => {}
                }
            }
        }
        None
    }

    fn refill(&self, magazine: &mut Magazine, class: SizeClass) -> Refill {
        let Some(taken) = self.with_depot(|depot| depot.take(class)) else {
            return Refill::DepotInUse;
        };
        let Some(stack) = taken else { return Refill::Exhausted };
        magazine.blocks = stack;
        magazine.limit = class.magazine();
        magazine.pop().map_or(Refill::Exhausted, Refill::Block)
    }

    /// Takes a block back. Never waits.
    ///
    /// # Safety
    /// The block came from [`allocate`](Self::allocate), and nobody uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn free(&self, stripe: usize, class: SizeClass, block: NonNull<u8>) {
        // SAFETY: 1. A block has at least a line. 2. By the caller's promise it is nobody's.
        let is_kept = self.magazines[stripe].0.with(|magazine| unsafe { magazine.push(block) });
        if is_kept != Some(true) {
            // SAFETY: passed on.
            unsafe { self.free_slowly(stripe, class, block) };
        }
    }

    /// Gives a block to the depot, and a batch of a full magazine. If the depot is in use
    /// the block waits for the next one there.
    ///
    /// # Safety
    /// As for [`free`](Self::free).
    #[cold]
    unsafe fn free_slowly(&self, stripe: usize, class: SizeClass, block: NonNull<u8>) {
        let is_kept = self.with_depot(|depot| {
            depot.put(block);
            let is_nearly_free = depot.is_nearly_free();
            let kept_before = self.magazines[stripe].0.with(|magazine| {
                depot.put_up_to(class.batch(), &mut magazine.blocks);
                let limit = if is_nearly_free { 0 } else { class.magazine() };
                mem::replace(&mut magazine.limit, limit) > 0
            });
            if is_nearly_free && kept_before == Some(true) {
                // What lies in any magazine keeps its chunk.
                self.magazines.iter().for_each(|magazine| {
                    magazine.0.with(|magazine| magazine.empty_into(depot));
                });
            }
        });
        if is_kept.is_none() {
            // SAFETY: passed on.
            unsafe { self.returned.push(block) };
        }
    }

    /// Empties the magazines, but for those in use, and gives chunks without blocks in use back to
    /// the global allocator.
    #[cold]
    pub(crate) fn trim(&self) {
        if self.depot.with(|depot| depot.is_empty()) == Some(true) {
            return;
        }
        for magazine in &self.magazines {
            magazine.0.with(|one| self.with_depot(|depot| one.empty_into(depot)));
        }
        self.with_depot(Depot::trim);
    }

    /// Locks the memory of all chunks. Whether all of it is locked; `None` while the depot is in
    /// use.
    pub(super) fn lock(&self) -> Option<bool> {
        self.with_depot(Depot::lock)
    }

    /// Ends what `lock` does, unless the depot is in use.
    pub(super) fn unlock(&self) {
        self.with_depot(Depot::unlock);
    }

    /// Bytes of its chunks; `None` while the depot is in use.
    #[cfg(any(test, sessile_loom, sessile_shuttle))]
    pub(crate) fn bytes(&self) -> Option<usize> {
        self.with_depot(|depot| depot.bytes())
    }

    #[cfg(test)]
    pub(super) fn check(&self, class: SizeClass) -> usize {
        self.with_depot(|depot| depot.check(class)).unwrap()
    }

    #[cfg(test)]
    pub(super) fn blocks(&self, class: SizeClass) -> usize {
        self.with_depot(|depot| depot.blocks(class)).unwrap()
    }

    #[cfg(test)]
    pub(super) fn blocks_in_magazines(&self) -> usize {
        let len = |magazine: &Padded| magazine.0.with(|one| one.blocks.len());
        self.magazines.iter().filter_map(len).sum()
    }

    fn with_depot<R>(&self, f: impl FnOnce(&mut Depot) -> R) -> Option<R> {
        self.depot.with(|depot| {
            self.returned.take_all().for_each(|block| depot.put(block));
            f(depot)
        })
    }
}
