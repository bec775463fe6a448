//! `SessionCache`: OpenSSL's semantics on top of the table.
//!
//! One file per kind of operation: `lookup`, `add`, `room` (permits and slots), `victim`, `remove`,
//! `sweep`, `resize` (and `growth`, to what size; `mover`, who may do it), `snapshot`, `tier`,
//! `view`. `status`, `transfer` and `whole` are composed of these. What they share is here and in
//! `departure`, which is what follows the end of a stay.
#![allow(clippy::type_complexity, reason = "the two type parameters of a domain")]

mod add;
mod closures;
mod departure;
mod growth;
mod lookup;
mod mover;
mod remove;
mod resize;
mod room;
mod snapshot;
mod status;
mod sweep;
#[cfg(test)]
mod tests;
mod tier;
mod transfer;
mod victim;
mod view;
mod whole;

pub(crate) use self::mover::Mover;
pub use self::tier::Source;
pub use self::transfer::InvalidExport;
pub use self::view::View;

use crate::budget::{Permits, Spare};
use crate::builder::{Capacity, SessionCacheBuilder, Weighing};
use crate::clock::Time;
use crate::error::BuildError;
use crate::hash::KeyedHash;
use crate::policy::Policy;
use crate::raw::{Chain, Claimants, Probe, Root, Spot, Table, Tag, Word};
use crate::recency::{Recency, Turnover};
use crate::reclaim::{Domain, Pin, Reader, Reclaim, State};
use crate::session::{Block, Context, Generation, KeyMatch, Protocol, Session, SessionId};
use crate::settings::{Hooks, Mode, Operation, Query, Settings};
use crate::stats::{self, Counter, Counters, Garbage, Handshake, Stats};
use crate::sync::Tally;
use crate::timestamp::{Timestamp, timeout_seconds};
use closures::Closures;
use crossbeam_utils::CachePadded;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::time::Duration;
use sweep::{Hope, Sweeper};
use victim::Hand;

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
pub struct SessionCache<T: Send + Sync + 'static> {
    root: Root<Block<T>>,
    domain: Domain<Block<T>, CachePadded<PerThread>>,
    hash: KeyedHash,
    time: Time,
    settings: Settings<T>,
    sessions: Permits,
    weighing: Option<Weighing<T>>,
    recency: Recency,
    policy: Policy,
    protect_reused: bool,
    garbage_limit: u64,
    claimants: Claimants,
    sweeper: Sweeper,
    mover: Mover,
}

/// What the cache keeps for each thread that uses it.
#[derive(Default)]
struct PerThread {
    counters: Counters,
    spare: Spare,
    /// For the tick.
    turnover: Turnover,
    /// Sessions placed, for the idle sweep; permits not found, for the search for spares.
    placements: Tally,
    starved: Tally,
    hand: Hand,
    hope: Hope,
    closures: Closures,
}

impl State for CachePadded<PerThread> {
    fn leave(&self, heir: &Self) {
        self.spare.leave(&heir.spare);
    }
}

type Guard<'c, T> = Pin<'c, Block<T>, CachePadded<PerThread>>;
/// What a lookup needs of a guard.
type Reading<'c, T> = Reader<'c, Block<T>, CachePadded<PerThread>>;
type At<'p, T> = Spot<'p, Block<T>>;

// SAFETY: a block is sent and shared between threads like its payload, which is `Send + Sync`; its
// count decides who frees it.
unsafe impl<T: Send + Sync + 'static> Reclaim for Block<T> {
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

    fn query(self, operation: Operation) -> Query<'k> {
        Query { id: self.id, context: self.context, protocol: *self.protocol, operation }
    }
}

/// What a search found.
struct Found<'p, T> {
    spot: Option<At<'p, T>>,
    /// The id is stored for another context.
    elsewhere: bool,
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

    pub(crate) fn from_builder(mut builder: SessionCacheBuilder<T>) -> Result<Self, BuildError> {
        let capacity = builder.capacity.sessions()?;
        builder.check_weights()?;
        let weighing = builder.take_weighing();
        let is_weight_bound =
            weighing.as_ref().is_some_and(|weighing| weighing.budget.is_limited());
        Table::<Block<T>>::check_size(growth::buckets_for(capacity))?;
        let buckets = growth::first_buckets(capacity, is_weight_bound);
        let table = Table::new(buckets)?;
        Ok(Self {
            root: Root::new(table),
            domain: Domain::new(builder.garbage_limit as u64),
            hash: KeyedHash::new(),
            time: builder.time,
            settings: Settings::new(builder.mode, timeout_seconds(builder.timeout), builder.hooks),
            sessions: Permits::new(capacity, resize::spare_shift(is_weight_bound)),
            weighing,
            recency: Recency::new(if is_weight_bound { 0 } else { capacity }),
            policy: builder.policy,
            protect_reused: builder.protect_reused,
            garbage_limit: builder.garbage_limit as u64,
            claimants: Claimants::new(),
            sweeper: Sweeper::new(),
            mover: Mover::new(buckets),
        })
    }

    /// The cache as seen from one context: only that context's sessions exist.
    pub fn view(&self, context: Context) -> View<'_, T> {
        View::new(self, context)
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
        self.sessions.shown()
    }

    /// A snapshot of all counters. Adds up one set of counters per thread, and never contends with
    /// lookups.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.domain.states().for_each(|state| state.counters.add_to(&mut stats));
        let (sessions, bytes) = self.domain.garbage();
        stats.garbage = Garbage { sessions, bytes };
        stats.drop_panics = self.domain.drop_panics();
        stats.number = self.len() as u64;
        stats
    }

    /// Counts a handshake event; adapters call it.
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
    pub fn collect(&self) {
        self.domain.collect();
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
    /// victims; [`View::clear`] frees them now. The cache remembers each context that was ever
    /// revoked. Afterwards lookups take a slower path, by some tens of nanoseconds.
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

    /// Replaces all hooks. Operations under way may still call the old ones.
    pub fn set_hooks(&self, hooks: Hooks<T>) {
        self.settings.set_hooks(hooks);
    }

    #[inline]
    fn chain<'p>(&self, _reader: &'p Reading<'_, T>) -> Chain<'p, Block<T>> {
        // SAFETY: the guard is of the domain that retires this cache's tables and lives for `'p`.
        unsafe { self.root.chain() }
    }

    /// Looks for the key under the guard.
    #[inline]
    fn find<'p>(&self, reader: &'p Reading<'_, T>, key: Key<'_>, probe: &Probe) -> Found<'p, T> {
        let mut elsewhere = false;
        let spot = self.chain(reader).find(probe, |block| {
            // SAFETY: the block has a stay in a table that is reachable under the guard, so its
            // count is given up after the guard (INVARIANT STAYS).
            match unsafe { block.as_ref() }.match_key(key.id, key.context, *key.protocol) {
                KeyMatch::Same => true,
                KeyMatch::OtherContext => {
                    elsewhere = true;
                    false
                }
                KeyMatch::Different => false,
            }
        });
        Found { spot, elsewhere }
    }

    /// The block at a spot.
    #[inline]
    fn block<'p>(&self, _reader: &'p Reading<'_, T>, spot: &At<'p, T>) -> Option<&'p Block<T>> {
        // SAFETY: the word was a member, shadow or victim when it was read under the guard: as in
        // `find`.
        spot.block().map(|block| unsafe { &*block.as_ptr() })
    }

    /// What a retired block holds back until it is freed, in bytes. Looks at the block only if
    /// blocks are weighed.
    #[inline]
    fn footprint(&self, block: &Block<T>) -> u64 {
        let weight = if self.weighing.is_some() { block.weight() } else { 0 };
        (size_of::<Block<T>>() + weight as usize) as u64
    }

    #[inline]
    fn hash_of(&self, block: &Block<T>) -> u64 {
        self.hash.of(block.id(), *block.protocol())
    }

    /// Where to look for a key; its cache lines are asked for.
    #[inline(always)]
    fn probe(&self, key: Key<'_>) -> Probe {
        self.root.probe(self.hash.of(key.id, *key.protocol))
    }

    /// Where a session belongs; the cache lines are asked for.
    #[inline(always)]
    fn probe_of(&self, block: &Block<T>) -> Probe {
        self.root.probe_to_write(self.hash_of(block))
    }

    /// How to open another thread's claim.
    fn finish<'p>(
        &'p self,
        _pin: &'p Guard<'_, T>,
    ) -> impl Fn(NonNull<Block<T>>) -> Word<Block<T>> + use<'p, T> {
        |address| {
            // SAFETY: `Finish` asks for a block that is alive under the guard.
            let hash = self.hash_of(unsafe { address.as_ref() });
            Word::member(address, Tag::of_hash(hash), self.recency.stamp())
        }
    }

    /// Whether the context of a session was revoked after the session was authenticated.
    #[inline]
    fn is_revoked_block(&self, block: &Block<T>) -> bool {
        self.settings.is_revoked(block.context(), block.generation())
    }

    #[inline]
    fn count(&self, reader: &Reading<'_, T>, counter: Counter) {
        reader.state().counters.count(counter);
    }
}

// A panic of user code leaves table, counts and limits whole.
impl<T: Send + Sync + 'static> UnwindSafe for SessionCache<T> {}
impl<T: Send + Sync + 'static> RefUnwindSafe for SessionCache<T> {}

impl<T: Send + Sync + 'static> Default for SessionCache<T> {
    /// 20 480 sessions, 7200 seconds: OpenSSL's defaults.
    fn default() -> Self {
        let Ok(cache) = SessionCacheBuilder::new().build() else {
            std::alloc::handle_alloc_error(std::alloc::Layout::new::<Self>())
        };
        cache
    }
}

impl<T: Send + Sync + 'static> Drop for SessionCache<T> {
    /// Gives up every count that the cache holds; handles elsewhere stay valid. Hooks are not
    /// called.
    fn drop(&mut self) {
        // SAFETY: `&mut self`: nobody else has the root.
        let chain = unsafe { self.root.chain() };
        for table in chain.tables() {
            for bucket in 0..table.len() {
                for spot in table.bucket_spots(bucket) {
                    if let (true, Some(block)) = (spot.word.is_member(), spot.block()) {
                        // SAFETY: a member owns one count (INVARIANT STAYS), and nobody reads it
                        // any more. No claim and no shadow outlives the operation that made it.
                        unsafe { self.domain.release(block) };
                    }
                }
            }
        }
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for SessionCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCache")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
