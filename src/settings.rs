//! What can be changed while the cache runs: mode, timeout, hooks.
#![forbid(unsafe_code)]

mod mode;

pub use self::mode::Mode;

use crate::error::RemovalCause;
use crate::revocations::Revocations;
use crate::session::{Context, Generation, Protocol, Session, SessionId};
use crate::sync::ArcCell;
use crate::sync::on_request::AtomicUsize;
use crate::sync::untracked::{AtomicU64, Ordering};
use crate::timestamp::Timestamp;
use std::fmt;
use std::sync::Arc;

/// What an operation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `get` or `read`: the session may be used again.
    Get,
    /// `take`: the session is for one use, and must be gone from wherever it was stored.
    Take,
    /// `remove` or `remove_id`.
    Remove,
}

/// What the first tier does not have: the question that a second tier is asked.
#[derive(Clone, Copy, Debug)]
pub struct Query<'q> {
    pub(crate) id: &'q SessionId,
    pub(crate) context: &'q Context,
    pub(crate) protocol: Protocol,
    pub(crate) operation: Operation,
}

impl<'q> Query<'q> {
    /// The session id.
    pub fn id(&self) -> &'q SessionId {
        self.id
    }

    /// The context.
    pub fn context(&self) -> &'q Context {
        self.context
    }

    /// The protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// What is to be done with the session.
    pub fn operation(&self) -> Operation {
        self.operation
    }
}

type OnAdded<T> = dyn Fn(&Session<T>) + Send + Sync;
type OnRemoved<T> = dyn Fn(&Session<T>, RemovalCause) + Send + Sync;
type OnMiss<T> = dyn Fn(&Query<'_>) -> Option<Session<T>> + Send + Sync;
type OnAbsent = dyn Fn(&Query<'_>) + Send + Sync;

/// The callbacks of a cache: OpenSSL's new, remove and get callbacks
/// (`SSL_CTX_sess_set_get_cb(3)`).
///
/// A hook is called after the operation took effect, under no guard: it may call any operation of
/// the same cache. A hook that panics loses nothing; the panic reaches the caller of the operation
/// after the remaining hooks ran.
///
/// # Order
///
/// Hooks are called by the thread whose operation caused them. Within one operation, sessions that
/// left are told before the one that came. Between threads there is no order: when two threads
/// replace one key, the hook may hear of the later session first. Nor is there one between an
/// operation and those that a hook calls: a hook that removes the session that is being added hears
/// of its removal first, and of its arrival afterwards.
///
/// Hooks nest: an `add` that a hook calls may evict, and so call the hook again. An `add` within
/// sixteen calls of hooks on one thread is refused with
/// [`Rejection::Recursion`](crate::Rejection::Recursion): a hook that adds each evicted session
/// again would not end otherwise.
///
/// So a second tier must not mirror events. It takes each call as a sign that a key changed, asks
/// the cache what it holds for that key now ([`View::peek`](crate::View::peek)), and writes or
/// deletes accordingly. Until a deletion has reached it, a tier must not answer for that key:
/// otherwise a session that one caller took from the cache is found there by another.
///
/// ```
/// use sessile::{Hooks, Operation, Session, SessionCache, SessionId};
/// use std::collections::HashMap;
/// use std::sync::{Arc, Mutex};
///
/// let tier = Arc::new(Mutex::new(HashMap::<SessionId, Session<u64>>::new()));
/// let answers = Arc::clone(&tier);
/// let hooks = Hooks::new().on_query(move |query| {
///     let mut tier = answers.lock().unwrap();
///     match query.operation() {
///         // For one use: whoever gets it must be the only one.
///         Operation::Take => tier.remove(query.id()),
///         _ => tier.get(query.id()).cloned(),
///     }
/// });
/// let cache = SessionCache::builder().hooks(hooks).build()?;
/// let id = SessionId::from([1; 32]);
/// tier.lock().unwrap().insert(id, Session::new(id, 7));
/// assert_eq!(cache.take(&id).as_deref(), Some(&7));
/// assert!(cache.take(&id).is_none());
/// # Ok::<(), sessile::BuildError>(())
/// ```
pub struct Hooks<T> {
    pub(crate) on_added: Option<Arc<OnAdded<T>>>,
    pub(crate) on_removed: Option<Arc<OnRemoved<T>>>,
    pub(crate) on_miss: Option<Arc<OnMiss<T>>>,
    pub(crate) on_absent: Option<Arc<OnAbsent>>,
}

impl<T> Hooks<T> {
    /// No hooks.
    pub fn new() -> Self {
        Self { on_added: None, on_removed: None, on_miss: None, on_absent: None }
    }

    /// Called for each session that `add` inserted or that replaced another, and for each that
    /// `add` would have stored had [`Mode::store`] been on. Not called for what the miss hook
    /// supplied.
    #[must_use]
    pub fn on_added(mut self, hook: impl Fn(&Session<T>) + Send + Sync + 'static) -> Self {
        self.on_added = Some(Arc::new(hook));
        self
    }

    /// Called for each session that left, with the cause, by the thread that removed it. Called
    /// with [`Taken`](RemovalCause::Taken) for a session that the miss hook supplied to `take`.
    #[must_use]
    pub fn on_removed(
        mut self,
        hook: impl Fn(&Session<T>, RemovalCause) + Send + Sync + 'static,
    ) -> Self {
        self.on_removed = Some(Arc::new(hook));
        self
    }

    /// The miss hook: asked by `get`, `read` and `take` when nothing usable is stored. The same as
    /// [`on_query`](Self::on_query) for a hook that needs the id and the context only.
    #[must_use]
    pub fn on_miss(
        self,
        hook: impl Fn(&SessionId, &Context) -> Option<Session<T>> + Send + Sync + 'static,
    ) -> Self {
        self.on_query(move |query| hook(query.id, query.context))
    }

    /// The miss hook with the whole question: asked by `get`, `read` and `take` when nothing usable
    /// is stored.
    ///
    /// The answer is checked: key equal, resumable, not expired, not of the future, its context not
    /// revoked since it was authenticated. It should carry its own dates
    /// ([`SessionBuilder::created_at`](crate::SessionBuilder::created_at), `timeout`, `deadline`);
    /// what it does not carry, it is given anew. It is counted as a tier hit, and `get` and `read`
    /// add it to the cache if [`Mode::keep_tier_hits`] is on, unless it was removed since the hook
    /// was asked. It replaces what is stored under its key by then. Each answer should be an object
    /// of its own: one that is removed while it is being kept is non-resumable, whoever else holds
    /// it.
    #[must_use]
    pub fn on_query(
        mut self,
        hook: impl Fn(&Query<'_>) -> Option<Session<T>> + Send + Sync + 'static,
    ) -> Self {
        self.on_miss = Some(Arc::new(hook));
        self
    }

    /// Called when `remove` or `remove_id` finds nothing under the key: what is not stored here may
    /// be stored in a second tier.
    #[must_use]
    pub fn on_absent(mut self, hook: impl Fn(&Query<'_>) + Send + Sync + 'static) -> Self {
        self.on_absent = Some(Arc::new(hook));
        self
    }
}

impl<T> Default for Hooks<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Hooks<T> {
    fn clone(&self) -> Self {
        Self {
            on_added: self.on_added.clone(),
            on_removed: self.on_removed.clone(),
            on_miss: self.on_miss.clone(),
            on_absent: self.on_absent.clone(),
        }
    }
}

impl<T> fmt::Debug for Hooks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("on_added", &self.on_added.is_some())
            .field("on_removed", &self.on_removed.is_some())
            .field("on_miss", &self.on_miss.is_some())
            .field("on_absent", &self.on_absent.is_some())
            .finish()
    }
}

/// The settings in force.
// What a lookup reads comes first.
#[repr(C)]
pub(crate) struct Settings<T> {
    mode: AtomicUsize,
    timeout_seconds: AtomicU64,
    /// Which hooks are set, so that paths without hooks read one word and not the cell.
    present: AtomicUsize,
    hooks: ArcCell<Hooks<T>>,
    revocations: Revocations,
}

/// Bits of `Mode::to_bits`.
const STORE: usize = 1 << 0;
const LOOKUP: usize = 1 << 1;
const AUTO_FLUSH: usize = 1 << 2;
const UPDATE_TIME: usize = 1 << 3;
/// Beside the bits of a mode: a context was revoked.
const REVOKED: usize = 1 << 8;
/// Beside the bits of a mode: hooks were set that hear of sessions. Never taken back.
const HOOKED: usize = 1 << 9;
/// Beside the bits of a mode: the policy makes sessions younger by use. Never changed.
const AGES_BY_USE: usize = 1 << 10;

const ON_ADDED: usize = 1;
const ON_REMOVED: usize = 2;
const ON_MISS: usize = 4;
const ON_ABSENT: usize = 8;
/// Beside the kinds of hooks: sessions on their way to the cache are told of removals. Never
/// changed.
const WATCHED: usize = 16;

impl<T> Settings<T> {
    pub(crate) fn new(
        mode: Mode,
        timeout_seconds: u64,
        hooks: Hooks<T>,
        ages_by_use: bool,
        watches_removals: bool,
    ) -> Self {
        let aging = if ages_by_use { AGES_BY_USE } else { 0 };
        let watched = if watches_removals { WATCHED } else { 0 };
        let present = AtomicUsize::new(Self::presence(&hooks) | watched);
        let hooked = Self::hooked(&hooks);
        let hooks = ArcCell::new(hooks);
        Self {
            mode: AtomicUsize::new(mode.to_bits() | hooked | aging),
            timeout_seconds: AtomicU64::new(timeout_seconds),
            present,
            hooks,
            revocations: Revocations::new(),
        }
    }

    // ORDERING: Relaxed throughout: each setting is one word that takes effect at some moment; the
    // hooks themselves are published by arc-swap. Setters exchange, so that what they set is in
    // force when they return: a store might wait in the processor's buffer.

    #[inline]
    pub(crate) fn mode(&self) -> Mode {
        Mode::from_bits(self.mode.load(Ordering::Relaxed))
    }

    /// [`Mode::lookup`] alone, for the paths that count instructions.
    #[inline]
    pub(crate) fn looks_up(&self) -> bool {
        self.mode.load(Ordering::Relaxed) & LOOKUP != 0
    }

    /// [`Mode::auto_flush`] alone.
    #[inline]
    pub(crate) fn auto_flushes(&self) -> bool {
        self.mode.load(Ordering::Relaxed) & AUTO_FLUSH != 0
    }

    /// Whether adds store, and need not ask what was revoked.
    #[inline]
    pub(crate) fn has_simple_adds(&self) -> bool {
        self.mode.load(Ordering::Relaxed) & (STORE | REVOKED) == STORE
    }

    /// Whether adds are subject to nothing that [`has_simple_adds`](Self::has_simple_adds) leaves
    /// out: no hook whose calls may nest.
    #[inline]
    pub(crate) fn has_simple_adds_unhooked(&self) -> bool {
        self.mode.load(Ordering::Relaxed) & (STORE | REVOKED | HOOKED) == STORE
    }

    /// Whether lookups look, and need not ask what was revoked.
    #[inline]
    pub(crate) fn has_simple_lookups(&self) -> bool {
        self.mode.load(Ordering::Relaxed) & (LOOKUP | REVOKED) == LOOKUP
    }

    /// Whether any context was revoked.
    #[inline]
    pub(crate) fn has_revocations(&self) -> bool {
        // ORDERING: Acquire: what was revoked before the flag was seen is in the list; pairs with
        // the Release in `revoke`. Invisible: arc-swap holds the list, and no model sees into it.
        self.mode.load(Ordering::Acquire) & REVOKED != 0
    }

    /// Ends all generations of a context that are older than the one that begins.
    pub(crate) fn revoke(&self, context: Context, now: Timestamp) -> Generation {
        loop {
            let before = Generation::present();
            self.revocations.note(context, before.next(), now);
            // ORDERING: Release: see `has_revocations`. Invisible: as there.
            self.mode.fetch_or(REVOKED, Ordering::Release);
            // What is built in the new generation was built after the list said so. Else another
            // revocation began it before that, and this one needs the next.
            if before.begin_next() {
                return before.next();
            }
        }
    }

    /// Whether the context was revoked after `since`.
    #[inline]
    pub(crate) fn is_revoked(&self, context: &Context, since: Generation) -> bool {
        self.has_revocations() && self.revocations.is_revoked(context, since)
    }

    /// When the context was revoked last.
    pub(crate) fn revoked_at(&self, context: &Context) -> Option<Timestamp> {
        if self.has_revocations() { self.revocations.revoked_at(context) } else { None }
    }

    /// [`Mode::update_time`] alone.
    #[inline]
    pub(crate) fn updates_time(&self) -> bool {
        self.mode.load(Ordering::Relaxed) & UPDATE_TIME != 0
    }

    /// Whether a use makes a session younger.
    #[inline]
    pub(crate) fn ages_by_use(&self) -> bool {
        self.mode.load(Ordering::Relaxed) & AGES_BY_USE != 0
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        let _ = self.mode.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| {
            Some(mode.to_bits() | before & (REVOKED | HOOKED | AGES_BY_USE))
        });
    }

    pub(crate) fn timeout_seconds(&self) -> u64 {
        self.timeout_seconds.load(Ordering::Relaxed)
    }

    pub(crate) fn set_timeout_seconds(&self, seconds: u64) {
        self.timeout_seconds.swap(seconds, Ordering::Relaxed);
    }

    pub(crate) fn set_hooks(&self, hooks: Hooks<T>) {
        // Kinds of hooks that may be there: never taken back, or another thread's would be
        // silenced. A kind that was removed costs a look that finds none.
        self.present.fetch_or(Self::presence(&hooks), Ordering::Relaxed);
        self.mode.fetch_or(Self::hooked(&hooks), Ordering::Relaxed);
        self.hooks.store(hooks);
    }

    #[inline]
    pub(crate) fn wants_added(&self) -> bool {
        self.present.load(Ordering::Relaxed) & ON_ADDED != 0
    }

    #[inline]
    pub(crate) fn wants_removed(&self) -> bool {
        self.present.load(Ordering::Relaxed) & ON_REMOVED != 0
    }

    #[inline]
    pub(crate) fn wants_miss(&self) -> bool {
        self.present.load(Ordering::Relaxed) & ON_MISS != 0
    }

    /// Whether sessions on their way to the cache are told of removals.
    #[inline]
    pub(crate) fn watches_removals(&self) -> bool {
        self.present.load(Ordering::Relaxed) & (ON_MISS | WATCHED) != 0
    }

    #[inline]
    pub(crate) fn wants_absent(&self) -> bool {
        self.present.load(Ordering::Relaxed) & ON_ABSENT != 0
    }

    #[cold]
    pub(crate) fn hooks(&self) -> Arc<Hooks<T>> {
        self.hooks.load()
    }

    fn hooked(hooks: &Hooks<T>) -> usize {
        if hooks.on_added.is_some() || hooks.on_removed.is_some() { HOOKED } else { 0 }
    }

    fn presence(hooks: &Hooks<T>) -> usize {
        let flag = |set: bool, bit: usize| if set { bit } else { 0 };
        flag(hooks.on_added.is_some(), ON_ADDED)
            | flag(hooks.on_removed.is_some(), ON_REMOVED)
            | flag(hooks.on_miss.is_some(), ON_MISS)
            | flag(hooks.on_absent.is_some(), ON_ABSENT)
    }
}
