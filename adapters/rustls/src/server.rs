//! The server's side: one cache, seen by each `ServerConfig` from its own context.
//!
//! rustls stores a session under a random key of 32 bytes and fetches it back by `get` (TLS 1.2) or
//! by `take` (TLS 1.3, once per ticket that a client offers). The keys it looks up are whatever the
//! peer sent, and it looks before it knows whether the peer has the session's secret.
//!
//! A session is fit for early data only once: when a `take` removes it from the cache. Whatever is
//! handed out otherwise, a copy of what stays or the answer of a second tier, is made unfit.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::StoresServerSessions;
use sessile::{
    BuildError, Capacity, Context, Generation, Secret, Session, SessionCache, SessionId,
};
use sessile::{SessionCacheBuilder, Source, Stats, Status, View};
use sha2::{Digest, Sha256};

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
        Self::build(SessionCache::builder().capacity(capacity))
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
        Self { cache, reusable: false, windows: Windows::new(MAX_AGE) }
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

/// A [`ServerStore`] seen from one [`Context`]; made by [`ServerStore::for_context`].
///
/// No call blocks, locks or spawns: `put` and `take` are lock-free, `get` does not write to shared
/// memory on a hit beyond what the eviction policy needs. A session is wiped when the cache and
/// every reader let go of it.
#[derive(Clone)]
pub struct ServerContextStore {
    cache: Arc<SessionCache<Secret>>,
    context: Context,
    reusable: bool,
    bound: Arc<Bound>,
    /// Shifts the windows of this context.
    digest: [u8; 32],
    /// The one in which this was made: that of the configuration's handshakes.
    generation: Generation,
}

impl ServerContextStore {
    /// The context whose sessions this store sees.
    pub fn context(&self) -> Context {
        self.context
    }

    fn view(&self) -> View<'_, Secret> {
        self.cache.view(self.context)
    }

    /// Whether the context was revoked after this was made.
    fn is_revoked(&self) -> bool {
        self.cache.is_revoked(&self.context, self.generation)
    }

    fn now(&self) -> u64 {
        self.cache.now().as_secs()
    }

    /// What rustls is given of a session that was found.
    fn hand_out(&self, session: &Session<Secret>, is_original: bool) -> Option<Vec<u8>> {
        let now = self.now();
        // A session that carries the end of a window must be of this one: that of a handle with
        // another maximum age would lead out of it. A second tier may have lost the end; then the
        // window is that of the creation.
        let created = match session.deadline() {
            Some(end) if end.as_secs() != self.bound.end(now, &self.digest) => return None,
            Some(_) => session.created_at()?.as_secs(),
            None => value::created_at(session)?,
        };
        if !self.bound.is_current(created, now, &self.digest) {
            return None;
        }
        self.bound.note_resumption(now, &self.digest);
        match value::is_tls13(session) && !is_original {
            true => value::without_early_data(session),
            false => Some(session.to_vec()),
        }
    }

    /// A copy of a session that stays.
    fn copy(&self, id: &SessionId, accept: impl Fn(&Session<Secret>) -> bool) -> Option<Vec<u8>> {
        let (view, supplied) = (self.view(), Cell::new(None));
        // The cache keeps what it accepts of a second tier. A TLS 1.3 session must not be kept: the
        // original may be spent, and the next `take` would find it again. So it is refused, and
        // handed out nevertheless.
        let found = view.get_if(id, |session| {
            let is_accepted = accept(session);
            let is_stored =
                || view.peek(id).is_some_and(|stored| Session::ptr_eq(&stored, session));
            if !is_accepted || !value::is_tls13(session) || is_stored() {
                return is_accepted;
            }
            supplied.set(Some(session.clone()));
            false
        });
        let session = found.map(|(session, _)| session).or_else(|| supplied.take())?;
        self.hand_out(&session, false)
    }

    fn take_once(&self, id: &SessionId) -> Option<Vec<u8>> {
        let (session, source) = self.view().take_if(id, |session| !value::is_tls12(session))?;
        // Of a second tier, only what can be made unfit.
        let is_original = source == Source::Cache;
        if !is_original && !value::is_tls13(&session) {
            return None;
        }
        self.hand_out(&session, is_original)
    }
}

impl StoresServerSessions for ServerContextStore {
    /// Stores `value`, in place of what was stored under `key`. False, and `value` is wiped, for a
    /// key that is empty or longer than 32 bytes, while the handshake may be one of an earlier
    /// window ([`ServerStore::max_age`]), after a revocation ([`ServerStore::revoke`]), and where
    /// the cache refuses the session.
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let secret = Secret::from(value);
        let Ok(id) = SessionId::new(&key) else { return false };
        let Some(last_second) = self.bound.last_second(self.now(), &self.digest) else {
            return false;
        };
        let session = Session::<Secret>::builder(id)
            .context(self.context)
            .generation(self.generation)
            .deadline(last_second)
            .try_build(secret);
        let Ok(session) = session else { return false };
        match self.view().add(session) {
            Ok(added) => added.changed(),
            Err(rejected) => {
                events::refused(rejected.reason());
                false
            }
        }
    }

    /// A copy of what is stored under `key`, which stays. rustls asks so for TLS 1.2 sessions; a
    /// session of TLS 1.3 is answered by a [`reusable`](ServerStore::reusable) store only.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let id = SessionId::new(key).ok()?;
        if self.is_revoked() {
            return None;
        }
        self.copy(&id, |session| self.reusable || !value::is_tls13(session))
    }

    /// What is stored under `key`. It is gone afterwards, and of any number of racing callers one
    /// gets it, unless the store is [`reusable`](ServerStore::reusable). rustls asks so for TLS 1.3
    /// sessions; one of TLS 1.2 stays and is not answered.
    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let id = SessionId::new(key).ok()?;
        if self.is_revoked() {
            return None;
        }
        match self.reusable {
            true => self.copy(&id, |session| value::is_tls13(session)),
            false => self.take_once(&id),
        }
    }

    fn can_cache(&self) -> bool {
        self.cache.mode().store && !self.is_revoked()
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
