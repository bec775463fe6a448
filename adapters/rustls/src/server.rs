//! The server's side: one cache, seen by each `ServerConfig` from its own context.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sessile::{
    BuildError, Capacity, Context, Generation, Resumptions, Secret, Session, SessionCache,
    SessionCacheBuilder, Stats, Status,
};
use sha2::{Digest, Sha256};

use crate::context_store::ServerContextStore;
use crate::server_builder::ServerStoreBuilder;
use crate::window::{Bound, Windows};
use crate::{events, value};

/// The default of [`ServerStore::max_age`].
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// A session cache for any number of rustls server configurations.
///
/// Cloning is cheap and gives another handle to the same cache. The store itself is not a
/// [`StoresServerSessions`]: [`for_context`](Self::for_context) makes one for each configuration,
/// so that a session is resumed only by configurations that named the same [`Context`].
///
/// [`StoresServerSessions`]: rustls::server::StoresServerSessions
///
/// ```
/// # fn main() -> Result<(), sessile::BuildError> {
/// use sessile::Context;
/// use sessile_rustls::ServerStore;
///
/// let store = ServerStore::new(100_000)?;
/// let anonymous = store.for_context(Context::digest(["www.example.org", "anonymous"]));
/// let mutual = store.for_context(Context::digest(["www.example.org", "client certificate"]));
/// # drop((anonymous, mutual));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ServerStore {
    cache: Arc<SessionCache<Secret>>,
    reusable: bool,
    windows: Windows,
    resumptions: Option<Arc<Resumptions>>,
}

impl ServerStore {
    /// A store for at most `capacity` sessions, which are forgotten two hours after they were
    /// stored.
    ///
    /// A TLS 1.2 client needs one session. TLS 1.3 stores [`send_tls13_tickets`] sessions in each
    /// handshake, of which a client uses one.
    ///
    /// # Errors
    ///
    /// A capacity of 0, or one too large to allocate.
    ///
    /// [`send_tls13_tickets`]: rustls::ServerConfig::send_tls13_tickets
    pub fn new(capacity: impl Into<Capacity>) -> Result<Self, BuildError> {
        Self::builder().capacity(capacity).build()
    }

    /// Starts a store with more than a capacity.
    pub fn builder() -> ServerStoreBuilder {
        ServerStoreBuilder::new()
    }

    /// A store on a cache of its own with another timeout, policy, weigher or hooks.
    ///
    /// # Errors
    ///
    /// Those of [`SessionCacheBuilder::build`].
    ///
    /// ```
    /// # fn main() -> Result<(), sessile::BuildError> {
    /// use sessile::{Secret, Session, SessionCache};
    /// use sessile_rustls::ServerStore;
    ///
    /// let builder = SessionCache::builder()
    ///     .capacity(1_000_000)
    ///     .weigher(|session: &Session<Secret>| session.len())
    ///     .max_weight(256 << 20);
    /// assert_eq!(ServerStore::build(builder)?.status().weight_limit, Some(256 << 20));
    /// # Ok(())
    /// # }
    /// ```
    pub fn build(builder: SessionCacheBuilder<Secret>) -> Result<Self, BuildError> {
        Ok(Self::from_cache(Arc::new(builder.build()?)))
    }

    /// A store on a cache that was built elsewhere: with another timeout, policy, weigher or hooks.
    ///
    /// rustls tells clients that a TLS 1.3 ticket lives for 24 hours, whatever the cache's timeout
    /// is.
    pub fn from_cache(cache: Arc<SessionCache<Secret>>) -> Self {
        Self { cache, reusable: false, windows: Windows::new(MAX_AGE), resumptions: None }
    }

    /// Whether a TLS 1.3 session may be resumed more than once by the contexts made from this
    /// handle.
    ///
    /// Off by default: `take` removes what it returns, as rustls requires, and that is what keeps a
    /// replayed ClientHello from being resumed. Turn it on only for peers that resume one session
    /// again and again, such as FTPS clients on their data channels. Early data are not accepted
    /// then, whatever [`max_early_data_size`] says: clients send them a second time after the
    /// handshake.
    ///
    /// [`max_early_data_size`]: rustls::ServerConfig::max_early_data_size
    #[must_use]
    pub fn reusable(mut self, reusable: bool) -> Self {
        self.reusable = reusable;
        self
    }

    /// How long after a full handshake a client may resume, counting the sessions made by resuming:
    /// 24 hours unless set. In whole seconds, at least one.
    ///
    /// RFC 8446 4.6.1 wants a bound on how long a client is believed to have been authenticated.
    /// rustls does not tell a store whether a session comes of a full handshake, so the bound is
    /// one of time: the cache's clock is divided into windows of this length, and a session is
    /// valid to the end of the window in which it was stored. Each client makes one full handshake
    /// in each window, and soon after its start; windows of different contexts start at different
    /// times. A session is valid for less than this, at the end of a window for much less.
    ///
    /// After a resumption in the last minute of a window nothing is stored in the first minute of
    /// the next: the handshake may still be under way. (Of a window below six hours, its 360th
    /// part.) A client that can hold a handshake open for longer escapes the bound: let the server
    /// end such handshakes.
    ///
    /// The choice belongs to this handle and to the contexts made from it. Handles with different
    /// choices do not resume each other's sessions, unless their windows end together.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.windows = Windows::new(max_age);
        self
    }

    /// Has the contexts made from this handle counted apart, by protocol and age: in the given
    /// counters, which may be those of one context or of several.
    ///
    /// ```
    /// # fn main() -> Result<(), sessile::BuildError> {
    /// use std::sync::Arc;
    ///
    /// use rustls::server::StoresServerSessions;
    /// use sessile::{Context, Resumptions};
    /// use sessile_rustls::ServerStore;
    ///
    /// let (store, site) = (ServerStore::new(100_000)?, Arc::new(Resumptions::new()));
    /// let context = Context::digest(["www.example.org", "no client certificates"]);
    /// let sessions = store.clone().count_in(&site).for_context(context);
    /// assert!(sessions.take(b"a ticket of long ago").is_none());
    /// assert_eq!(site.figures().tls13.missed, 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn count_in(mut self, resumptions: &Arc<Resumptions>) -> Self {
        self.resumptions = Some(Arc::clone(resumptions));
        self
    }

    /// The store for configurations of one security context; what [`ServerConfig::session_storage`]
    /// takes.
    ///
    /// Two configurations resume each other's sessions if, and only if, their contexts are equal.
    /// Digest into the context everything that a resumed client must not be able to skip, above all
    /// how clients are authenticated. rustls itself checks the server name only.
    ///
    /// [`ServerConfig::session_storage`]: rustls::ServerConfig::session_storage
    pub fn for_context(&self, context: Context) -> Arc<ServerContextStore> {
        Arc::new(ServerContextStore {
            cache: Arc::clone(&self.cache),
            context,
            reusable: self.reusable,
            bound: Arc::new(Bound::new(self.windows)),
            digest: Sha256::digest(context.as_bytes()).into(),
            generation: Generation::present(),
            resumptions: self.resumptions.clone(),
        })
    }

    /// Ends every session of a context at once, however many there are: when client authorities are
    /// replaced, or a key was stolen.
    ///
    /// What was made by [`for_context`](Self::for_context) before stores and finds nothing any
    /// more: rustls does not say which handshake a session comes of, and one that is under way may
    /// have authenticated its client by the old rules. Give a new configuration a new one after
    /// this call, also if the rules are the same.
    ///
    /// ```
    /// # fn main() -> Result<(), sessile::BuildError> {
    /// use rustls::server::StoresServerSessions;
    /// use sessile::Context;
    /// use sessile_rustls::ServerStore;
    ///
    /// let store = ServerStore::new(100_000)?;
    /// let context = Context::digest(["www.example.org", "client certificate"]);
    /// let before = store.for_context(context);
    /// store.revoke(context);
    /// let after = store.for_context(context);
    /// assert!(!before.can_cache() && after.can_cache());
    /// # Ok(())
    /// # }
    /// ```
    pub fn revoke(&self, context: Context) {
        self.cache.revoke(context);
        events::revoked();
    }

    /// The cache behind all contexts: to resize, sweep, clear, or to record handshakes.
    pub fn cache(&self) -> &Arc<SessionCache<Secret>> {
        &self.cache
    }

    /// The cache's counters, over all contexts. Never contends with lookups.
    pub fn stats(&self) -> Stats {
        self.cache.stats()
    }

    /// The counters with the limits beside them, for an exporter. Never contends with lookups.
    pub fn status(&self) -> Status {
        self.cache.status()
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

/// Whether a stored session is one of TLS 1.2, which is resumed again and again; one of TLS 1.3 is
/// for a single use unless its store is [`reusable`](ServerStore::reusable).
///
/// For second tiers: sessions are stored without a protocol, since rustls does not say which one it
/// looks for.
pub fn is_tls12(session: &Session<Secret>) -> bool {
    value::is_tls12(session)
}
