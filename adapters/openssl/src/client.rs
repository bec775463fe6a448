//! The client's side: what to offer to a server that was met before.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslRef, SslSessionCacheMode};
use sessile::{BuildError, Capacity, Context, Mode, SessionCache, Stats};

use crate::callbacks;
use crate::client_context::ClientContext;
use crate::clock::UnixClock;
use crate::ffi;
use crate::kept::Memory;
use crate::server::MAX_AGE;

/// The longest life of a ticket, RFC 8446, section 4.6.1: a server is remembered for so long after
/// its last use.
const LONGEST_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Remembers sessions for libssl clients, by a name that the program gives to each server.
///
/// For each server it keeps at most 8 TLS 1.3 tickets, each offered at most once, newest first, and
/// one TLS 1.2 session. The server least recently used leaves first, and one that was not used for
/// seven days is forgotten. Tickets and certificates of a server may take 64 KiB in each version:
/// the oldest tickets leave until the newest fits, and what is larger by itself is not kept.
///
/// A session is offered only by connections that verify the server exactly as the one that made it:
/// the verify mode and callback, the hosts, address and email, the flags, level and depth of its
/// verify parameters are part of the key. A connection that went on although verification failed
/// leaves its sessions to those that verify nothing; one with a set of authorities of its own
/// (`set_verify_cert_store`) leaves them to nobody. A verify callback is known by its function:
/// what else decides in it, such as a captured fingerprint, must be in the name given to
/// [`attach`](Self::attach) or [`offer`](Self::offer).
///
/// Cloning is cheap and gives another handle to the same memory.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use openssl::ssl::{SslConnector, SslMethod};
/// use sessile::Context;
/// use sessile_openssl::ClientStore;
///
/// let store = ClientStore::new(1024)?;
/// let mut builder = SslConnector::builder(SslMethod::tls_client())?;
/// store.attach(&mut builder, Context::NONE)?;
/// let connector = builder.build();
///
/// // For each connection:
/// let mut ssl = connector.configure()?.into_ssl("www.example.org")?;
/// ClientStore::offer(&mut ssl, "www.example.org:443")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ClientStore {
    cache: Arc<SessionCache<Memory>>,
    max_age: Duration,
}

impl ClientStore {
    /// A store of `capacity` entries: one for each server that speaks TLS 1.3, one for each that
    /// speaks TLS 1.2.
    ///
    /// # Errors
    ///
    /// A capacity of 0, or one too large to allocate.
    pub fn new(capacity: impl Into<Capacity>) -> Result<Self, BuildError> {
        let mode = Mode { update_time: true, ..Mode::default() };
        let builder = SessionCache::builder().capacity(capacity).mode(mode).clock(UnixClock);
        let cache = builder.timeout(LONGEST_LIFE).build()?;
        Ok(Self { cache: Arc::new(cache), max_age: MAX_AGE })
    }

    /// How long after a full handshake sessions are offered by contexts that are attached from this
    /// handle: 24 hours unless set, and at most seven days. What a resumed connection is given ends
    /// with what it was resumed from.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age.min(LONGEST_LIFE);
        self
    }

    /// Has a context's connections remembered: mode `CLIENT | NO_INTERNAL`, the new callback, the
    /// info callback, which counts handshakes, keeps what a server renewed, and then calls the one
    /// set before, and an id context.
    ///
    /// Contexts of one name offer each other's sessions. Let the name tell which authorities are
    /// trusted, and which certificate the client shows.
    ///
    /// # Errors
    ///
    /// Those of libssl, when memory is exhausted.
    pub fn attach(&self, context: &mut SslContextBuilder, name: Context) -> Result<(), ErrorStack> {
        let store = ClientContext::new(self.clone(), &name);
        context.set_session_id_context(store.id_context().as_bytes())?;
        context
            .set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        callbacks::install_client(context, store)
    }

    /// Names the server that a connection is about to be made to, and offers it what is remembered
    /// of it. Answers whether there was something to offer; false also for a connection of a
    /// context that has no store.
    ///
    /// Call it before the handshake, and after the settings that decide how the server is verified.
    /// If they are changed afterwards, nothing is resumed: before the handshake what was offered is
    /// withdrawn, later the handshake fails. Servers are the same if their names are: include the
    /// port.
    ///
    /// # Errors
    ///
    /// Those of libssl, when it refuses the session.
    pub fn offer(ssl: &mut SslRef, server: &str) -> Result<bool, ErrorStack> {
        let context = ssl.ssl_context().to_owned();
        let Some(store) = callbacks::client_at(&context) else { return Ok(false) };
        callbacks::watch(ssl)?;
        let Some(session) = store.visit(ssl, server)? else { return Ok(false) };
        ffi::offer(ssl, &session)?;
        Ok(true)
    }

    /// Forgets every server of every context; answers how many entries that were.
    pub fn clear(&self) -> usize {
        self.cache.clear()
    }

    /// All counters, handshakes included, over all contexts; in entries.
    pub fn stats(&self) -> Stats {
        self.cache.stats()
    }

    pub(crate) fn cache(&self) -> &SessionCache<Memory> {
        &self.cache
    }

    pub(crate) fn longest_age(&self) -> Duration {
        self.max_age
    }
}

impl fmt::Debug for ClientStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientStore")
            .field("capacity", &self.cache.capacity())
            .field("entries", &self.cache.len())
            .finish_non_exhaustive()
    }
}
