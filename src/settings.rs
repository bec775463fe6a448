//! What can be changed while the cache runs: mode, timeout, hooks.
#![forbid(unsafe_code)]

use crate::error::RemovalCause;
use crate::session::{Context, Session, SessionId};
use crate::sync::ArcCell;
use crate::sync::untracked::{AtomicU64, AtomicUsize, Ordering};
use std::fmt;
use std::sync::Arc;

/// What the cache does by itself: the flags of `SSL_CTX_set_session_cache_mode(3)`, said positively.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// `add` stores (off: `SSL_SESS_CACHE_NO_INTERNAL_STORE`).
    pub store: bool,
    /// Lookups look (off: `SSL_SESS_CACHE_NO_INTERNAL_LOOKUP`); the miss hook is asked either way.
    pub lookup: bool,
    /// Adds sweep a slot for expired sessions (off: `SSL_SESS_CACHE_NO_AUTO_CLEAR`).
    pub auto_flush: bool,
    /// A hit and an `add` set the session's date to now, which extends it up to its deadline
    /// (`SSL_SESS_CACHE_UPDATE_TIME`).
    pub update_time: bool,
    /// What the miss hook supplies is added.
    pub keep_tier_hits: bool,
}

impl Default for Mode {
    /// Everything on but `update_time`.
    fn default() -> Self {
        Self { store: true, lookup: true, auto_flush: true, update_time: false, keep_tier_hits: true }
    }
}

impl Mode {
    fn to_bits(self) -> usize {
        let flags = [self.store, self.lookup, self.auto_flush, self.update_time, self.keep_tier_hits];
        flags.iter().enumerate().map(|(bit, &flag)| usize::from(flag) << bit).sum()
    }

    fn from_bits(bits: usize) -> Self {
        let flag = |bit: usize| bits & (1 << bit) != 0;
        Self {
            store: flag(0),
            lookup: flag(1),
            auto_flush: flag(2),
            update_time: flag(3),
            keep_tier_hits: flag(4),
        }
    }
}

type OnAdded<T> = dyn Fn(&Session<T>) + Send + Sync;
type OnRemoved<T> = dyn Fn(&Session<T>, RemovalCause) + Send + Sync;
type OnMiss<T> = dyn Fn(&SessionId, &Context) -> Option<Session<T>> + Send + Sync;

/// The callbacks of a cache: OpenSSL's new, remove and get callbacks (`SSL_CTX_sess_set_get_cb(3)`).
///
/// A hook is called after the operation took effect, under no guard: it may call any operation of the same cache. A hook
/// that panics loses nothing; the panic reaches the caller of the operation after the remaining hooks ran.
pub struct Hooks<T> {
    pub(crate) on_added: Option<Arc<OnAdded<T>>>,
    pub(crate) on_removed: Option<Arc<OnRemoved<T>>>,
    pub(crate) on_miss: Option<Arc<OnMiss<T>>>,
}

impl<T> Hooks<T> {
    /// No hooks.
    pub fn new() -> Self {
        Self { on_added: None, on_removed: None, on_miss: None }
    }

    /// Called for each session that `add` inserted or that replaced another.
    #[must_use]
    pub fn on_added(mut self, hook: impl Fn(&Session<T>) + Send + Sync + 'static) -> Self {
        self.on_added = Some(Arc::new(hook));
        self
    }

    /// Called for each session that left, with the cause, by the thread that removed it.
    #[must_use]
    pub fn on_removed(mut self, hook: impl Fn(&Session<T>, RemovalCause) + Send + Sync + 'static) -> Self {
        self.on_removed = Some(Arc::new(hook));
        self
    }

    /// Asked by `get`, `read` and `take` when nothing usable is stored: a second tier.
    #[must_use]
    pub fn on_miss(
        mut self,
        hook: impl Fn(&SessionId, &Context) -> Option<Session<T>> + Send + Sync + 'static,
    ) -> Self {
        self.on_miss = Some(Arc::new(hook));
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
        }
    }
}

impl<T> fmt::Debug for Hooks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("on_added", &self.on_added.is_some())
            .field("on_removed", &self.on_removed.is_some())
            .field("on_miss", &self.on_miss.is_some())
            .finish()
    }
}

/// The settings in force.
pub(crate) struct Settings<T> {
    mode: AtomicUsize,
    timeout_seconds: AtomicU64,
    /// Which hooks are set, so that paths without hooks read one word and not the cell.
    present: AtomicUsize,
    hooks: ArcCell<Hooks<T>>,
}

/// Bits of `Mode::to_bits`.
const LOOKUP: usize = 1 << 1;
const UPDATE_TIME: usize = 1 << 3;

const ON_ADDED: usize = 1;
const ON_REMOVED: usize = 2;
const ON_MISS: usize = 4;

impl<T> Settings<T> {
    pub(crate) fn new(mode: Mode, timeout_seconds: u64, hooks: Hooks<T>) -> Self {
        let present = AtomicUsize::new(Self::presence(&hooks));
        let hooks = ArcCell::new(hooks);
        Self {
            mode: AtomicUsize::new(mode.to_bits()),
            timeout_seconds: AtomicU64::new(timeout_seconds),
            present,
            hooks,
        }
    }

    // ORDERING: Relaxed throughout: each setting is one word that takes effect at some moment; the hooks themselves are
    // published by arc-swap. Setters exchange, so that what they set is in force when they return: a store might wait in the
    // processor's buffer.

    #[inline]
    pub(crate) fn mode(&self) -> Mode {
        Mode::from_bits(self.mode.load(Ordering::Relaxed))
    }

    /// [`Mode::lookup`] alone, for the paths that count instructions.
    #[inline]
    pub(crate) fn looks_up(&self) -> bool {
        self.mode.load(Ordering::Relaxed) & LOOKUP != 0
    }

    /// [`Mode::update_time`] alone.
    #[inline]
    pub(crate) fn updates_time(&self) -> bool {
        self.mode.load(Ordering::Relaxed) & UPDATE_TIME != 0
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        self.mode.swap(mode.to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn timeout_seconds(&self) -> u64 {
        self.timeout_seconds.load(Ordering::Relaxed)
    }

    pub(crate) fn set_timeout_seconds(&self, seconds: u64) {
        self.timeout_seconds.swap(seconds, Ordering::Relaxed);
    }

    pub(crate) fn set_hooks(&self, hooks: Hooks<T>) {
        // Kinds of hooks that may be there: never taken back, or another thread's would be silenced. A kind that was removed
        // costs a look that finds none.
        self.present.fetch_or(Self::presence(&hooks), Ordering::Relaxed);
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

    #[cold]
    pub(crate) fn hooks(&self) -> Arc<Hooks<T>> {
        self.hooks.load()
    }

    fn presence(hooks: &Hooks<T>) -> usize {
        let flag = |set: bool, bit: usize| if set { bit } else { 0 };
        flag(hooks.on_added.is_some(), ON_ADDED)
            | flag(hooks.on_removed.is_some(), ON_REMOVED)
            | flag(hooks.on_miss.is_some(), ON_MISS)
    }
}
