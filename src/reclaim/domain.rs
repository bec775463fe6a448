//! One cache's reclamation: who takes part, what is collected, and the bound on garbage.

use super::collector::Collector;
use super::guard::{Guard, ReadGuard};
use super::local::{self, Local, LocalHandle, PinnedLocal};
use super::registry::Registry;
use super::shared::{Place, Shared, Tenure};
use super::{Reclaim, Release, State};
use crate::sync::Arc;
use crate::sync::untracked::{AtomicU64, AtomicUsize, Ordering};
use std::ptr::NonNull;
use std::sync::Weak;

/// Defers the destruction of blocks of type `B` until no guard can see them; `L` is the owner's
/// part of each thread's `Local`.
pub(crate) struct Domain<B: Release, L: State> {
    /// Unique in the process.
    number: u64,
    /// What `tenure` holds, a step nearer.
    place: Place<B, L>,
    tenure: Arc<Tenure<B, L>>,
}

/// Flushes that may bring nothing before a guard elsewhere is held responsible.
const ROUNDS_WITHOUT_PROGRESS: u32 = 4;

/// Bytes that a thread may retire before it adds them to the domain's total, where the limit is
/// far.
const UNPUBLISHED_MAX: u64 = 64 << 10;

/// The first record may hold back so much of the limit, the n-th a n-th of that. The sum grows like
/// a logarithm: what 60 000 threads hold back is a quarter of the limit (twice the sum, see
/// `Guard::retire`).
const UNPUBLISHED_SHARE: u64 = 96;

impl<B: Reclaim, L: State> Domain<B, L> {
    /// A domain whose garbage is compared with `garbage_limit`.
    pub(crate) fn new(garbage_limit: u64) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // ORDERING: Relaxed: the number only has to be unique.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let tenure = Arc::new(Tenure::new(Shared {
            collector: Collector::new(),
            records: Registry::new(),
            heir: L::default(),
            unpublished_first: garbage_limit / UNPUBLISHED_SHARE,
            garbage_bytes: AtomicU64::new(0),
            unpublished_bytes: AtomicU64::new(0),
            deferred: Arc::new(AtomicU64::new(0)),
            endings: Arc::new(AtomicU64::new(0)),
            turn: AtomicUsize::new(0),
            drop_panics: AtomicU64::new(0),
        }));
        Self { number, place: tenure.place(), tenure }
    }

    /// Pins this thread to read, at the least cost. `None` when its thread-local storage is already
    /// gone: then only [`pin`](Self::pin) can.
    #[inline]
    pub(crate) fn reader(&self) -> Option<ReadGuard<'_, B, L>> {
        // SAFETY: the number is that of this very domain, which lives as long as `&self`.
        match unsafe { local::enter_again(self.number) } {
            Some((guard, record)) => Some(ReadGuard::new(guard, record)),
            None => self.reader_anew(),
        }
    }

    /// [`reader`](Self::reader) of a thread that used another domain last, or none.
    #[cold]
    #[inline(never)]
    fn reader_anew(&self) -> Option<ReadGuard<'_, B, L>> {
        let entered = self.enter();
        if entered.lease.is_some() {
            return None;
        }
        Some(ReadGuard::new(entered.guard, entered.record))
    }

    #[inline]
    fn enter(&self) -> PinnedLocal<'_, B, L> {
        // SAFETY: the lease is from this very domain, which lives as long as `&self`.
        unsafe { local::enter(self.number, || self.lease()) }
    }

    /// Pins this thread. Pins may nest.
    #[inline(always)]
    pub(crate) fn pin(&self) -> Guard<'_, B, L> {
        Guard::new(self.enter(), self.shared())
    }

    #[cold]
    fn lease(&self) -> LocalHandle {
        let shared = self.shared();
        let unpublished_max =
            |index: usize| (shared.unpublished_first / (index as u64 + 1)).min(UNPUBLISHED_MAX);
        let record = shared.records.acquire(|index| Local::new(index, unpublished_max(index)));
        // SAFETY: the record was just acquired.
        let handle = unsafe { record.value.register(&shared.collector) };
        // ORDERING: Relaxed: a statistic with a margin.
        shared.unpublished_bytes.fetch_add(2 * record.value.unpublished_max, Ordering::Relaxed);
        let tenure: Weak<Tenure<B, L>> = Arc::downgrade(&self.tenure);
        // SAFETY: the record is from the registry of `shared` and was just acquired.
        unsafe { LocalHandle::new(self.number, (&raw const *record).cast(), handle, tenure) }
    }

    /// Pushes reclamation forward: seals what every thread retired, lets time pass, releases what
    /// became ripe.
    ///
    /// Frees everything retired before the call when no guard is held elsewhere and nobody pins in
    /// between; what another thread took out to release is in its hands. Called in the drop of a
    /// payload it may leave the releasing to those further up.
    pub(crate) fn collect(&self) {
        let shared = self.shared();
        for record in shared.records.busy() {
            if record.value.limbo.is_empty() {
                continue;
            }
            if let Some(mut limbo) = record.value.limbo.lock() {
                self.pin().seal(&mut limbo);
            }
        }
        self.ripen();
        if !local::may_release() {
            return;
        }
        let _releasing = local::Releasing::begin();
        for record in shared.records.busy() {
            let limbo = &record.value.limbo;
            if !limbo.is_empty() {
                while let Some(block) = limbo.lock().and_then(|mut occupied| occupied.pop()) {
                    shared.release(block);
                }
            }
            shared.publish(limbo);
            shared.tidy(record);
        }
    }

    /// Whether [`collect`](Self::collect) would free anything on this thread now: not deep in the
    /// drops of payloads.
    pub(crate) fn may_release(&self) -> bool {
        local::may_release()
    }

    /// Lets time pass until everything sealed is ripe, or nothing ripens any more because a guard
    /// is held.
    ///
    /// A bag sealed at epoch e is freed at e + 2, each round advances at most one epoch and frees
    /// eight bags, so a few rounds without progress say nothing. Bags of threads that exited are
    /// progress too: they are counted as endings.
    fn ripen(&self) {
        // What is sealed later is not waited for.
        let limbos = self.shared().records.busy().map(|record| &record.value.limbo);
        let goals = limbos.map(|limbo| (limbo, limbo.sealed_end()));
        let goals: Vec<_> = goals.filter(|(limbo, goal)| limbo.unripe_below(*goal) > 0).collect();
        let unripe = || {
            goals.iter().map(|(limbo, goal)| limbo.unripe_below(*goal)).sum::<u64>()
                + self.deferred()
        };
        let mut left = unripe();
        let mut bags = left + self.endings();
        let mut patience = ROUNDS_WITHOUT_PROGRESS;
        while left > 0 && patience > 0 {
            self.pin().flush();
            left = unripe();
            let now = left + self.endings();
            patience = if now < bags { ROUNDS_WITHOUT_PROGRESS } else { patience - 1 };
            bags = now;
        }
    }

    /// Functions deferred and not yet run.
    pub(crate) fn deferred(&self) -> u64 {
        // ORDERING: Relaxed: a hint.
        self.shared().deferred.load(Ordering::Relaxed)
    }

    fn endings(&self) -> u64 {
        // ORDERING: Relaxed: a hint.
        self.shared().endings.load(Ordering::Relaxed)
    }

    /// Retired and not yet released: sessions and bytes.
    pub(crate) fn garbage(&self) -> (u64, u64) {
        let pending = self.shared().records.busy().map(|record| record.value.limbo.pending());
        pending.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Threads that use the domain now.
    #[inline]
    pub(crate) fn threads(&self) -> usize {
        self.shared().records.leased()
    }

    /// Whether `bytes` more garbage might pass `limit`: read from one line, which is written once
    /// per batch.
    #[inline]
    pub(crate) fn may_be_over(&self, limit: u64, bytes: u64) -> bool {
        let shared = self.shared();
        // ORDERING: Relaxed: a statistic with a margin.
        let published = shared.garbage_bytes.load(Ordering::Relaxed);
        let unpublished = shared.unpublished_bytes.load(Ordering::Relaxed);
        published.saturating_add(unpublished) > limit.saturating_sub(bytes)
    }

    /// Whether `bytes` more garbage would pass `limit`, by the exact sum over the threads if need
    /// be.
    pub(crate) fn is_over(&self, limit: u64, bytes: u64) -> bool {
        self.may_be_over(limit, bytes) && self.garbage().1.saturating_add(bytes) > limit
    }

    pub(crate) fn drop_panics(&self) -> u64 {
        // ORDERING: Relaxed: a statistic.
        self.shared().drop_panics.load(Ordering::Relaxed)
    }

    /// The owner's part of every record that was ever used.
    pub(crate) fn states(&self) -> impl Iterator<Item = &L> {
        self.shared().records.iter().map(|record| &record.value.state)
    }

    /// The owner's parts of the threads that use the domain now, and what those that exited left to
    /// all.
    pub(crate) fn states_in_use(&self) -> impl Iterator<Item = &L> {
        let shared = self.shared();
        shared.records.owned().map(|record| &record.value.state).chain([&shared.heir])
    }
}

impl<B: Release, L: State> Domain<B, L> {
    #[inline]
    fn shared(&self) -> &Shared<B, L> {
        // SAFETY: `tenure` holds it.
        unsafe { self.place.shared() }
    }

    /// Gives a count back at once. A payload that panics in its drop is counted and goes no
    /// further.
    ///
    /// # Safety
    /// The caller owns the count, and no guard of this domain exists under which the block is
    /// reached through it.
    pub(crate) unsafe fn release(&self, block: NonNull<B>) {
        self.shared().release(block);
    }
}

impl<B: Release, L: State> Drop for Domain<B, L> {
    fn drop(&mut self) {
        // A thread that exits at this moment holds what is shared a little longer. If it has lost
        // its processor at its own limbo, it frees what is in there afterwards.
        self.shared().drain();
    }
}

#[cfg(test)]
mod tests {
    use super::super::limbo::BATCH;
    use super::*;
    use std::time::{Duration, Instant};

    impl State for () {
        fn leave(&self, _heir: &Self) {}
    }

    struct Heavy(#[expect(dead_code, reason = "only its size counts")] [u8; 4096]);

    // SAFETY: plain bytes.
    unsafe impl Reclaim for Heavy {}

    impl Release for Heavy {
        unsafe fn release(this: NonNull<Self>) {
            // SAFETY: the one count, which the box of the test stood for.
            drop(unsafe { Box::from_raw(this.as_ptr()) });
        }
    }

    fn retire_one(pin: &Guard<'_, Heavy, ()>) {
        // SAFETY: the block is this function's own and reachable for nobody.
        unsafe { pin.retire(NonNull::from(Box::leak(Box::new(Heavy([0; 4096])))), 4096) };
    }

    #[test]
    fn the_total_counts_what_enters_by_the_side_entrance() {
        let domain: Domain<Heavy, ()> = Domain::new(u64::MAX);
        let pin = domain.pin();
        let inside = pin.record.value.limbo.try_lock();
        (0..100).for_each(|_| retire_one(&pin));
        assert!(domain.is_over(300 << 10, 0), "400 KiB were retired");
        assert!(!domain.is_over(500 << 10, 0));
        drop((inside, pin));
        domain.collect();
        assert_eq!(domain.garbage(), (0, 0));
    }

    #[test]
    fn the_margin_covers_what_small_blocks_add_to_a_large_one() {
        let domain: Domain<Heavy, ()> = Domain::new(u64::MAX);
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

    /// Runs `f` on so many threads, all of which are there at the same time and gone afterwards.
    fn on_threads(count: usize, f: impl Fn() + Sync) {
        let barrier = std::sync::Barrier::new(count);
        std::thread::scope(|scope| {
            let run = || {
                f();
                barrier.wait();
            };
            let threads: Vec<_> = (0..count).map(|_| scope.spawn(run)).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn records_of_gone_threads_rest() {
        let domain: Domain<Heavy, ()> = Domain::new(u64::MAX);
        on_threads(40, || retire_one(&domain.pin()));
        domain.collect();
        let busy = || domain.shared().records.busy().count();
        // Registrations that ended behind others wait for the next.
        (0..10).take_while(|_| busy() > 1).for_each(|_| domain.collect());
        assert_eq!((busy(), domain.threads(), domain.garbage()), (1, 1, (0, 0)));
        assert_eq!(domain.shared().records.iter().count(), 40);
    }

    /// Until others have worked off what they left.
    #[test]
    fn states_of_gone_threads_are_not_in_use() {
        let domain: Domain<Heavy, ()> = Domain::new(u64::MAX);
        let pin = domain.pin();
        on_threads(40, || retire_one(&domain.pin()));
        assert_eq!(domain.shared().records.busy().count(), 41);
        assert_eq!(domain.states_in_use().count(), 2, "this thread's and the heir's");
        drop(pin);
    }

    #[test]
    fn all_threads_together_hold_back_a_quarter_of_the_limit() {
        const LIMIT: u64 = 1 << 20;
        let domain: Domain<Heavy, ()> = Domain::new(LIMIT);
        let unpublished = || domain.shared().unpublished_bytes.load(Ordering::Relaxed);
        let most = AtomicU64::new(0);
        on_threads(300, || {
            drop(domain.pin());
            most.fetch_max(unpublished(), Ordering::Relaxed);
        });
        assert!((1..=LIMIT / 4).contains(&most.into_inner()));
        assert_eq!(unpublished(), 0, "those of threads that are gone do not count");
    }

    /// Somebody is inside for a moment, as a collector is without a guard. Whether all was freed;
    /// nothing if that moment was over too soon, or was a long one.
    fn collects_beside_another() -> Option<bool> {
        const MOMENT: Duration = Duration::from_micros(200);
        let domain: Domain<Heavy, ()> = Domain::new(u64::MAX);
        retire_one(&domain.pin());
        let (entered, begins) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let wait_for = |flag: &AtomicUsize| {
            while flag.load(Ordering::Acquire) == 0 {
                std::thread::yield_now();
            }
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let record = domain.shared().records.iter().next();
                let inside = record.and_then(|record| record.value.limbo.try_lock());
                entered.store(inside.iter().count(), Ordering::Release);
                wait_for(&begins);
                let end = Instant::now() + Duration::from_micros(30);
                while Instant::now() < end {}
                let left = Instant::now();
                drop(inside);
                left
            });
            wait_for(&entered);
            begins.store(1, Ordering::Release);
            let began = Instant::now();
            domain.collect();
            let left = other.join().unwrap();
            let is_moment = left > began && left - began < MOMENT;
            is_moment.then(|| domain.garbage() == (0, 0))
        })
    }

    /// Most of the time: each of the two may lose its processor.
    #[test]
    fn a_collector_waits_for_another() {
        const ROUNDS: usize = 20;
        let begin = Instant::now();
        let rounds = std::iter::repeat_with(collects_beside_another).flatten().take(ROUNDS);
        let in_time = |_: &bool| begin.elapsed() < Duration::from_secs(60);
        let (collected, left) = rounds.take_while(in_time).partition::<Vec<_>, _>(|&all| all);
        assert!(left.len() <= ROUNDS / 4, "{left:?} beside {}", collected.len());
    }
}
