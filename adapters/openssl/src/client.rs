//! The client's side: what to offer to a server that was met before.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslRef, SslSessionCacheMode};
use sessile::{BuildError, Capacity, Context, Mode, SessionCache, Stats, Status};

use crate::callbacks;
use crate::client_context::{ClientContext, digest_of};
use crate::clock::UnixClock;
use crate::ffi;
use crate::kept::{BYTES_PER_SERVER, Memory};
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
        Self::builder().capacity(capacity).build()
    }

    /// Starts a store with more than a capacity.
    pub fn builder() -> ClientStoreBuilder {
        ClientStoreBuilder { capacity: Capacity::Sessions(1024), timeout: LONGEST_LIFE }
    }

    /// How long after a full handshake sessions are offered by contexts that are attached from this
    /// handle: 24 hours unless set, and at most seven days. What a resumed connection is given ends
    /// with what it was resumed from.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age.min(LONGEST_LIFE);
        self
    }

    /// Has a context's connections remembered: mode `CLIENT | NO_INTERNAL`, the new and the remove
    /// callback, the info callback, which counts handshakes, keeps what a server renewed, and then
    /// calls the one set before, and an id context. The program's own new and remove callbacks are
    /// not called any more; one that it sets afterwards takes the place of the store's.
    ///
    /// Contexts of one name offer each other's sessions, as copies; a TLS 1.2 session whose
    /// connection broke in one of them is offered by none. Let the name tell which authorities are
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

    /// Forgets a server, by the name that [`offer`](Self::offer) was called with, in every context;
    /// answers how many entries that were. Walks over the whole store.
    pub fn forget(&self, server: &str) -> usize {
        let server = digest_of(server);
        self.cache.remove_if(|entry| entry.server == server)
    }

    /// Entries stored at this moment.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    /// Entries that can be stored.
    pub fn capacity(&self) -> usize {
        self.cache.capacity()
    }

    /// Forgets every server of every context; answers how many entries that were.
    pub fn clear(&self) -> usize {
        self.cache.clear()
    }

    /// All counters, handshakes included, over all contexts; in entries. Of `connect` handshakes,
    /// `resumed` resumed.
    pub fn stats(&self) -> Stats {
        self.cache.stats()
    }

    /// The counters with the limits beside them, for an exporter.
    pub fn status(&self) -> Status {
        self.cache.status()
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

/// Builds a [`ClientStore`]: [`ClientStore::builder`].
///
/// ```
/// # fn main() -> Result<(), sessile::BuildError> {
/// use sessile_openssl::ClientStore;
/// use std::time::Duration;
///
/// let store = ClientStore::builder()
///     .max_bytes(64 << 20)
///     .timeout(Duration::from_secs(24 * 60 * 60))
///     .build()?;
/// assert_eq!(store.capacity(), 1024);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct ClientStoreBuilder {
    capacity: Capacity,
    timeout: Duration,
}

impl ClientStoreBuilder {
    /// The largest number of entries; 1024 unless set.
    pub fn capacity(mut self, capacity: impl Into<Capacity>) -> Self {
        self.capacity = capacity.into();
        self
    }

    /// The largest number of entries such that their tickets and certificates take at most so many
    /// bytes together, 64 KiB for each entry; at least one entry. Sets
    /// [`capacity`](Self::capacity).
    pub fn max_bytes(self, bytes: usize) -> Self {
        self.capacity((bytes / BYTES_PER_SERVER).max(1))
    }

    /// How long a server is remembered after its last use: seven days unless set, and at most.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(LONGEST_LIFE);
        self
    }

    /// Builds the store.
    ///
    /// # Errors
    ///
    /// A capacity of 0, or one too large to allocate.
    pub fn build(self) -> Result<ClientStore, BuildError> {
        let mode = Mode { update_time: true, ..Mode::default() };
        let builder = SessionCache::builder().capacity(self.capacity).mode(mode).clock(UnixClock);
        let builder = builder.watch_removals(true);
        let cache = builder.timeout(self.timeout).build()?;
        Ok(ClientStore { cache: Arc::new(cache), max_age: MAX_AGE })
    }
}
