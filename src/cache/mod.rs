//! `SessionCache`: OpenSSL's semantics on top of the table.
//!
//! The cache is composed of rooms, each the owner of its state: the table (`raw`), `budget` (what
//! may be held), `eviction` (who goes), the settings, the clock, the domain of reclamation. An
//! [`Operation`](operation::Operation) passes through them under one guard; there is one file for
//! each kind. `transfer` and `whole` are composed of these.
#![allow(clippy::type_complexity, reason = "the two type parameters of a domain")]

mod add;
mod budget;
mod eviction;
mod flush;
mod growth;
mod insert;
mod lookup;
mod notify;
mod operation;
mod per_thread;
pub(crate) mod removals;
mod remove;
mod reserve;
mod resize;
mod snapshot;
mod sweep;
#[cfg(test)]
mod tests;
pub(crate) mod tier;
pub(crate) mod transfer;
mod victim;
pub(crate) mod view;
mod whole;

#[cfg(any(sessile_loom, sessile_shuttle))]
pub(crate) use self::budget::{Bytes, Spare};
pub(crate) use self::budget::{Permits, Weigher, Weighing};
use self::removals::Removals;
use crate::clock::Time;
use crate::error::BuildError;
use crate::hash::KeyedHash;
use crate::memory::LINE;
use crate::policy::Policy;
use crate::raw::{Probe, RawTable, Table};
use crate::reclaim::{self, Domain, Reclaim, Release};
use crate::session::{Block, Context, Generation, KeyMatch, Protocol, Session, SessionId};
use crate::settings::{Hooks, Mode, Operation as Asked, Query, Settings};
use crate::slab::{self, TrimOnDrop};
use crate::stats::{self, Counter, Garbage, Handshake, Stats};
use crate::status::Status;
use crate::sync::MODELLED;
use crate::timestamp::{Timestamp, timeout_seconds};
use budget::Budget;
use eviction::Eviction;
use per_thread::PerThread;
use std::fmt;
use std::mem::offset_of;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::time::Duration;

/// A concurrent TLS session cache with the semantics of `SSL_CTX_add_session(3)`.
///
/// Share it by reference or by `Arc`; it is not `Clone`. No operation takes a lock, blocks or
/// spawns a thread. `get` and `read` are wait-free outside of a table migration and bounded during
/// one; everything else is lock-free. See the [crate documentation](crate) for the guarantees and
/// an example.
///
/// The key of a session is its context, protocol and id, compared in full. The methods here that
/// take an id look in [`Context::NONE`] under [`Protocol::UNSPECIFIED`]; [`view`](Self::view) looks
/// elsewhere. Methods that take a session use the session's own key.
// In this order: all that a lookup reads but the tick lies in the first two cache lines.
#[repr(C)]
pub struct SessionCache<T> {
    hash: KeyedHash,
    table: RawTable<Block<T>>,
    domain: Domain<Block<T>, PerThread>,
    time: Time,
    settings: Settings<T>,
    budget: Budget<T>,
    eviction: Eviction,
    removals: Removals,
    /// Dropped last: gives back what the others have freed.
    _blocks: TrimOnDrop,
}

const _: () =
    assert!(offset_of!(SessionCache<u8>, settings) <= 2 * LINE - size_of::<usize>() || MODELLED);

/// What a cache is built from.
pub(crate) struct Config<T> {
    /// In sessions; `usize::MAX` for no bound.
    pub(crate) capacity: usize,
    pub(crate) weighing: Option<Weighing<T>>,
    pub(crate) timeout: Duration,
    pub(crate) policy: Policy,
    pub(crate) protect_reused: bool,
    pub(crate) watch_removals: bool,
    pub(crate) time: Time,
    pub(crate) mode: Mode,
    /// In bytes.
    pub(crate) garbage_limit: u64,
    pub(crate) hooks: Hooks<T>,
}

type Guard<'c, T> = reclaim::Guard<'c, Block<T>, PerThread>;
/// What a lookup needs of a guard.
type ReadGuard<'c, T> = reclaim::ReadGuard<'c, Block<T>, PerThread>;

// SAFETY: a block is sent and shared between threads like its payload, which is `Send + Sync`; its
// count decides who frees it.
unsafe impl<T: Send + Sync + 'static> Reclaim for Block<T> {}

impl<T> Release for Block<T> {
    unsafe fn release(this: NonNull<Self>) {
        // SAFETY: the caller gives one count up, which was a table's or never became one.
        unsafe { Session::release(this) };
    }
}

/// The full key of a lookup. Three whole words: a copy of a half-written one makes the processor
/// wait for the store.
#[derive(Clone, Copy)]
struct Key<'k> {
    id: &'k SessionId,
    context: &'k Context,
    protocol: &'k Protocol,
}

impl<'k> Key<'k> {
    fn of_id(id: &'k SessionId) -> Self {
        Self { id, context: &Context::NONE, protocol: &Protocol::UNSPECIFIED }
    }

    fn of_block<T>(block: &'k Block<T>) -> Self {
        Self { id: block.id(), context: block.context(), protocol: block.protocol() }
    }

    /// Whether a session has this key.
    #[inline]
    fn is_of<T>(self, block: &Block<T>) -> bool {
        block.match_key(self.id, self.context, *self.protocol) == KeyMatch::Same
    }

    fn query(self, operation: Asked) -> Query<'k> {
        Query { id: self.id, context: self.context, protocol: *self.protocol, operation }
    }
}

impl<T: Send + Sync + 'static> SessionCache<T> {
    pub(crate) fn from_config(config: Config<T>) -> Result<Self, BuildError> {
        let Config { capacity, weighing, garbage_limit, .. } = config;
        let budget = Budget::new(capacity, weighing, garbage_limit);
        let is_weight_bound = budget.is_weight_bound();
        let most = growth::checked_buckets_for(capacity)?;
        // Few to begin with where weights decide how many sessions there will be.
        let buckets = if is_weight_bound { Table::<Block<T>>::BUCKETS_MIN } else { most };
        let table = Table::new(buckets).ok_or(BuildError::OutOfMemory)?;
        let evicts_by_count_of = if is_weight_bound { 0 } else { capacity };
        let timeout = timeout_seconds(config.timeout);
        Ok(Self {
            hash: KeyedHash::new(),
            table: RawTable::new(table),
            domain: Domain::new(garbage_limit),
            time: config.time,
            settings: Settings::new(
                config.mode,
                timeout,
                config.hooks,
                config.policy.ages_by_use(),
                config.watch_removals,
            ),
            budget,
            eviction: Eviction::new(config.policy, config.protect_reused, evicts_by_count_of),
            removals: Removals::new().ok_or(BuildError::OutOfMemory)?,
            _blocks: TrimOnDrop,
        })
    }

    /// The number of sessions stored: never above [`capacity`](Self::capacity), at any moment, for
    /// any thread.
    ///
    /// Beside threads that add and remove, the result may be too low by what they remove during the
    /// call. Costs six loads for each thread of the most that ever used the cache at a time.
    pub fn len(&self) -> usize {
        stats::number(|| self.domain.states().map(|state| &state.counters))
    }

    /// Whether no session is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The capacity in sessions, or `usize::MAX` if unbounded. While
    /// [`set_capacity`](Self::set_capacity) is still evicting down to a smaller limit, the number
    /// of sessions that remain.
    pub fn capacity(&self) -> usize {
        self.budget.permits.shown()
    }

    /// A snapshot of all counters. Adds up one set of counters per thread, and never contends with
    /// lookups.
    ///
    /// ```
    /// use sessile::{Session, SessionCache, SessionId};
    ///
    /// let cache = SessionCache::new(10)?;
    /// let id = SessionId::from([1; 32]);
    /// cache.add(Session::new(id, ()))?;
    /// cache.get(&id);
    /// cache.get(&SessionId::from([2; 32]));
    /// let stats = cache.stats();
    /// assert_eq!((stats.number, stats.hits, stats.misses), (1, 1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.domain.states().for_each(|state| state.counters.add_to(&mut stats));
        let (sessions, bytes) = self.domain.garbage();
        stats.garbage = Garbage { sessions, bytes };
        stats.drop_panics = self.domain.drop_panics();
        stats.number = self.len() as u64;
        stats
    }

    /// The counters with the limits beside them: what an exporter needs. Never contends with
    /// lookups.
    ///
    /// The parts are read one after the other, while other threads may change them.
    pub fn status(&self) -> Status {
        let bound = |limit: usize| Some(limit).filter(|&limit| limit != usize::MAX);
        let weight = self.budget.weight();
        Status {
            stats: self.stats(),
            capacity: bound(self.capacity()),
            weight: weight.map(|(used, _)| used),
            weight_limit: weight.and_then(|(_, limit)| bound(limit)),
            garbage_limit: self.budget.garbage_limit() as usize,
        }
    }

    /// Counts a handshake event; adapters call it, and the programs whose TLS library does not tell
    /// its store.
    ///
    /// ```
    /// use sessile::{Handshake, SessionCache};
    ///
    /// let cache = SessionCache::<()>::new(10)?;
    /// cache.record(Handshake::Accept);
    /// cache.record(Handshake::AcceptGood);
    /// cache.record(Handshake::Resumed);
    /// assert_eq!((cache.stats().accept_good, cache.stats().resumed), (1, 1));
    /// # Ok::<(), sessile::BuildError>(())
    /// ```
    pub fn record(&self, event: Handshake) {
        let pin = self.domain.pin();
        pin.state().counters.count(event.into());
    }

    /// Frees everything that was retired before the call, by any thread, unless a reader still
    /// holds it or another thread is about to free it.
    ///
    /// Removed sessions keep their secrets until they are freed. While the cache is used this
    /// happens by itself: each retirement frees one retired session. A cache that falls idle keeps
    /// the last few. Call this after removing what must not stay, or from a timer. It cannot free
    /// what a reader inside [`read`](Self::read) may still see.
    ///
    /// Lock-free. Runs the drops of the payloads it frees on the calling thread.
    ///
    /// ```
    /// use sessile::{Session, SessionCache, SessionId};
    ///
    /// let cache = SessionCache::new(10)?;
    /// cache.add(Session::new(SessionId::from([1; 32]), "secret"))?;
    /// cache.clear();
    /// cache.collect();
    /// assert_eq!(cache.stats().garbage.sessions, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn collect(&self) {
        self.domain.collect();
        slab::trim();
    }

    /// The time by the cache's clock, by which its sessions are dated.
    pub fn now(&self) -> Timestamp {
        Timestamp::from(self.time.now())
    }

    /// Ends every session of a context, at once: from now on no lookup returns one that was built
    /// before, `add` refuses it with [`Revoked`](crate::Rejection::Revoked), and what the miss hook
    /// supplies must carry a later date of its own. Returns the generation that begins.
    ///
    /// For a set of client authorities that was replaced, a stolen key, or to have everybody
    /// authenticate anew. Sessions that are built afterwards are of the new generation, unless they
    /// say otherwise ([`SessionBuilder::generation`](crate::SessionBuilder::generation)): an
    /// adapter says so of those whose handshake was under way.
    ///
    /// Takes the same time whatever the number of sessions. They leave the table when a lookup
    /// meets them, by the sweep of later adds, by [`flush_expired`](Self::flush_expired), or as
    /// victims; [`View::clear`](crate::View::clear) frees them now. The cache remembers each
    /// context that was ever revoked. Afterwards lookups take a slower path, by some tens of
    /// nanoseconds.
    ///
    /// ```
    /// use sessile::{Context, Session, SessionCache, SessionId};
    ///
    /// let cache = SessionCache::new(100)?;
    /// let context = Context::digest(["mutual TLS, authority of 2026"]);
    /// let id = SessionId::from([1; 32]);
    /// cache.add(Session::<&str>::builder(id).context(context).build("state"))?;
    /// cache.revoke(context);
    /// assert!(cache.view(context).get(&id).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn revoke(&self, context: Context) -> Generation {
        self.settings.revoke(context, self.now())
    }

    /// Whether a context was revoked after a generation began.
    pub fn is_revoked(&self, context: &Context, since: Generation) -> bool {
        self.settings.is_revoked(context, since)
    }

    /// When a context was revoked last, by the cache's clock; `None` if it never was.
    ///
    /// For sessions that come from elsewhere and show nothing but a date: one that is not dated
    /// later may be of before the revocation.
    pub fn revoked_at(&self, context: &Context) -> Option<Timestamp> {
        self.settings.revoked_at(context)
    }

    /// Changes the mode.
    pub fn set_mode(&self, mode: Mode) {
        self.settings.set_mode(mode);
    }

    /// The mode in force.
    pub fn mode(&self) -> Mode {
        self.settings.mode()
    }

    /// Changes the timeout given to sessions that bring none (`SSL_CTX_set_timeout`), rounded up to
    /// whole seconds. Sessions stored already keep theirs.
    pub fn set_timeout(&self, timeout: Duration) {
        self.settings.set_timeout_seconds(timeout_seconds(timeout));
    }

    /// The timeout given to sessions that bring none.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.settings.timeout_seconds())
    }

    /// Replaces all hooks. Operations under way may still call the old ones. A removal that began
    /// before there was a miss hook does not keep the answers of that hook out.
    pub fn set_hooks(&self, hooks: Hooks<T>) {
        self.settings.set_hooks(hooks);
    }

    /// Whether a hook hears of what `add` stores, or would store had [`Mode::store`] been on.
    pub fn has_added_hook(&self) -> bool {
        self.settings.wants_added() && self.settings.hooks().on_added.is_some()
    }

    /// The oldest table in force under a guard, on which the others hang.
    #[inline]
    fn oldest_table<'g>(&self, _guard: &'g ReadGuard<'_, T>) -> &'g Table<Block<T>> {
        // SAFETY: 1. The guard is of the domain that retires this cache's tables and sessions, and
        // lives for `'g`. 2. `Operation::retire_reference` retires in it. 3. So does
        // `Operation::retire_table`.
        unsafe { self.table.oldest() }
    }

    #[inline]
    fn hash_of(&self, block: &Block<T>) -> u64 {
        self.hash.of(block.id(), *block.protocol())
    }

    /// Where to look for a key; its buckets are prefetched.
    #[inline(always)]
    fn probe(&self, key: Key<'_>) -> Probe {
        self.table.probe(self.hash.of(key.id, *key.protocol))
    }

    /// Where a session belongs; its buckets are prefetched.
    #[inline(always)]
    fn probe_of(&self, block: &Block<T>) -> Probe {
        self.table.probe_to_write(self.hash_of(block))
    }

    /// Whether the context of a session was revoked after the session was authenticated.
    #[inline]
    fn is_revoked_block(&self, block: &Block<T>) -> bool {
        self.settings.is_revoked(block.context(), block.generation())
    }

    #[inline]
    fn count(&self, reader: &ReadGuard<'_, T>, counter: Counter) {
        reader.state().counters.count(counter);
    }
}

// A panic of user code leaves table, counts and limits whole.
impl<T> UnwindSafe for SessionCache<T> {}
impl<T> RefUnwindSafe for SessionCache<T> {}

impl<T> Drop for SessionCache<T> {
    /// Gives up every count that the cache holds; handles elsewhere stay valid. Hooks are not
    /// called.
    fn drop(&mut self) {
        let Self { table, domain, .. } = self;
        table.drain(|block| {
            // SAFETY: the count is the table's (INVARIANT TABLE-REF), and nobody reaches the block
            // through it any more.
            unsafe { domain.release(block) }
        });
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for SessionCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCache")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("policy", &self.eviction.policy())
            .finish_non_exhaustive()
    }
}
