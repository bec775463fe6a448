//! The blocks one thread has retired, oldest first.
//!
//! Indices count from the first retirement ever. `sealed` is the index up to which a sentinel has
//! been deferred, `ripe` the index up to which one has run:
//!
//! ```text
//!   popped <= ripe <= sealed <= popped + queue.len()
//! ```
//!
//! Soundness rests on crossbeam's contract alone: a function deferred at time t runs after every
//! guard that was active at t is gone. A block is pushed after its unlinking and before the
//! sentinel that covers it, so a reader of the block was pinned before the sentinel was deferred.

use super::overflow::{OverflowStack, Retired};
use super::published_bytes::PublishedBytes;
use crate::memory::{LINE, prefetch};
use crate::sync::untracked::AtomicU64 as Untracked;
use crate::sync::{
    Arc, AtomicBool, AtomicU64, MODELLED, Ordering, SingleWriterCounter, UnsafeCell, yield_now,
};
use std::collections::VecDeque;
use std::ptr::{self, NonNull};

/// Begins a cache line: others than the owner write here too.
#[repr(align(64))]
pub(crate) struct Limbo<B> {
    /// Whoever set it may touch `queue`. Tried; waited for by collectors alone, for a bounded time.
    occupied: AtomicBool,
    queue: UnsafeCell<Queue<B>>,
    /// Retired while the queue was occupied by somebody else.
    overflow: OverflowStack<B>,
    /// Shared with the sentinels, which may outlive the domain.
    ripe: Arc<AtomicU64>,
    /// What was retired, counted by the owner, and what was released, counted by whoever is inside:
    /// one writer each, so a retirement needs no locked instruction for them.
    retired: Amount,
    released: Amount,
    /// The pending bytes as the domain's total last saw them.
    published: PublishedBytes,
    /// The queue's `sealed`, to be seen from outside.
    sealed_end: Untracked,
    /// The address of a block to warm, of which nothing else is known; 0 for none.
    cold: Untracked,
}

/// Sessions and bytes.
#[derive(Default)]
struct Amount {
    sessions: SingleWriterCounter,
    bytes: SingleWriterCounter,
}

struct Queue<B> {
    blocks: VecDeque<Retired<B>>,
    popped: u64,
    sealed: u64,
}

impl<B> Queue<B> {
    /// The index after the last one.
    #[inline]
    fn end(&self) -> u64 {
        self.popped + self.blocks.len() as u64
    }
}

/// The right to touch a limbo's queue.
pub(crate) struct LimboLock<'l, B> {
    limbo: &'l Limbo<B>,
}

/// Retirements covered by one sentinel. A larger batch holds more garbage, a smaller one pays in
/// flushes (about 250 ns).
pub(super) const BATCH: u64 = if MODELLED {
    1
} else if cfg!(crossbeam_sanitize) {
    4
} else {
    64
};

/// Attempts of a collector to enter, between which others may run.
const PATIENCE: u32 = if MODELLED { 2 } else { 1000 };

/// A block's cache lines are asked for at the beginning of the operation after that which released
/// the block so many places before it. The one that is released next is usually the one that is
/// allocated and written next, and nobody has looked at it for as long as it was stored.
const WARMED_AHEAD: usize = 2;

/// Lines of a block that are asked for, at most.
const WARMED_LINES: usize = 8;

/// While so many ripe blocks are left a retirement releases two instead of one, to work a backlog
/// off.
const BACKLOG: u64 = if MODELLED { 1 } else { 256 };

impl Amount {
    #[inline]
    fn add(&self, sessions: u64, bytes: u64) {
        self.sessions.add(sessions);
        self.bytes.add(bytes);
    }
}

// SAFETY: the queue is reached only through `LimboLock`, of which there is one at a time; the
// addresses in it are released by whoever pops them, which `Reclaim` allows from any thread.
unsafe impl<B> Send for Limbo<B> {}
// SAFETY: as above.
unsafe impl<B> Sync for Limbo<B> {}

impl<B> Limbo<B> {
    pub(crate) fn new() -> Self {
        let queue = Queue { blocks: VecDeque::new(), popped: 0, sealed: 0 };
        Self {
            occupied: AtomicBool::new(false),
            queue: UnsafeCell::new(queue),
            overflow: OverflowStack::new(),
            ripe: Arc::new(AtomicU64::new(0)),
            retired: Amount::default(),
            released: Amount::default(),
            published: PublishedBytes::default(),
            sealed_end: Untracked::new(0),
            cold: Untracked::new(0),
        }
    }

    /// Enters the limbo unless somebody is in it.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<LimboLock<'_, B>> {
        // ORDERING: Acquire on success: sees the queue as the last occupant left it, pairs with
        // `LimboLock::drop`. Relaxed on failure: nothing is read. Model: `limbo_occupied`.
        self.occupied.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).ok()?;
        let mut occupied = LimboLock { limbo: self };
        if !self.overflow.is_empty() {
            self.overflow.take_all().into_iter().for_each(|retired| occupied.enqueue(retired));
        }
        Some(occupied)
    }

    /// Retires a block: into the queue if nobody is inside, else by the side entrance. Returns the
    /// queue if it is ours. Called by the owner.
    #[inline]
    pub(crate) fn retire(&self, block: NonNull<B>, bytes: u64) -> Option<LimboLock<'_, B>> {
        self.retired.add(1, bytes);
        let retired = Retired { block, bytes };
        let Some(mut occupied) = self.try_lock() else {
            self.overflow.push(retired);
            return None;
        };
        occupied.enqueue(retired);
        Some(occupied)
    }

    /// Asks for the cache lines of a block that will be released soon. Where its page is cold too,
    /// even asking takes time: it is spent best at the beginning of an operation, which waits for
    /// its buckets then.
    #[inline]
    pub(super) fn warm(&self) {
        // ORDERING: Relaxed twice: one thread's own, and a hint.
        let cold = self.cold.load(Ordering::Relaxed) as usize;
        if cold == 0 {
            return;
        }
        self.cold.store(0, Ordering::Relaxed);
        let block = ptr::without_provenance::<B>(cold);
        let lines = size_of::<B>().div_ceil(LINE).min(WARMED_LINES);
        (0..lines).for_each(|line| prefetch(block.wrapping_byte_add(line * LINE)));
    }

    /// The index up to which a sentinel has been deferred, as far as can be told from outside.
    pub(crate) fn sealed_end(&self) -> u64 {
        // ORDERING: Relaxed: a hint to `collect`.
        self.sealed_end.load(Ordering::Relaxed)
    }

    /// Blocks before the index `goal` that are not ripe yet.
    pub(crate) fn unripe_below(&self, goal: u64) -> u64 {
        // ORDERING: Relaxed: a hint to `collect`.
        goal.saturating_sub(self.ripe.load(Ordering::Relaxed))
    }

    /// Retired and not yet released: sessions and bytes.
    pub(crate) fn pending(&self) -> (u64, u64) {
        // The released first: what is released was retired before.
        let released = (self.released.sessions.get(), self.released.bytes.get());
        let retired = (self.retired.sessions.get(), self.retired.bytes.get());
        (retired.0.saturating_sub(released.0), retired.1.saturating_sub(released.1))
    }

    /// Whether everything retired was released, as far as can be told by others than the owner.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending().0 == 0
    }

    /// Whether more than `bytes` were retired since the total was told last.
    pub(crate) fn is_unpublished_above(&self, bytes: u64) -> bool {
        self.pending().1 > self.published.bytes().saturating_add(bytes)
    }

    /// The change of the pending bytes since the last call by anybody, for the domain's total.
    pub(crate) fn unpublished_bytes(&self) -> i64 {
        self.published.publish(|| self.pending().1)
    }

    /// Enters the limbo, and waits a bounded time for whoever is in it.
    pub(crate) fn lock(&self) -> Option<LimboLock<'_, B>> {
        (0..PATIENCE).find_map(|attempt| {
            if attempt > 0 {
                yield_now();
            }
            self.try_lock()
        })
    }
}

impl<B> LimboLock<'_, B> {
    /// Appends a retired block. Aborts when memory for its address is exhausted, as crossbeam-epoch
    /// does for its own.
    #[inline]
    fn enqueue(&mut self, retired: Retired<B>) {
        // SAFETY: `LimboLock` is the only access to the queue.
        self.limbo.queue.with_mut(|queue| unsafe { (*queue).blocks.push_back(retired) });
    }

    /// Whether a batch is complete.
    #[inline]
    pub(crate) fn has_batch(&self) -> bool {
        // SAFETY: `LimboLock` is the only access to the queue.
        self.limbo.queue.with_mut(|queue| unsafe { (*queue).end() - (*queue).sealed >= BATCH })
    }

    /// Takes the oldest block if it is ripe.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<NonNull<B>> {
        // ORDERING: Acquire: pairs with the Release in the sentinel. Model: `limbo_sentinel`.
        let ripe = self.limbo.ripe.load(Ordering::Acquire);
        // SAFETY: `LimboLock` is the only access to the queue.
        let Retired { block, bytes } = self.limbo.queue.with_mut(|queue| unsafe {
            let queue = &mut *queue;
            if queue.popped >= ripe {
                return None;
            }
            let retired = queue.blocks.pop_front()?;
            queue.popped += 1;
            let later = queue.blocks.get(WARMED_AHEAD).map_or(0, |later| later.block.addr().get());
            // ORDERING: Relaxed: a hint.
            self.limbo.cold.store(later as u64, Ordering::Relaxed);
            Some(retired)
        })?;
        self.limbo.released.add(1, bytes);
        Some(block)
    }

    /// Whether one retirement should release two blocks.
    #[inline]
    pub(crate) fn has_backlog(&self) -> bool {
        // ORDERING: Relaxed: a hint.
        let ripe = self.limbo.ripe.load(Ordering::Relaxed);
        // SAFETY: `LimboLock` is the only access to the queue.
        let popped = self.limbo.queue.with_mut(|queue| unsafe { (*queue).popped });
        ripe.saturating_sub(popped) >= BACKLOG
    }

    /// Empties the queue, ripe or not.
    ///
    /// # Safety
    /// No guard of the domain exists, and none will.
    pub(crate) unsafe fn drain(&mut self) -> impl Iterator<Item = NonNull<B>> + use<B> {
        // SAFETY: `LimboLock` is the only access to the queue.
        let blocks =
            self.limbo.queue.with_mut(|queue| unsafe { std::mem::take(&mut (*queue).blocks) });
        blocks.into_iter().map(|retired| retired.block)
    }
}

impl<B: 'static> LimboLock<'_, B> {
    /// Marks what is open as sealed and returns the function that must be deferred to make it ripe.
    /// `None` if nothing is.
    pub(crate) fn seal(&mut self) -> Option<impl FnOnce() + Send + use<B>> {
        // SAFETY: `LimboLock` is the only access to the queue.
        let sealed = self.limbo.queue.with_mut(|queue| unsafe {
            let queue = &mut *queue;
            let end = queue.end();
            (end > queue.sealed).then(|| {
                queue.sealed = end;
                end
            })
        })?;
        // ORDERING: Relaxed: a hint to `collect`.
        self.limbo.sealed_end.store(sealed, Ordering::Relaxed);
        let ripe = Arc::clone(&self.limbo.ripe);
        // A maximum, because sentinels may run out of order: what a smaller one covers the larger
        // one has covered. By exchange, because ThreadSanitizer does not see `fetch_max`.
        // ORDERING: Release: the end of the guards that the sentinel waited for happens before the
        // release of the blocks; pairs with the Acquire load in `pop`. Relaxed on failure: only
        // compared. Model: `limbo_sentinel`.
        Some(move || {
            let raise = |ripe: u64| (ripe < sealed).then_some(sealed);
            let _ = ripe.fetch_update(Ordering::Release, Ordering::Relaxed, raise);
        })
    }
}

impl<B> Drop for LimboLock<'_, B> {
    #[inline]
    fn drop(&mut self) {
        // ORDERING: Release: hands the queue over, pairs with `try_lock`. Model:
        // `limbo_occupied`.
        self.limbo.occupied.store(false, Ordering::Release);
    }
}
