//! What the cache does by itself, and its flags as bits.
#![forbid(unsafe_code)]

/// What the cache does by itself: the flags of `SSL_CTX_set_session_cache_mode(3)`, said
/// positively.
///
/// ```
/// use sessile::{Mode, Session, SessionCache, SessionId};
///
/// // For a cache whose hook keeps the sessions elsewhere.
/// let mode = Mode { store: false, ..Mode::default() };
/// let cache = SessionCache::builder().mode(mode).on_added(|_session| {}).build()?;
/// assert!(cache.add(Session::new(SessionId::from([1; 32]), ())).is_err());
/// assert!(cache.is_empty());
/// # Ok::<(), sessile::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// `add` stores (off: `SSL_SESS_CACHE_NO_INTERNAL_STORE`).
    pub store: bool,
    /// Lookups look (off: `SSL_SESS_CACHE_NO_INTERNAL_LOOKUP`); the miss hook is asked either way.
    /// A lookup that does not look counts as a miss.
    pub lookup: bool,
    /// Adds sweep for expired sessions, a slot each or a bucket in a nearly full cache (off:
    /// `SSL_SESS_CACHE_NO_AUTO_CLEAR`).
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
        Self {
            store: true,
            lookup: true,
            auto_flush: true,
            update_time: false,
            keep_tier_hits: true,
        }
    }
}

impl Mode {
    pub(super) fn to_bits(self) -> usize {
        let flags =
            [self.store, self.lookup, self.auto_flush, self.update_time, self.keep_tier_hits];
        flags.iter().enumerate().map(|(bit, &flag)| usize::from(flag) << bit).sum()
    }

    pub(super) fn from_bits(bits: usize) -> Self {
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
