//! The server's side: one cache, seen by each `ServerConfig` from its own context.
//!
//! rustls stores a session under a random key of 32 bytes and fetches it back by `get` (TLS 1.2) or by
//! `take` (TLS 1.3, once per ticket that a client offers). The keys it looks up are whatever the peer sent.

use std::fmt;
use std::sync::Arc;

use rustls::server::StoresServerSessions;
use sessile::{BuildError, Capacity, Context, Secret, Session, SessionCache, SessionId, Stats, View};

/// A session cache for any number of rustls server configurations.
///
/// Cloning is cheap and gives another handle to the same cache. The store itself is not a
/// [`StoresServerSessions`]: [`for_context`](Self::for_context) makes one for each configuration, so that a
/// session is resumed only by configurations that named the same [`Context`].
///
/// ```
/// # fn main() -> Result<(), sessile::BuildError> {
/// use sessile::Context;
/// use sessile_rustls::ServerStore;
///
/// let store = ServerStore::new(100_000)?;
/// let anonymous = store.for_context(Context::digest(["www.example.org", "no client certificate"]));
/// let mutual = store.for_context(Context::digest(["www.example.org", "client certificate"]));
/// # drop((anonymous, mutual));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ServerStore {
    cache: Arc<SessionCache<Secret>>,
    reusable: bool,
}

impl ServerStore {
    /// A store for at most `capacity` sessions, which are forgotten two hours after they were stored.
    ///
    /// A TLS 1.2 client needs one session. TLS 1.3 stores [`send_tls13_tickets`] sessions in each handshake,
    /// of which a client uses one.
    ///
    /// # Errors
    ///
    /// A capacity of 0, or one too large to allocate.
    ///
    /// [`send_tls13_tickets`]: rustls::ServerConfig::send_tls13_tickets
    pub fn new(capacity: impl Into<Capacity>) -> Result<Self, BuildError> {
        Ok(Self::from_cache(Arc::new(SessionCache::new(capacity)?)))
    }

    /// A store on a cache that was built elsewhere: with another timeout, policy, weigher or hooks.
    ///
    /// rustls tells clients that a TLS 1.3 ticket lives for 24 hours, whatever the cache's timeout is.
    pub fn from_cache(cache: Arc<SessionCache<Secret>>) -> Self {
        Self { cache, reusable: false }
    }

    /// Whether a TLS 1.3 session may be resumed more than once by the contexts made from this handle.
    ///
    /// Off by default: `take` removes what it returns, as rustls requires, and that is what keeps a replayed
    /// ClientHello from being resumed. Turn it on only for peers that resume one session again and again, such
    /// as FTPS clients on their data channels, and never together with early data.
    #[must_use]
    pub fn reusable(mut self, reusable: bool) -> Self {
        self.reusable = reusable;
        self
    }

    /// The store for configurations of one security context; what [`ServerConfig::session_storage`] takes.
    ///
    /// Two configurations resume each other's sessions if, and only if, their contexts are equal. Digest into
    /// the context everything that a resumed client must not be able to skip, above all how clients are
    /// authenticated. rustls itself checks the server name and the ALPN protocol only.
    ///
    /// [`ServerConfig::session_storage`]: rustls::ServerConfig::session_storage
    pub fn for_context(&self, context: Context) -> Arc<ServerContextStore> {
        Arc::new(ServerContextStore { cache: Arc::clone(&self.cache), context, reusable: self.reusable })
    }

    /// The cache behind all contexts: to resize, sweep, clear, or to record handshakes.
    pub fn cache(&self) -> &Arc<SessionCache<Secret>> {
        &self.cache
    }

    /// The cache's counters, over all contexts. Never contends with lookups.
    pub fn stats(&self) -> Stats {
        self.cache.stats()
    }
}

impl fmt::Debug for ServerStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerStore")
            .field("capacity", &self.cache.capacity())
            .field("sessions", &self.cache.len())
            .field("reusable", &self.reusable)
            .finish_non_exhaustive()
    }
}

/// A [`ServerStore`] seen from one [`Context`]; made by [`ServerStore::for_context`].
///
/// No call blocks, locks or spawns: `put` and `take` are lock-free, `get` does not write to shared memory on a
/// hit beyond what the eviction policy needs. A session is wiped when the cache and every reader let go of it.
#[derive(Clone)]
pub struct ServerContextStore {
    cache: Arc<SessionCache<Secret>>,
    context: Context,
    reusable: bool,
}

impl ServerContextStore {
    /// The context whose sessions this store sees.
    pub fn context(&self) -> Context {
        self.context
    }

    fn view(&self) -> View<'_, Secret> {
        self.cache.view(self.context)
    }

    fn copy(&self, id: &SessionId) -> Option<Vec<u8>> {
        self.view().read(id, |session| session.to_vec())
    }
}

impl StoresServerSessions for ServerContextStore {
    /// Stores `value`, in place of what was stored under `key`. False for a key that is empty or longer than
    /// 32 bytes, and where the cache refused the session; `value` is wiped then.
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let secret = Secret::from(value);
        let Ok(id) = SessionId::new(&key) else { return false };
        let session = Session::<Secret>::builder(id).context(self.context).try_build(secret);
        session.is_ok_and(|session| self.view().add(session).is_ok_and(|added| added.changed()))
    }

    /// A copy of what is stored under `key`, which stays.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.copy(&SessionId::new(key).ok()?)
    }

    /// What is stored under `key`. It is gone afterwards, and of any number of racing callers one gets it,
    /// unless the store is [`reusable`](ServerStore::reusable).
    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let id = SessionId::new(key).ok()?;
        if self.reusable {
            return self.copy(&id);
        }
        self.view().take(&id).map(|session| session.to_vec())
    }

    fn can_cache(&self) -> bool {
        self.cache.mode().store
    }
}

impl fmt::Debug for ServerContextStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerContextStore")
            .field("capacity", &self.cache.capacity())
            .field("reusable", &self.reusable)
            .finish_non_exhaustive()
    }
}
