//! The server's side: one cache behind any number of `SslContext`s.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{
    SslContextBuilder, SslContextRef, SslOptions, SslSession, SslSessionCacheMode, SslSessionRef,
};
use sessile::{
    BuildError, Capacity, Clock, Context, Generation, Rejection, Resumptions, Session,
    SessionBuilder, SessionCache, SessionCacheBuilder, Stats, Status, View,
};

use crate::attached::ReattachError;
use crate::callbacks;
use crate::clock::UnixClock;
use crate::context_store::ContextStore;
use crate::domain::{Key, domain_of};
use crate::events;
use crate::ffi;
use crate::routes::Routes;
use crate::server_builder::ServerStoreBuilder;

/// `SSL_OP_NO_ANTI_REPLAY`, which the `openssl` crate does not name.
const NO_ANTI_REPLAY: SslOptions = SslOptions::from_bits_retain(1 << 24);

/// The age since the last full handshake at which a session ends, unless the program says
/// otherwise.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The session cache of any number of libssl server contexts. The payload is the `SslSession`
/// itself.
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
    shared: Arc<Shared>,
    reusable: bool,
    max_age: Duration,
    resumptions: Option<Arc<Resumptions>>,
}

/// What all handles of a store, and all contexts, have in common.
pub(crate) struct Shared {
    pub(crate) cache: Arc<SessionCache<SslSession>>,
    pub(crate) routes: Routes,
    /// Unique to the store, so that a connection can name it without a counted reference.
    pub(crate) number: u64,
}

impl ServerStore {
    /// A store for at most `capacity` sessions, which are forgotten two hours after they were made.
    ///
    /// # Errors
    ///
    /// A capacity of 0, or one too large to allocate.
    pub fn new(capacity: impl Into<Capacity>) -> Result<Self, BuildError> {
        Self::builder().capacity(capacity).build()
    }

    /// Starts a store with more than a capacity.
    pub fn builder() -> ServerStoreBuilder {
        ServerStoreBuilder::new()
    }

    /// A store on a cache with another timeout, policy, weigher or hooks. The clock becomes
    /// [`UnixClock`], by which libssl dates sessions, and the cache watches removals.
    ///
    /// # Errors
    ///
    /// Those of [`SessionCacheBuilder::build`].
    pub fn build(builder: SessionCacheBuilder<SslSession>) -> Result<Self, BuildError> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let shared = Shared {
            cache: Arc::new(builder.clock(UnixClock).watch_removals(true).build()?),
            routes: Routes::default(),
            // ORDERING: Relaxed: only that no two are the same.
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
        };
        let shared = Arc::new(shared);
        Ok(Self { shared, reusable: false, max_age: MAX_AGE, resumptions: None })
    }

    /// Whether a TLS 1.3 session may be resumed more than once by contexts that are attached from
    /// this handle.
    ///
    /// Off by default: a lookup takes the session, so that of any number of connections that offer
    /// one ticket, one resumes. Turn it on only for peers that resume one session again and again,
    /// such as FTPS clients on their data channels. Early data are refused there.
    #[must_use]
    pub fn reusable(mut self, reusable: bool) -> Self {
        self.reusable = reusable;
        self
    }

    /// How long after a full handshake sessions may be resumed by contexts that are attached from
    /// this handle: 24 hours unless set.
    ///
    /// A resumption issues new tickets, from which the next one can resume, and so on. None of them
    /// lives longer than this, counted from the last full handshake. RFC 8446, section 4.6.1,
    /// recommends such a limit in its last paragraph, which takes the lifetime of the peer's
    /// certificate into account: the certificates of the client, where there are any, end its
    /// sessions too.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Has the contexts that are attached from this handle counted apart, by protocol and age: in
    /// the given counters, which may be those of one context or of several.
    #[must_use]
    pub fn count_in(mut self, resumptions: &Arc<Resumptions>) -> Self {
        self.resumptions = Some(Arc::clone(resumptions));
        self
    }

    /// Makes this the session cache of a context.
    ///
    /// - mode `SERVER | NO_INTERNAL | NO_AUTO_CLEAR`: libssl's own cache is out of use, and is not
    ///   locked at each 255th handshake to be swept;
    /// - the new, get and remove callbacks;
    /// - the info callback, which counts handshakes, ends those that resumed a session where it
    ///   does not belong, and then calls the one set before. A connection that was handed a session
    ///   gets it as its own, so that it is called also after a change to a context without a store;
    /// - the callback that allows early data, which does so only on a connection whose session was
    ///   taken from the cache for it alone;
    /// - an id context: a check, a digest of `name`, and a number of this context's own. Do not
    ///   change it;
    /// - the store's timeout as that of the context;
    /// - option `NO_TICKET`: TLS 1.2 resumes by session id, TLS 1.3 by stateful tickets. A program
    ///   that clears it has libssl resume by tickets of which the store knows nothing: no early
    ///   data are accepted then;
    /// - option `NO_ANTI_REPLAY`: libssl's protection of early data asks its own cache and refuses
    ///   whatever is not there. Here a ticket is found once, which is that protection.
    ///
    /// Whoever sets one of the callbacks afterwards takes its work away from the store.
    ///
    /// Contexts resume each other's sessions if, and only if, their names are equal. A session that
    /// a context of the same name made, such as the one before a certificate was renewed, is copied
    /// for this one; the object itself never crosses. Digest into the name everything that a
    /// resumed client must not be able to skip, above all how clients are authenticated.
    ///
    /// # Errors
    ///
    /// Those of libssl, when memory is exhausted.
    pub fn attach(&self, context: &mut SslContextBuilder, name: Context) -> Result<(), ErrorStack> {
        let store = ContextStore::new(self.clone(), &name);
        context.set_session_id_context(store.id_context().as_bytes())?;
        context.set_session_cache_mode(
            SslSessionCacheMode::SERVER
                | SslSessionCacheMode::NO_INTERNAL
                | SslSessionCacheMode::NO_AUTO_CLEAR,
        );
        context.set_options(SslOptions::NO_TICKET | NO_ANTI_REPLAY);
        ffi::set_timeout(context, self.shared.cache.timeout().as_secs());
        callbacks::install_server(context, store)
    }

    /// Takes the store away from a context, at any time, also while handshakes run there. Answers
    /// which one it was.
    ///
    /// What `attach` set on the context stays, so that it resumes nothing until a store is
    /// [attached again](Self::reattach): handshakes are full ones, those that resume already go on,
    /// and what they make is not stored.
    pub fn detach(context: &SslContextRef) -> Option<Self> {
        callbacks::server_at(context)?.leave()
    }

    /// Makes this the session cache of a context that was attached before, in place of the store
    /// that it may have; at any time, also while handshakes run there. In contrast to
    /// [`attach`](Self::attach) it sets nothing on the context.
    ///
    /// # Errors
    ///
    /// A context that was never attached, or was attached under another name.
    pub fn reattach(&self, context: &SslContextRef, name: Context) -> Result<(), ReattachError> {
        let attached = callbacks::server_at(context).ok_or(ReattachError::NeverAttached)?;
        attached.enter(self.clone(), &name)
    }

    /// The store of a context.
    pub fn of(context: &SslContextRef) -> Option<Self> {
        let present = callbacks::server_at(context)?.store();
        present.as_deref().map(|store| store.store().clone())
    }

    /// Ends every session of the contexts of one name at once, also of handshakes under way.
    /// Returns the generation that begins. Takes the same time whatever the number of sessions.
    ///
    /// For a set of client authorities that was replaced, or a key that was stolen. Give the new
    /// context to new connections first: a handshake that starts afterwards, in whichever context,
    /// is of the new generation.
    pub fn revoke(&self, name: Context) -> Generation {
        events::revoked();
        self.shared.cache.revoke(domain_of(&name))
    }

    /// The cache behind all contexts: to sweep, clear, set hooks, or walk over.
    pub fn cache(&self) -> &Arc<SessionCache<SslSession>> {
        &self.shared.cache
    }

    /// The cache as contexts of one name see it.
    pub fn view(&self, name: Context) -> View<'_, SslSession> {
        self.shared.cache.view(domain_of(&name))
    }

    /// All counters, handshakes included, over all contexts. Never contends with lookups.
    pub fn stats(&self) -> Stats {
        self.shared.cache.stats()
    }

    /// The counters with the limits beside them, for an exporter. Never contends with lookups.
    pub fn status(&self) -> Status {
        self.shared.cache.status()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn resumptions(&self) -> Option<&Resumptions> {
        self.resumptions.as_deref()
    }

    pub(crate) fn is_reusable(&self) -> bool {
        self.reusable
    }

    pub(crate) fn longest_age(&self) -> Duration {
        self.max_age
    }

    /// What a session is stored as, which lives for `timeout`.
    pub(crate) fn draft(
        session: &SslSessionRef,
        timeout: Duration,
    ) -> Result<SessionBuilder, Rejection> {
        if session.id().is_empty() {
            return Err(Rejection::NotResumable);
        }
        let key = Key::of(session).ok_or(Rejection::Context)?;
        let (created, _) = ffi::dates(session);
        // A clock that is read a moment later may show the next second.
        let now = UnixClock.now().as_secs();
        let created = if created == now + 1 { now } else { created };
        let builder =
            Session::<SslSession>::builder(key.id).context(key.domain).protocol(key.protocol);
        Ok(builder.created_at(created).timeout(timeout).resumable(ffi::is_resumable(session)))
    }
}

impl fmt::Debug for ServerStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerStore")
            .field("capacity", &self.shared.cache.capacity())
            .field("sessions", &self.shared.cache.len())
            .field("reusable", &self.reusable)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}
