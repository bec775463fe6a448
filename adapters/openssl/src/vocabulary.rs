//! The calls of `SSL_CTX_add_session(3)` and its family that need translation. The README's table
//! has the others.
#![forbid(unsafe_code)]

use std::time::Duration;

use openssl::ssl::{SslSession, SslSessionCacheMode, SslSessionRef};
use sessile::{Added, BuildError, Capacity, Rejection, Session, Timestamp};

use crate::domain::Key;
use crate::ffi;
use crate::mode::{flags_of, mode_of};
use crate::origin::Origin;
use crate::server::ServerStore;

impl ServerStore {
    /// Stores a session (`SSL_CTX_add_session`), under the id context it was made with.
    ///
    /// [`Identical`](Added::Identical) if this very `SSL_SESSION` is stored; otherwise the store
    /// holds one more reference to it. A TLS 1.3 session that is added again after it was taken can
    /// be resumed again, without early data if they were accepted before. A session keeps the age
    /// and the generation of its full handshake, and one that was read from DER brings no early
    /// data.
    ///
    /// # Errors
    ///
    /// Those of [`SessionCache::add`](sessile::SessionCache::add). A session without id is
    /// [`Rejection::NotResumable`], one that was not made in an attached context is
    /// [`Rejection::Context`].
    pub fn add_session(&self, session: &SslSessionRef) -> Result<Added<SslSession>, Rejection> {
        if let Some(stored) = self.stored(session) {
            return Ok(self.cache().add(stored)?);
        }
        let (_, timeout) = ffi::dates(session);
        let draft = Self::draft(session, Duration::from_secs(timeout))?;
        let draft = match Origin::of(session) {
            Some(origin) => draft.generation(origin.authentication().generation),
            None => draft,
        };
        let drafted = draft.try_build(session.to_owned()).map_err(|_| Rejection::Allocation)?;
        match self.cache().add(drafted)? {
            // Another thread added it between the two looks.
            Added::Replaced(old) if ffi::same(&old, session) => Ok(Added::Identical),
            added => Ok(added),
        }
    }

    /// Removes this very session (`SSL_CTX_remove_session` up to OpenSSL 1.0, and in BoringSSL):
    /// false, and nothing changed, if another `SSL_SESSION` is stored under its id.
    pub fn remove_session(&self, session: &SslSessionRef) -> bool {
        self.stored(session).is_some_and(|stored| self.cache().remove(&stored))
    }

    /// Removes whatever is stored under the session's id, version and context
    /// (`SSL_CTX_remove_session` since OpenSSL 1.1).
    pub fn remove_id_of(&self, session: &SslSessionRef) -> bool {
        Key::of(session).is_some_and(|key| {
            self.cache().view(key.domain).protocol(key.protocol).remove_id(&key.id)
        })
    }

    /// Handles of all sessions (`SSL_CTX_sessions`), in no particular order.
    pub fn sessions(&self) -> Vec<Session<SslSession>> {
        self.cache().snapshot()
    }

    /// Removes what is expired at `now`, or everything if `now` is 0 (`SSL_CTX_flush_sessions`).
    /// Answers how many sessions that were.
    pub fn flush_sessions(&self, now: impl Into<Timestamp>) -> usize {
        match now.into() {
            Timestamp::MIN => self.cache().clear(),
            now => self.cache().flush_expired_at(now),
        }
    }

    /// Changes the capacity (`SSL_CTX_sess_set_cache_size`); 0 is unbounded. Answers the former
    /// size.
    ///
    /// # Errors
    ///
    /// A size too large to allocate; the former size stays.
    pub fn set_cache_size(&self, sessions: usize) -> Result<usize, BuildError> {
        let former = self.cache_size();
        let capacity =
            if sessions == 0 { Capacity::Unbounded } else { Capacity::Sessions(sessions) };
        self.cache().set_capacity(capacity)?;
        Ok(former)
    }

    /// The capacity (`SSL_CTX_sess_get_cache_size`); 0 is unbounded.
    pub fn cache_size(&self) -> usize {
        Some(self.cache().capacity()).filter(|&sessions| sessions != usize::MAX).unwrap_or(0)
    }

    /// Changes the mode by OpenSSL's flags (`SSL_CTX_set_session_cache_mode`),
    /// [`UPDATE_TIME`](crate::UPDATE_TIME) included. It is the store's, for all its contexts;
    /// theirs stays as it is. Answers the former mode.
    pub fn set_session_cache_mode(&self, flags: SslSessionCacheMode) -> SslSessionCacheMode {
        let former = self.cache().mode();
        self.cache().set_mode(mode_of(flags, former));
        flags_of(former)
    }

    /// The mode (`SSL_CTX_get_session_cache_mode`).
    pub fn session_cache_mode(&self) -> SslSessionCacheMode {
        flags_of(self.cache().mode())
    }

    /// The timeout that contexts attached from now on give to their sessions, and the longest that
    /// sessions of those attached before are stored for (`SSL_CTX_set_timeout`). Answers the former
    /// timeout.
    pub fn set_timeout(&self, timeout: Duration) -> Duration {
        let former = self.cache().timeout();
        self.cache().set_timeout(timeout);
        former
    }

    /// The timeout (`SSL_CTX_get_timeout`).
    pub fn timeout(&self) -> Duration {
        self.cache().timeout()
    }

    /// The handle under which this very session is stored: to date it anew, for one.
    pub fn stored(&self, session: &SslSessionRef) -> Option<Session<SslSession>> {
        let key = Key::of(session)?;
        let found = self.cache().view(key.domain).protocol(key.protocol).peek(&key.id)?;
        ffi::same(&found, session).then_some(found)
    }
}
