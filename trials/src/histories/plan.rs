//! The caches that histories are recorded on: from one session in one set to a table that grows
//! without a bound.

use sessile::{
    Capacity, Clock, Context, ManualClock, Policy, Session, SessionCache, SessionCacheBuilder,
    SessionId, Timestamp,
};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use testkit::histories::Object;

/// The moment at which a cache's clock starts, in seconds.
pub(super) const START: u64 = 1_000_000;

/// Keys whose histories are recorded: two ids in two contexts.
pub(super) const KEYS_MAX: u8 = 4;

/// One kind of cache and what happens to it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) threads: usize,
    pub(super) keys: u8,
    pub(super) capacity: Option<usize>,
    policy: Policy,
    protect_reused: bool,
    /// Of a hundred calls, how many add a session that only takes up room.
    pub(super) fill_percent: u8,
    /// Capacities that `set_capacity` sets meanwhile.
    pub(super) sizes: &'static [usize],
    ids: [SessionId; 2],
}

/// Capacity, fillers, sizes. Tight, roomy, of one set, of many buckets, with migrations, without a
/// bound.
const SHAPES: [(Option<usize>, u8, &[usize]); 14] = [
    (Some(1), 0, &[]),
    (Some(2), 0, &[]),
    (Some(3), 0, &[]),
    (Some(4), 20, &[]),
    (Some(13), 0, &[]),
    (Some(14), 50, &[]),
    (Some(20), 50, &[]),
    (Some(60), 60, &[]),
    (Some(1000), 0, &[]),
    (Some(3), 10, &[1, 2, 20, 3]),
    (Some(20), 0, &[100, 20, 400, 30]),
    (Some(14), 40, &[14, 100, 8, 40, 15]),
    (None, 85, &[]),
    (None, 30, &[20, 100, 1000]),
];

impl Plan {
    /// A plan by chance, for so many threads.
    pub(super) fn random(random: &mut fastrand::Rng, threads: usize) -> Self {
        let (capacity, fill_percent, sizes) = SHAPES[random.usize(..SHAPES.len())];
        let policy = [Policy::Lru, Policy::Fifo, Policy::SoonestExpiry][random.usize(..3)];
        let mut id = || {
            let mut bytes = [0; SessionId::MAX_LEN];
            random.fill(&mut bytes);
            SessionId::from(bytes)
        };
        let ids = [id(), id()];
        let keys = random.u8(1..=KEYS_MAX);
        Self {
            threads,
            keys,
            capacity,
            policy,
            protect_reused: random.bool(),
            fill_percent,
            sizes,
            ids,
        }
    }

    /// Whether this cache never has a reason to evict: every key, and every add under way, has room
    /// in one set and under the smallest limit.
    pub(super) fn is_roomy(&self) -> bool {
        const SET: usize = 14;
        let needed = usize::from(self.keys) + self.threads;
        let smallest = self.capacity.iter().chain(self.sizes).min().copied().unwrap_or(usize::MAX);
        self.fill_percent == 0 && needed <= smallest.min(SET)
    }

    pub(super) fn builder(&self, clock: &Arc<SuspendingClock>) -> SessionCacheBuilder<Object> {
        SessionCache::builder()
            .capacity(self.capacity.map_or(Capacity::Unbounded, Capacity::Sessions))
            .policy(self.policy)
            .protect_reused(self.protect_reused)
            .clock(Arc::clone(clock))
    }

    pub(super) fn id(&self, key: u8) -> SessionId {
        self.ids[usize::from(key / 2)]
    }

    /// Two keys share an id and differ in the context.
    pub(super) fn context(key: u8) -> Context {
        if key.is_multiple_of(2) { Context::NONE } else { Context::from_bytes([1; 32]) }
    }

    /// The set of keys of one context, or of all.
    pub(super) fn keys_of(&self, context: Option<Context>) -> u8 {
        let is_covered = |key: &u8| context.is_none_or(|context| Self::context(*key) == context);
        (0..self.keys).filter(is_covered).map(|key| 1 << key).sum()
    }

    /// A session for an object that is valid from now on.
    pub(super) fn session(&self, object: Object, now: u64) -> Session<Object> {
        Session::<Object>::builder(self.id(object.key))
            .context(Self::context(object.key))
            .created_at(now)
            .timeout(Duration::from_secs(object.expires.saturating_sub(now)))
            .build(object)
    }
}

/// A clock that threads advance, and that suspends now and then the one who reads it: an operation
/// then goes on with a time that is past.
#[derive(Debug)]
pub(super) struct SuspendingClock(ManualClock);

impl SuspendingClock {
    pub(super) fn new() -> Self {
        Self(ManualClock::new(START))
    }

    pub(super) fn advance(&self) {
        self.0.advance(1);
    }

    /// Reads it without suspension.
    pub(super) fn peek(&self) -> u64 {
        self.0.now().as_secs()
    }
}

impl Clock for SuspendingClock {
    fn now(&self) -> Timestamp {
        let now = self.0.now();
        suspend_sometimes();
        now
    }
}

/// Lets another thread run, once in sixteen times. Called where the cache runs user code.
pub(super) fn suspend_sometimes() {
    if fastrand::u8(..16) == 0 {
        thread::yield_now();
    }
}
