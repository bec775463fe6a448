//! What the behaviour tests share: ids, payloads that are counted, hooks that are logged, threads
//! that race.
#![allow(dead_code, reason = "every test file uses its own part")]

use sessile::{
    ManualClock, RemovalCause, Session, SessionCache, SessionCacheBuilder, SessionId, Timestamp,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock, PoisonError, Weak};

/// The moment at which a test's clock starts, in seconds.
pub(crate) const START: u64 = 1_000_000;

/// A time that many seconds after the epoch.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from(seconds)
}

/// How often a stress test runs: in a release build, in a debug build.
pub(crate) const fn scaled(release: u64, debug: u64) -> u64 {
    if cfg!(debug_assertions) { debug } else { release }
}

/// The `n`th id: 32 bytes, spread like real ones.
pub(crate) fn id(n: u64) -> SessionId {
    let mut bytes = [0; 32];
    let mut random = Random::new(n);
    for part in bytes[..24].chunks_mut(8) {
        part.copy_from_slice(&random.next().to_le_bytes());
    }
    bytes[24..].copy_from_slice(&n.to_le_bytes());
    SessionId::from(bytes)
}

/// An id of a chosen length.
pub(crate) fn id_of(bytes: &[u8]) -> SessionId {
    SessionId::new(bytes).expect("1 to 32 bytes")
}

/// A session that carries its number.
pub(crate) fn session(n: u64) -> Session<u64> {
    Session::new(id(n), n)
}

/// A cache on a clock that starts at [`START`].
pub(crate) fn clocked<T: Send + Sync + 'static>(
    capacity: usize,
) -> (SessionCacheBuilder<T>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(START));
    (SessionCache::builder().capacity(capacity).clock(Arc::clone(&clock)), clock)
}

/// The numbers stored, sorted.
pub(crate) fn numbers(cache: &SessionCache<u64>) -> Vec<u64> {
    let mut numbers: Vec<u64> = cache.iter().map(|session| *session).collect();
    numbers.sort_unstable();
    numbers
}

/// Lets everything go that was retired before.
pub(crate) fn reclaim<T: Send + Sync + 'static>(cache: &SessionCache<T>) {
    for _ in 0..3 {
        cache.collect();
    }
}

/// What must hold whenever no operation is under way.
pub(crate) fn assert_whole<T: Send + Sync + 'static>(cache: &SessionCache<T>) {
    let stats = cache.stats();
    let left = stats.removed + stats.taken + stats.evicted + stats.expired + stats.flushed;
    assert_eq!(stats.added - left, stats.number, "what came and went is what is there: {stats:?}");
    assert_eq!(stats.evicted, stats.cache_full);
    assert_eq!(stats.number, cache.len() as u64);
    assert_eq!(cache.is_empty(), stats.number == 0);
    assert!(cache.len() <= cache.capacity());
    let all = cache.snapshot();
    assert_eq!(all.len(), cache.len(), "the snapshot shows what is counted");
    let mut keys: Vec<_> =
        all.iter().map(|one| (one.context_bytes(), one.protocol(), one.id())).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), all.len(), "no key twice");
}

trait ContextBytes {
    fn context_bytes(&self) -> u64;
}

impl<T> ContextBytes for Session<T> {
    /// Contexts cannot be ordered; a hash tells those of a test apart.
    fn context_bytes(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.context().hash(&mut hasher);
        hasher.finish()
    }
}

/// A small generator with a seed (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// Counts payloads that were made and freed.
#[derive(Default)]
pub(crate) struct Ledger {
    made: AtomicUsize,
    freed: AtomicUsize,
}

impl Ledger {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    pub(crate) fn payload(self: &Arc<Self>, number: u64) -> Payload {
        self.made.fetch_add(1, Ordering::Relaxed);
        Payload { number, is_freed: AtomicBool::new(false), ledger: Arc::clone(self) }
    }

    pub(crate) fn session(self: &Arc<Self>, number: u64) -> Session<Payload> {
        Session::new(id(number), self.payload(number))
    }

    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    pub(crate) fn alive(&self) -> usize {
        let freed = self.freed.load(Ordering::SeqCst);
        self.made.load(Ordering::SeqCst) - freed
    }
}

/// A payload that notices when it is dropped, and when that happens twice or too early.
pub(crate) struct Payload {
    number: u64,
    is_freed: AtomicBool,
    ledger: Arc<Ledger>,
}

impl Payload {
    pub(crate) fn number(&self) -> u64 {
        assert!(!self.is_freed.load(Ordering::Relaxed), "a payload is read after its drop");
        self.number
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        assert!(!self.is_freed.swap(true, Ordering::Relaxed), "a payload is dropped twice");
        self.ledger.freed.fetch_add(1, Ordering::SeqCst);
    }
}

/// What the removal hook was told.
#[derive(Clone, Default)]
pub(crate) struct Removals(Arc<Mutex<Vec<(u64, RemovalCause)>>>);

impl Removals {
    pub(crate) fn hook(&self) -> impl Fn(&Session<u64>, RemovalCause) + Send + Sync + use<> {
        let removals = self.clone();
        move |session, cause| removals.push(**session, cause)
    }

    pub(crate) fn push(&self, number: u64, cause: RemovalCause) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((number, cause));
    }

    /// What was told since the last call.
    pub(crate) fn take(&self) -> Vec<(u64, RemovalCause)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A cache by the name that its own hooks and clock know it by. Weak, so that the two do not keep
/// each other.
pub(crate) struct Own<T: Send + Sync + 'static = u64>(Arc<OnceLock<Weak<SessionCache<T>>>>);

impl<T: Send + Sync + 'static> Default for Own<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Send + Sync + 'static> Clone for Own<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Send + Sync + 'static> Own<T> {
    pub(crate) fn cache(&self) -> Arc<SessionCache<T>> {
        self.0.get().and_then(Weak::upgrade).expect("the cache is built and in use")
    }

    pub(crate) fn is(&self, cache: SessionCache<T>) -> Arc<SessionCache<T>> {
        let cache = Arc::new(cache);
        assert!(self.0.set(Arc::downgrade(&cache)).is_ok(), "named once");
        cache
    }
}

/// Runs `f` on so many threads, which start together; returns what they return in order.
pub(crate) fn race<R: Send>(threads: usize, f: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        let run = |thread| {
            barrier.wait();
            f(thread)
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        running.into_iter().map(|one| one.join().expect("no thread panics")).collect()
    })
}

/// Lets threads start each round together, to within a few dozen nanoseconds: they spin.
pub(crate) struct Gate {
    threads: usize,
    arrived: AtomicUsize,
    is_broken: AtomicBool,
}

/// One of the threads that meet. When it panics the others do not wait for it.
pub(crate) struct Member<'g>(&'g Gate);

impl Gate {
    pub(crate) fn new(threads: usize) -> Self {
        Self { threads, arrived: AtomicUsize::new(0), is_broken: AtomicBool::new(false) }
    }

    pub(crate) fn member(&self) -> Member<'_> {
        Member(self)
    }
}

impl Member<'_> {
    /// Waits for all threads to come to their `round`th meeting, counted from 0.
    pub(crate) fn meet(&self, round: usize) {
        let gate = self.0;
        gate.arrived.fetch_add(1, Ordering::AcqRel);
        let mut spins = 0u32;
        while gate.arrived.load(Ordering::Acquire) < (round + 1) * gate.threads {
            assert!(!gate.is_broken.load(Ordering::Relaxed), "another thread failed");
            spins += 1;
            if spins % 256 == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.is_broken.store(true, Ordering::Relaxed);
        }
    }
}

/// Runs `look` over and over on a thread of its own while `work` runs.
pub(crate) fn watched<R>(look: impl Fn() + Send + Sync, work: impl FnOnce() -> R) -> R {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut looks = 0u64;
            while !done.load(Ordering::Acquire) || looks == 0 {
                look();
                looks += 1;
            }
        });
        let end = End(&done);
        let result = work();
        drop(end);
        watcher.join().expect("the watcher saw nothing wrong");
        result
    })
}

/// Says that the work is done, even if it ends in a panic.
pub(crate) struct End<'d>(pub(crate) &'d AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
