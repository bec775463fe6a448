//! The server's side: one cache behind any number of `SslContext`s.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslOptions, SslRef, SslSession, SslSessionCacheMode, SslSessionRef};
use sessile::{
    BuildError, Capacity, Clock, Context, Protocol, Rejection, Session, SessionCache, SessionCacheBuilder,
    SessionId, Stats, View,
};

use crate::attachment::Attachment;
use crate::callbacks;
use crate::clock::UnixClock;
use crate::domain::{IdContext, Key, domain_of};
use crate::ffi;
use crate::retry;

/// `SSL_OP_NO_ANTI_REPLAY`, which the `openssl` crate does not name.
const NO_ANTI_REPLAY: SslOptions = SslOptions::from_bits_retain(1 << 24);

/// The session cache of any number of libssl server contexts. The payload is the `SslSession` itself.
///
/// Cloning is cheap and gives another handle to the same cache.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use openssl::ssl::{SslAcceptor, SslMethod};
/// use sessile::Context;
/// use sessile_openssl::ServerStore;
///
/// let store = ServerStore::new(100_000)?;
/// let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
/// // … certificate and key …
/// store.attach(&mut acceptor, Context::digest(["www.example.org", "no client certificate"]))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ServerStore {
    cache: Arc<SessionCache<SslSession>>,
    reusable: bool,
}

/// A store as one context sees it: what the callbacks work on.
#[derive(Debug)]
pub(crate) struct ContextStore {
    store: ServerStore,
    id_context: IdContext,
    domain: Context,
}

impl ServerStore {
    /// A store for at most `capacity` sessions, which are forgotten two hours after they were made.
    ///
    /// # Errors
    ///
    /// A capacity of 0, or one too large to allocate.
    pub fn new(capacity: impl Into<Capacity>) -> Result<Self, BuildError> {
        Self::build(SessionCache::builder().capacity(capacity))
    }

    /// A store on a cache with another timeout, policy, weigher or hooks. The clock becomes [`UnixClock`], by which
    /// libssl dates sessions.
    ///
    /// # Errors
    ///
    /// Those of [`SessionCacheBuilder::build`].
    pub fn build(builder: SessionCacheBuilder<SslSession>) -> Result<Self, BuildError> {
        Ok(Self { cache: Arc::new(builder.clock(UnixClock).build()?), reusable: false })
    }

    /// Whether a TLS 1.3 session may be resumed more than once by contexts that are attached from this handle.
    ///
    /// Off by default: a lookup takes the session, so that of any number of connections that offer one ticket, one
    /// resumes. Turn it on only for peers that resume one session again and again, such as FTPS clients on their data
    /// channels; libssl then refuses to resume sessions with early data.
    #[must_use]
    pub fn reusable(mut self, reusable: bool) -> Self {
        self.reusable = reusable;
        self
    }

    /// Makes this the session cache of a context.
    ///
    /// - mode `SERVER | NO_INTERNAL`: libssl's own cache is out of use;
    /// - the new, get and remove callbacks, and the info callback, which counts handshakes and then calls the one set
    ///   before. Whoever sets one of the four afterwards takes its work away from the store;
    /// - an id context: a digest of `name`, and a number of this context's own. Do not change it;
    /// - the store's timeout as that of the context;
    /// - option `NO_TICKET`: TLS 1.2 resumes by session id, TLS 1.3 by stateful tickets;
    /// - option `NO_ANTI_REPLAY`, unless the store is [`reusable`](Self::reusable): libssl's protection of early data
    ///   asks its own cache and refuses whatever is not there. Here a ticket is found once, which is that protection.
    ///
    /// Contexts resume each other's sessions if, and only if, their names are equal. A session that a context of the same
    /// name made, such as the one before a certificate was renewed, is copied for this one; the object itself never
    /// crosses. Digest into the name everything that a resumed client must not be able to skip, above all how clients are
    /// authenticated.
    ///
    /// # Errors
    ///
    /// Those of libssl, when memory is exhausted.
    pub fn attach(&self, context: &mut SslContextBuilder, name: Context) -> Result<(), ErrorStack> {
        let id_context = IdContext::new(&name);
        context.set_session_id_context(id_context.as_bytes())?;
        context.set_session_cache_mode(SslSessionCacheMode::SERVER | SslSessionCacheMode::NO_INTERNAL);
        context.set_options(SslOptions::NO_TICKET);
        if !self.reusable {
            context.set_options(NO_ANTI_REPLAY);
        }
        ffi::set_timeout(context, self.cache.timeout().as_secs());
        let store = ContextStore { store: self.clone(), id_context, domain: id_context.domain() };
        callbacks::install_server(context, |former| Attachment { store, former })
    }

    /// The cache behind all contexts: to sweep, clear, set hooks, or walk over.
    pub fn cache(&self) -> &Arc<SessionCache<SslSession>> {
        &self.cache
    }

    /// The cache as contexts of one name see it.
    pub fn view(&self, name: Context) -> View<'_, SslSession> {
        self.cache.view(domain_of(&name))
    }

    /// All counters, handshakes included, over all contexts. Never contends with lookups.
    pub fn stats(&self) -> Stats {
        self.cache.stats()
    }

    /// A new handle for the session, which lives for `timeout`.
    pub(crate) fn wrap(session: SslSession, timeout: Duration) -> Result<Session<SslSession>, Rejection> {
        if session.id().is_empty() {
            return Err(Rejection::NotResumable);
        }
        let key = Key::of(&session).ok_or(Rejection::Context)?;
        let (created, _) = ffi::dates(&session);
        // By a clock that is ahead of this one by a moment, it was made in the next second.
        let now = UnixClock.now().as_secs();
        let created = if created == now + 1 { now } else { created };
        let builder = Session::<SslSession>::builder(key.id).context(key.domain).protocol(key.protocol);
        let builder = builder.created_at(created).timeout(timeout).resumable(ffi::is_resumable(&session));
        builder.try_build(session).map_err(|_| Rejection::Allocation)
    }
}

impl ContextStore {
    /// Stores what a handshake made, for as long as both the session and the store allow.
    ///
    /// A server name callback can have changed contexts after libssl stamped the session. The context that the handshake
    /// ended in, which may have asked for more than the first one, is the one that the session belongs to.
    pub(crate) fn keep(&self, session: SslSession) {
        let is_strange = IdContext::of(&session).is_some_and(|made| made.domain() != self.domain);
        if is_strange && !ffi::set_id_context(&session, self.id_context.as_bytes()) {
            return;
        }
        let (_, timeout) = ffi::dates(&session);
        let timeout = Duration::from_secs(timeout).min(self.store.cache.timeout());
        if let Ok(wrapped) = ServerStore::wrap(session, timeout) {
            // A session that the cache refuses is one full handshake more.
            let _ = self.store.cache.add(wrapped);
        }
    }

    /// The session that a client offers to resume, for this context.
    pub(crate) fn find(&self, ssl: &mut SslRef, id: &[u8]) -> Option<SslSession> {
        let id = SessionId::new(id).ok()?;
        let protocol = Protocol(ffi::connection_version(ssl));
        let view = self.store.cache.view(self.domain).protocol(protocol);
        if protocol != Protocol::TLS1_3 || self.store.reusable {
            return view.read(&id, |session| self.hand_over(session, &id))?;
        }
        if let Some(taken) = retry::recall(ssl, &id) {
            return Some(taken);
        }
        let taken = view.take(&id)?;
        let session = self.hand_over(&taken, &id)?;
        retry::remember(ssl, id, &session);
        Some(session)
    }

    /// Forgets what libssl says must not be resumed: whatever is stored under the session's key.
    pub(crate) fn forget(&self, session: &SslSessionRef) {
        if let Some(key) = Key::of(session) {
            self.store.cache.view(key.domain).protocol(key.protocol).remove_id(&key.id);
        }
    }

    pub(crate) fn cache(&self) -> &SessionCache<SslSession> {
        &self.store.cache
    }

    /// The session itself, if it is of this context; a copy, if it is of another one with the same name.
    ///
    /// Programs and second tiers can file a session under a false id, which libssl did not notice before 3.6.3.
    fn hand_over(&self, session: &SslSessionRef, id: &SessionId) -> Option<SslSession> {
        if !ffi::is_resumable(session) || session.id() != id.as_bytes() {
            return None;
        }
        match IdContext::of(session)? {
            own if own == self.id_context => Some(session.to_owned()),
            other if other.domain() == self.domain => ffi::copy_for(session, self.id_context.as_bytes()),
            _ => None,
        }
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
