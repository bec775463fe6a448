//! One cache's reclamation: who takes part, what is collected, and the bound on garbage.

use super::Reclaim;
use super::grace::Grace;
use super::limbo::Limbo;
use super::local::{self, Entered, Landlord, Lease, Local};
use super::pin::{Pin, Reader, UNPUBLISHED_MAX};
use super::registry::{Node, Registry};
use crate::panics;
use crate::sync::Arc;
use crate::sync::untracked::{AtomicBool, AtomicU64, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

/// Defers the destruction of blocks of type `B` until no guard can see them; `L` is the owner's part of each
/// thread's `Local`.
pub(crate) struct Domain<B: Reclaim, L: Send + Sync + 'static> {
    /// Unique in the process.
    number: u64,
    shared: Arc<Shared<B, L>>,
}

pub(super) struct Shared<B, L> {
    grace: Grace,
    pub(super) locals: Registry<Local<B, L>>,
    /// Bytes retired and not yet released, as far as the limbos have published them.
    garbage_bytes: AtomicU64,
    closed: AtomicBool,
    /// Functions deferred and not yet run, sentinels apart.
    pub(super) deferred: Arc<AtomicU64>,
    /// Batches sealed, which choose whose leftovers are looked after.
    pub(super) adoptions: AtomicU64,
    /// Payload drops that panicked inside the domain; a tally of rare events, so contention is no matter.
    drop_panics: AtomicU64,
}

// SAFETY: `Local`s are handed from thread to thread by the registry; the blocks in them may be released by any thread
// (`Reclaim`), and `L` is required to be `Send + Sync` by `Domain`.
unsafe impl<B, L: Send + Sync> Send for Shared<B, L> {}
// SAFETY: as above.
unsafe impl<B, L: Send + Sync> Sync for Shared<B, L> {}

/// Flushes that may bring nothing before a guard elsewhere is held responsible.
const ROUNDS_WITHOUT_PROGRESS: u32 = 4;

impl<B: Reclaim, L: Default + Send + Sync + 'static> Domain<B, L> {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // ORDERING: Relaxed: the number only has to be unique.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let shared = Shared {
            grace: Grace::new(),
            locals: Registry::new(),
            garbage_bytes: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            deferred: Arc::new(AtomicU64::new(0)),
            adoptions: AtomicU64::new(0),
            drop_panics: AtomicU64::new(0),
        };
        Self { number, shared: Arc::new(shared) }
    }

    /// Pins this thread to read, at the least cost. `None` when its thread-local storage is already gone: then only
    /// [`pin`](Self::pin) can.
    #[inline]
    pub(crate) fn reader(&self) -> Option<Reader<'_, B, L>> {
        // SAFETY: the number is that of this very domain, which lives as long as `&self`.
        match unsafe { local::enter_again(self.number) } {
            Some((guard, node)) => Some(Reader::new(guard, node)),
            None => self.reader_anew(),
        }
    }

    /// [`reader`](Self::reader) of a thread that used another domain last, or none.
    #[cold]
    #[inline(never)]
    fn reader_anew(&self) -> Option<Reader<'_, B, L>> {
        let entered = self.enter();
        if entered.lease.is_some() {
            return None;
        }
        Some(Reader::new(entered.guard, entered.node))
    }

    #[inline]
    fn enter(&self) -> Entered<'_, B, L> {
        // SAFETY: the lease is from this very domain, which lives as long as `&self`.
        unsafe { local::enter(self.number, || self.lease()) }
    }

    /// Pins this thread. Pins may nest.
    #[inline]
    pub(crate) fn pin(&self) -> Pin<'_, B, L> {
        Pin::new(self.enter(), &self.shared)
    }

    #[cold]
    fn lease(&self) -> Lease {
        let shared = &self.shared;
        let make = |index| Local { index, limbo: Limbo::new(), state: L::default() };
        let node: *const Node<Local<B, L>> = shared.locals.acquire(make);
        let landlord: Arc<dyn Landlord> = shared.clone();
        // SAFETY: the node is from the registry of `shared` and was just acquired.
        unsafe { Lease::new(self.number, node.cast(), &shared.grace, landlord) }
    }

    /// Pushes reclamation forward: seals what every thread retired, lets time pass, releases what became ripe.
    ///
    /// Frees everything retired before the call when no guard is held elsewhere and nobody pins in between; what another thread
    /// took out to release is in its hands. Called in the drop of a payload it may leave the releasing to those further up.
    pub(crate) fn collect(&self) {
        for node in self.shared.locals.iter() {
            if let Some(mut limbo) = node.value.limbo.occupy() {
                self.pin().seal(&mut limbo);
            }
        }
        self.ripen();
        if !local::may_release() {
            return;
        }
        let _releasing = local::Releasing::begin();
        for node in self.shared.locals.iter() {
            let limbo = &node.value.limbo;
            while let Some(block) = limbo.occupy().and_then(|mut occupied| occupied.pop()) {
                self.shared.release(block);
            }
            self.shared.publish(limbo);
        }
    }

    /// Lets time pass until everything sealed is ripe, or nothing ripens any more because a guard is held.
    ///
    /// A bag sealed at epoch e is freed at e + 2 and each round advances at most one epoch, so a few rounds without
    /// progress say nothing; a backlog ripens by eight batches a round.
    fn ripen(&self) {
        // What is sealed later is not waited for.
        let limbos = || self.shared.locals.iter().map(|node| &node.value.limbo);
        let goals: Vec<_> = limbos().map(|limbo| (limbo, limbo.sealed_end())).collect();
        let unripe =
            || goals.iter().map(|(limbo, goal)| limbo.unripe_below(*goal)).sum::<u64>() + self.deferred();
        let mut left = unripe();
        let mut patience = ROUNDS_WITHOUT_PROGRESS;
        while left > 0 && patience > 0 {
            self.pin().flush();
            let now = unripe();
            patience = if now < left { ROUNDS_WITHOUT_PROGRESS } else { patience - 1 };
            left = now;
        }
    }

    /// Retired and not yet released: sessions and bytes.
    pub(crate) fn garbage(&self) -> (u64, u64) {
        let pending = self.shared.locals.iter().map(|node| node.value.limbo.pending());
        pending.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Functions deferred and not yet run.
    pub(crate) fn deferred(&self) -> u64 {
        // ORDERING: Relaxed: a hint.
        self.shared.deferred.load(Ordering::Relaxed)
    }

    /// Threads that use the domain, or have used it at one time.
    #[inline]
    pub(crate) fn threads(&self) -> usize {
        self.shared.locals.len()
    }

    /// Whether `bytes` more garbage might pass `limit`: read from one line, which is written once per batch.
    #[inline]
    pub(crate) fn may_be_over(&self, limit: u64, bytes: u64) -> bool {
        // A thread tells of what passes the maximum, and of small blocks when as many are together as come to a maximum more.
        // ORDERING: Relaxed: a statistic with a margin.
        let published = self.shared.garbage_bytes.load(Ordering::Relaxed);
        let unpublished = 2 * UNPUBLISHED_MAX * self.threads() as u64;
        published.saturating_add(unpublished) > limit.saturating_sub(bytes)
    }

    /// Whether `bytes` more garbage would pass `limit`, by the exact sum over all threads if need be.
    pub(crate) fn is_over(&self, limit: u64, bytes: u64) -> bool {
        self.may_be_over(limit, bytes) && self.garbage().1.saturating_add(bytes) > limit
    }

    /// Gives a count back at once. A payload that panics in its drop is counted and goes no further.
    ///
    /// # Safety
    /// The caller owns the count, and no guard of this domain exists under which the block is reached through it.
    pub(crate) unsafe fn release(&self, block: NonNull<B>) {
        self.shared.release(block);
    }

    pub(crate) fn drop_panics(&self) -> u64 {
        // ORDERING: Relaxed: a statistic.
        self.shared.drop_panics.load(Ordering::Relaxed)
    }

    /// The owner's part of every thread's `Local`.
    pub(crate) fn states(&self) -> impl Iterator<Item = &L> {
        self.shared.locals.iter().map(|node| &node.value.state)
    }
}

impl<B: Reclaim, L: Send + Sync + 'static> Drop for Domain<B, L> {
    fn drop(&mut self) {
        // ORDERING: Relaxed: a hint to the leases that nobody needs them.
        self.shared.closed.store(true, Ordering::Relaxed);
        for node in self.shared.locals.iter() {
            let Some(mut limbo) = node.value.limbo.try_occupy() else { continue };
            // SAFETY: every pin borrows the domain, so none exists.
            let blocks = unsafe { limbo.drain() };
            drop(limbo);
            blocks.for_each(|block| self.shared.release(block));
        }
    }
}

impl<B: Reclaim, L: Send + Sync + 'static> Shared<B, L> {
    /// Gives a count back. A payload that panics in its drop harms nobody else: the panic is counted and ends here.
    pub(super) fn release(&self, block: NonNull<B>) {
        // SAFETY: whoever popped the block owns the count that was retired, and the grace period is over.
        let released = catch_unwind(AssertUnwindSafe(|| unsafe { B::release(block) }));
        if let Err(payload) = released {
            // ORDERING: Relaxed: a statistic.
            self.drop_panics.fetch_add(1, Ordering::Relaxed);
            panics::discard(payload);
        }
    }

    pub(super) fn pop_from(&self, limbo: &Limbo<B>) -> Option<NonNull<B>> {
        let block = limbo.try_occupy()?.pop();
        if block.is_none() {
            self.publish(limbo);
        }
        block
    }

    pub(super) fn publish(&self, limbo: &Limbo<B>) {
        let change = limbo.unpublished_bytes();
        // ORDERING: Relaxed: a statistic; wrapping addition of a negative number subtracts.
        self.garbage_bytes.fetch_add(change as u64, Ordering::Relaxed);
    }
}

impl<B: Reclaim, L: Send + Sync + 'static> Landlord for Shared<B, L> {
    fn is_closed(&self) -> bool {
        // ORDERING: Relaxed: a hint.
        self.closed.load(Ordering::Relaxed)
    }

    unsafe fn end_lease(&self, node: *const ()) {
        // SAFETY: by the contract of `end_lease` this is a node of our registry, which lives as long as `self`.
        let node = unsafe { &*node.cast::<Node<Local<B, L>>>() };
        node.disown();
    }
}

#[cfg(test)]
mod tests {
    use super::super::limbo::BATCH;
    use super::*;

    struct Heavy(#[expect(dead_code, reason = "only its size counts")] [u8; 4096]);

    // SAFETY: plain bytes.
    unsafe impl Reclaim for Heavy {
        unsafe fn release(this: NonNull<Self>) {
            // SAFETY: the one count, which the box of the test stood for.
            drop(unsafe { Box::from_raw(this.as_ptr()) });
        }
    }

    fn retire_one(pin: &Pin<'_, Heavy, ()>) {
        // SAFETY: the block is this function's own and reachable for nobody.
        unsafe { pin.retire(NonNull::from(Box::leak(Box::new(Heavy([0; 4096])))), 4096) };
    }

    #[test]
    fn the_total_counts_what_enters_by_the_side_entrance() {
        let domain: Domain<Heavy, ()> = Domain::new();
        let pin = domain.pin();
        let inside = pin.node.value.limbo.try_occupy();
        (0..100).for_each(|_| retire_one(&pin));
        assert!(domain.is_over(300 << 10, 0), "400 KiB were retired");
        assert!(!domain.is_over(500 << 10, 0));
        drop((inside, pin));
        domain.collect();
        assert_eq!(domain.garbage(), (0, 0));
    }

    #[test]
    fn the_margin_covers_what_small_blocks_add_to_a_large_one() {
        let domain: Domain<Heavy, ()> = Domain::new();
        let pin = domain.pin();
        let retire = |bytes| {
            let block = NonNull::from(Box::leak(Box::new(Heavy([0; 4096]))));
            // SAFETY: as in `retire_one`.
            unsafe { pin.retire(block, bytes) }
        };
        retire(UNPUBLISHED_MAX);
        (1..BATCH - 1).for_each(|_| retire(UNPUBLISHED_MAX / BATCH));
        assert!(domain.garbage().1 > UNPUBLISHED_MAX && domain.is_over(UNPUBLISHED_MAX, 0));
    }

    /// Somebody is inside for a moment, as a collector is without a guard. True if all was freed.
    fn collects_beside_another() -> bool {
        let domain: Domain<Heavy, ()> = Domain::new();
        retire_one(&domain.pin());
        let (is_inside, begins) = (AtomicBool::new(false), AtomicBool::new(false));
        let wait_for = |flag: &AtomicBool| {
            while !flag.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let inside =
                    domain.shared.locals.iter().next().and_then(|node| node.value.limbo.try_occupy());
                is_inside.store(inside.is_some(), Ordering::Release);
                wait_for(&begins);
                let end = std::time::Instant::now() + std::time::Duration::from_micros(30);
                while std::time::Instant::now() < end {}
                drop(inside);
            });
            wait_for(&is_inside);
            begins.store(true, Ordering::Release);
            domain.collect();
        });
        domain.garbage() == (0, 0)
    }

    /// Most of the time: each of the two may lose its processor.
    #[test]
    fn a_collector_waits_for_another() {
        const ROUNDS: usize = 100;
        let collected = (0..ROUNDS).filter(|_| collects_beside_another()).count();
        assert!(collected > ROUNDS / 2, "{collected} of {ROUNDS}");
    }
}
