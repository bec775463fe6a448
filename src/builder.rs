//! Building a cache with more than a capacity.
#![forbid(unsafe_code)]

use crate::cache::{Config, Permits, SessionCache, Weigher, Weighing};
use crate::clock::{Clock, Time};
use crate::error::{BuildError, RemovalCause};
use crate::policy::Policy;
use crate::session::{Block, Context, Session, SessionId};
use crate::settings::{Hooks, Mode, Query};
use crate::slab::{self, NotLocked};
use std::fmt;
use std::time::Duration;

/// How many sessions a cache may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// At most this many sessions. 0 is an error.
    Sessions(usize),
    /// No bound in sessions (OpenSSL's 0): the table doubles as it fills, and nothing is evicted
    /// unless a [`max_weight`](SessionCacheBuilder::max_weight) binds.
    Unbounded,
}

impl From<usize> for Capacity {
    fn from(sessions: usize) -> Self {
        Self::Sessions(sessions)
    }
}

impl Capacity {
    /// The bound as a number, `usize::MAX` for none.
    pub(crate) fn sessions(self) -> Result<usize, BuildError> {
        match self {
            Self::Sessions(0) => Err(BuildError::ZeroCapacity),
            Self::Sessions(sessions) if sessions > Permits::LIMIT_MAX => {
                Err(BuildError::CapacityTooLarge)
            }
            Self::Sessions(sessions) => Ok(sessions),
            Self::Unbounded => Ok(usize::MAX),
        }
    }
}

/// Builds a [`SessionCache`]: [`SessionCache::builder`].
///
/// ```
/// use sessile::{Policy, RemovalCause, Session, SessionCache};
/// use std::time::Duration;
///
/// let cache: SessionCache<Vec<u8>> = SessionCache::builder()
///     .capacity(100_000)
///     .weigher(|session: &Session<Vec<u8>>| session.len())
///     .max_weight(64 << 20)
///     .max_entry_weight(16 << 10)
///     .timeout(Duration::from_secs(3600))
///     .policy(Policy::Lru)
///     .on_removed(|session, cause| {
///         if cause == RemovalCause::Evicted {
///             eprintln!("no room for {:?}", session.id());
///         }
///     })
///     .build()?;
/// assert_eq!(cache.capacity(), 100_000);
/// # Ok::<(), sessile::BuildError>(())
/// ```
#[must_use]
pub struct SessionCacheBuilder<T> {
    capacity: Capacity,
    weigher: Option<Box<Weigher<T>>>,
    max_weight: Option<usize>,
    max_entry_weight: Option<usize>,
    timeout: Duration,
    policy: Policy,
    protect_reused: bool,
    time: Time,
    mode: Mode,
    garbage_limit: usize,
    lock_memory: bool,
    watch_removals: bool,
    hooks: Hooks<T>,
}

impl<T: Send + Sync + 'static> SessionCacheBuilder<T> {
    /// `SSL_SESSION_CACHE_MAX_SIZE_DEFAULT`.
    const CAPACITY: usize = 20_480;
    /// OpenSSL's timeout of a context, in seconds.
    const TIMEOUT_SECONDS: u64 = 7_200;
    const GARBAGE_LIMIT: usize = 64 << 20;

    pub(crate) fn new() -> Self {
        Self {
            capacity: Capacity::Sessions(Self::CAPACITY),
            weigher: None,
            max_weight: None,
            max_entry_weight: None,
            timeout: Duration::from_secs(Self::TIMEOUT_SECONDS),
            policy: Policy::default(),
            protect_reused: false,
            time: Time::Coarse,
            mode: Mode::default(),
            garbage_limit: Self::GARBAGE_LIMIT,
            lock_memory: false,
            watch_removals: false,
            hooks: Hooks::new(),
        }
    }

    /// The largest number of sessions; 20 480 unless set.
    pub fn capacity(mut self, capacity: impl Into<Capacity>) -> Self {
        self.capacity = capacity.into();
        self
    }

    /// Weighs a session, in bytes. Called once per session, at its first `add` to any cache with a
    /// weigher. The session keeps its weight, which is at most 4 GiB.
    pub fn weigher(
        mut self,
        weigher: impl Fn(&Session<T>) -> usize + Send + Sync + 'static,
    ) -> Self {
        self.weigher = Some(Box::new(weigher));
        self
    }

    /// The largest weight of all sessions together, in bytes; unbounded unless set. Needs a
    /// weigher. The capacity in sessions stays in force beside it: for a bound in bytes alone, set
    /// [`Capacity::Unbounded`] too. Every `add` then writes one shared counter, and a replacement
    /// two.
    ///
    /// Where the weights bind, the order of eviction is as good as where the capacity does, and an
    /// `add` takes no longer, however large the capacity is: the table grows and shrinks with the
    /// number of sessions. A session that is heavier than others evicts several of them. While a
    /// large table shrinks, because heavy sessions have taken the place of many light ones, the
    /// order is rough and an `add` takes microseconds.
    pub fn max_weight(mut self, bytes: usize) -> Self {
        self.max_weight = Some(bytes);
        self
    }

    /// The largest weight of one session, in bytes; `max_weight` unless set. Needs a weigher.
    pub fn max_entry_weight(mut self, bytes: usize) -> Self {
        self.max_entry_weight = Some(bytes);
        self
    }

    /// The timeout of sessions that bring none, rounded up to whole seconds; 7200 unless set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The order of eviction; [`Policy::Lru`] unless set.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Under [`Policy::Lru`], evicts sessions that were never used before used ones, while a set
    /// holds more than four of them. Protects against floods of clients that never come back, and
    /// costs some hits when there is no flood. Off unless set.
    pub fn protect_reused(mut self, protect: bool) -> Self {
        self.protect_reused = protect;
        self
    }

    /// Whether removals are told to sessions that are on their way to the cache
    /// ([`SessionCache::add_unless_removed`]). Costs each removal three locked instructions. Off
    /// unless set; always on where there is a miss hook.
    pub fn watch_removals(mut self, watch: bool) -> Self {
        self.watch_removals = watch;
        self
    }

    /// The clock; [`CoarseClock`](crate::CoarseClock) unless set.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Time::Given(Box::new(clock));
        self
    }

    /// What the cache does by itself.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The most bytes of retired sessions that a stalled reader can keep from being freed; 64 MiB
    /// unless set. Near it, `add` answers [`Rejection::Garbage`](crate::Rejection::Garbage);
    /// lookups and removals go on.
    ///
    /// Removals are never refused, and what they remove becomes garbage. So `add` counts what is
    /// stored as well. The limit holds at every moment if it is at least twice what is stored; in a
    /// larger cache, garbage is at most half the limit and everything that was stored. Bytes are
    /// those of the sessions, and of their weights if there is a weigher.
    ///
    /// Beside the limit, threads that exit while a reader stalls leave up to half a MiB in all.
    pub fn garbage_limit(mut self, bytes: usize) -> Self {
        self.garbage_limit = bytes;
        self
    }

    /// All hooks at once.
    pub fn hooks(mut self, hooks: Hooks<T>) -> Self {
        self.hooks = hooks;
        self
    }

    /// See [`Hooks::on_added`].
    pub fn on_added(mut self, hook: impl Fn(&Session<T>) + Send + Sync + 'static) -> Self {
        self.hooks = self.hooks.on_added(hook);
        self
    }

    /// See [`Hooks::on_removed`].
    pub fn on_removed(
        mut self,
        hook: impl Fn(&Session<T>, RemovalCause) + Send + Sync + 'static,
    ) -> Self {
        self.hooks = self.hooks.on_removed(hook);
        self
    }

    /// See [`Hooks::on_miss`].
    pub fn on_miss(
        mut self,
        hook: impl Fn(&SessionId, &Context) -> Option<Session<T>> + Send + Sync + 'static,
    ) -> Self {
        self.hooks = self.hooks.on_miss(hook);
        self
    }

    /// See [`Hooks::on_query`].
    pub fn on_query(
        mut self,
        hook: impl Fn(&Query<'_>) -> Option<Session<T>> + Send + Sync + 'static,
    ) -> Self {
        self.hooks = self.hooks.on_query(hook);
        self
    }

    /// See [`Hooks::on_absent`].
    pub fn on_absent(mut self, hook: impl Fn(&Query<'_>) + Send + Sync + 'static) -> Self {
        self.hooks = self.hooks.on_absent(hook);
        self
    }

    /// Keeps sessions from being swapped out: the memory that all sessions of the process lie in is
    /// locked (`mlock(2)`) from the moment at which a cache is built so. False unless set.
    ///
    /// A session for which no memory can be locked later is not made:
    /// [`SessionBuilder::try_build`](crate::SessionBuilder::try_build) returns its payload, and
    /// what aborts when memory is exhausted, as [`Session::new`](crate::Session::new) and
    /// [`Secret::from`](crate::Secret), aborts. The limit, `RLIMIT_MEMLOCK` on Linux, should allow
    /// for twice the sessions.
    ///
    /// What a payload has allocated by itself is not locked, but for [`Secret`](crate::Secret); nor
    /// are payloads above 16 KiB. Sessions that were made before may lie outside of what is locked:
    /// build the cache first. A child that is forked locks nothing (`mlock(2)`).
    pub fn lock_memory(mut self, lock_memory: bool) -> Self {
        self.lock_memory = lock_memory;
        self
    }

    /// Builds the cache, allocating its table.
    ///
    /// # Errors
    /// [`BuildError`] for contradictory limits, if there is no memory for the table, and if memory
    /// cannot be locked where that is wanted.
    pub fn build(self) -> Result<SessionCache<T>, BuildError> {
        let capacity = self.capacity.sessions()?;
        self.check_weights()?;
        if self.lock_memory {
            slab::lock().map_err(|NotLocked| BuildError::MemoryLock)?;
        }
        let weighing = self.weigher.map(|weigher| {
            let total = self.max_weight.unwrap_or(usize::MAX);
            let largest = Block::<T>::WEIGHT_MAX as usize;
            let entry = self.max_entry_weight.unwrap_or(total).min(largest);
            Weighing::new(weigher, entry, total)
        });
        SessionCache::from_config(Config {
            capacity,
            weighing,
            timeout: self.timeout,
            policy: self.policy,
            protect_reused: self.protect_reused,
            time: self.time,
            mode: self.mode,
            garbage_limit: self.garbage_limit as u64,
            watch_removals: self.watch_removals,
            hooks: self.hooks,
        })
    }

    fn check_weights(&self) -> Result<(), BuildError> {
        let limits = [self.max_weight, self.max_entry_weight];
        let has_limit = limits.iter().any(Option::is_some);
        if limits.contains(&Some(0)) {
            return Err(BuildError::ZeroWeight);
        }
        if has_limit && self.weigher.is_none() {
            return Err(BuildError::WeightWithoutWeigher);
        }
        match (self.max_weight, self.max_entry_weight) {
            (Some(total), Some(entry)) if entry > total => Err(BuildError::EntryWeightAboveTotal),
            _ => Ok(()),
        }
    }
}

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// A cache for `capacity` sessions with the default timeout of 7200 seconds.
    ///
    /// # Errors
    /// A capacity of 0 or beyond what a table can hold, or no memory for the table.
    pub fn new(capacity: impl Into<Capacity>) -> Result<Self, BuildError> {
        Self::builder().capacity(capacity).build()
    }

    /// Starts a cache with more than a capacity.
    pub fn builder() -> SessionCacheBuilder<T> {
        SessionCacheBuilder::new()
    }

    /// Changes the capacity (`SSL_CTX_sess_set_cache_size(3)`).
    ///
    /// Shrinking evicts the excess before it returns, oldest first; [`capacity`](Self::capacity)
    /// shows the smaller number once the excess is gone.
    ///
    /// The number of slots then follows by migration, which does not block other threads: lookups
    /// never wait. If the migrating thread stalls, the next one that adds or resizes finishes the
    /// migration. While a stalled reader keeps several emptied tables from being freed, the slots
    /// stay as they are.
    ///
    /// # Errors
    /// As [`new`](Self::new); the capacity is then unchanged.
    ///
    /// ```
    /// use sessile::{Session, SessionCache, SessionId};
    ///
    /// let cache = SessionCache::new(10)?;
    /// (0..10).for_each(|number| _ = cache.add(Session::new(SessionId::from([number; 32]), ())));
    /// cache.set_capacity(4)?;
    /// assert_eq!((cache.capacity(), cache.len()), (4, 4));
    /// assert!(cache.contains(&SessionId::from([9; 32])), "the newest stay");
    /// # Ok::<(), sessile::BuildError>(())
    /// ```
    pub fn set_capacity(&self, capacity: impl Into<Capacity>) -> Result<(), BuildError> {
        self.set_capacity_in_sessions(capacity.into().sessions()?)
    }
}

impl<T: Send + Sync + 'static> Default for SessionCache<T> {
    /// 20 480 sessions, 7200 seconds: OpenSSL's defaults.
    fn default() -> Self {
        let Ok(cache) = SessionCacheBuilder::new().build() else {
            std::alloc::handle_alloc_error(std::alloc::Layout::new::<Self>())
        };
        cache
    }
}

impl<T> fmt::Debug for SessionCacheBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCacheBuilder")
            .field("capacity", &self.capacity)
            .field("max_weight", &self.max_weight)
            .field("max_entry_weight", &self.max_entry_weight)
            .field("timeout", &self.timeout)
            .field("policy", &self.policy)
            .field("hooks", &self.hooks)
            .finish_non_exhaustive()
    }
}
