//! The client's side: what to offer to a server that was met before.
//!
//! A server has up to two entries in the cache, under one id, the SHA-256 of domain and name:
//!
//! - protocol tag TLS 1.3: a [`Shelf`] of tickets, each of which leaves it by an atomic swap, hence at most once;
//! - protocol tag TLS 1.2: the session, which may be offered again and again. A newer one replaces it in one step.
//!
//! libssl tells the new callback nothing but the connection; its extra data say which server that is.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_utils::atomic::AtomicCell;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslContextBuilder, SslRef, SslSession, SslSessionCacheMode, SslSessionRef};
use sessile::{
    BuildError, Capacity, Clock, Context, Handshake, Mode, Protocol, Session, SessionCache, SessionId, Stats,
    View,
};
use sha2::{Digest, Sha256};

use crate::attachment::Attachment;
use crate::callbacks;
use crate::clock::UnixClock;
use crate::domain::IdContext;
use crate::ffi;

/// TLS 1.3 tickets kept for one server.
const TICKETS_PER_SERVER: usize = 8;

/// Seconds for which a server is remembered after its last use: the longest life of a ticket, RFC 8446 4.6.1.
const IDLE_SECONDS: u64 = 7 * 24 * 60 * 60;

/// Boxed, because only one word can be swapped without a lock.
type Ticket = AtomicCell<Option<Box<SslSession>>>;

const _: () = assert!(Ticket::is_lock_free() && AtomicCell::<usize>::is_lock_free());
const _: () = assert!(TICKETS_PER_SERVER.is_power_of_two(), "positions wrap around");

/// What one entry of the cache holds.
enum Memory {
    Tls12(SslSession),
    Tls13(Shelf),
}

/// The TLS 1.3 tickets of one server; newest first out, oldest overwritten.
///
/// Tickets lie at the positions below `next`, modulo the ring's size. Threads that race for `next` can leave a gap, which
/// later takes step over.
#[derive(Default)]
struct Shelf {
    next: AtomicCell<usize>,
    tickets: [Ticket; TICKETS_PER_SERVER],
}

impl Shelf {
    fn put(&self, ticket: Box<SslSession>) {
        let position = self.next.fetch_add(1);
        self.slot(position).store(Some(ticket));
    }

    fn take(&self) -> Option<Box<SslSession>> {
        let next = self.next.load();
        (1..=TICKETS_PER_SERVER).find_map(|back| {
            let position = next.wrapping_sub(back);
            let ticket = self.slot(position).take()?;
            // Lost to another thread, the position stays above a gap.
            let _ = self.next.compare_exchange(next, position);
            Some(ticket)
        })
    }

    fn slot(&self, position: usize) -> &Ticket {
        &self.tickets[position % TICKETS_PER_SERVER]
    }
}

/// Remembers sessions for libssl clients, by a name that the program gives to each server.
///
/// For each server it keeps at most 8 TLS 1.3 tickets, each offered at most once, newest first, and one TLS 1.2 session.
/// The server least recently used leaves first, and one that was not used for seven days is forgotten.
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
}

/// A store as one context sees it.
#[derive(Debug)]
pub(crate) struct ContextMemory {
    store: ClientStore,
    id_context: IdContext,
    domain: Context,
}

impl ClientStore {
    /// A store of `capacity` entries: one for each server that speaks TLS 1.3, one for each that speaks TLS 1.2.
    ///
    /// # Errors
    ///
    /// A capacity of 0, or one too large to allocate.
    pub fn new(capacity: impl Into<Capacity>) -> Result<Self, BuildError> {
        let mode = Mode { update_time: true, ..Mode::default() };
        let builder = SessionCache::builder().capacity(capacity).mode(mode).clock(UnixClock);
        let cache = builder.timeout(Duration::from_secs(IDLE_SECONDS)).build()?;
        Ok(Self { cache: Arc::new(cache) })
    }

    /// Has a context's connections remembered: mode `CLIENT | NO_INTERNAL`, the new callback, the info callback, which
    /// counts handshakes and then calls the one set before, and an id context.
    ///
    /// Contexts of one name offer each other's sessions. Let the name tell what decides whether a server is trusted, and
    /// which certificate the client shows.
    ///
    /// # Errors
    ///
    /// Those of libssl, when memory is exhausted.
    pub fn attach(&self, context: &mut SslContextBuilder, name: Context) -> Result<(), ErrorStack> {
        let id_context = IdContext::new(&name);
        context.set_session_id_context(id_context.as_bytes())?;
        context.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        let store = ContextMemory { store: self.clone(), id_context, domain: id_context.domain() };
        callbacks::install_client(context, |former| Attachment { store, former })
    }

    /// Names the server that a connection is about to be made to, and offers it what is remembered of it. Answers whether
    /// there was something to offer; false also for a connection of a context that has no store.
    ///
    /// Call it before the handshake. Servers are the same if their names are: include the port.
    ///
    /// # Errors
    ///
    /// Those of libssl, when it refuses the session.
    pub fn offer(ssl: &mut SslRef, server: &str) -> Result<bool, ErrorStack> {
        let Some(memory) = callbacks::memory_at(ssl.ssl_context()) else { return Ok(false) };
        let id = memory.id_of(server);
        let session = memory.recall(&id);
        ssl.set_ex_data(server_index()?, id);
        let Some(session) = session else { return Ok(false) };
        // SAFETY: the session was made by a connection of this context, or copied for it.
        unsafe { ssl.set_session(&session)? };
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
}

impl ContextMemory {
    /// Remembers a session or ticket of the server that the connection was named after.
    pub(crate) fn keep(&self, ssl: &SslRef, session: SslSession) {
        let server = server_index().ok().and_then(|index| ssl.ex_data(index));
        let Some(id) = server.copied() else { return };
        if Protocol(ffi::session_version(&session)) != Protocol::TLS1_3 {
            let (_, timeout) = ffi::dates(&session);
            let builder = Session::<Memory>::builder(id).timeout(Duration::from_secs(timeout));
            let builder = builder.context(self.domain).protocol(Protocol::TLS1_2);
            return self.store_entry(builder.try_build(Memory::Tls12(session)).ok());
        }
        let view = self.view(Protocol::TLS1_3);
        if let Some(found) = view.get(&id) {
            if let Memory::Tls13(shelf) = &*found {
                shelf.put(Box::new(session));
            }
            return;
        }
        let shelf = Shelf::default();
        shelf.put(Box::new(session));
        let builder = Session::<Memory>::builder(id).context(self.domain).protocol(Protocol::TLS1_3);
        self.store_entry(builder.try_build(Memory::Tls13(shelf)).ok());
    }

    pub(crate) fn record(&self, event: Handshake) {
        self.store.cache.record(event);
    }

    /// An entry that is refused, or replaced by that of a thread that met the server at the same moment, is one full
    /// handshake more.
    fn store_entry(&self, entry: Option<Session<Memory>>) {
        if let Some(entry) = entry {
            let _ = self.store.cache.add(entry);
        }
    }

    /// The newest ticket that may be offered, else the session.
    fn recall(&self, id: &SessionId) -> Option<SslSession> {
        let ticket = self.view(Protocol::TLS1_3).read(id, |entry| match &**entry {
            Memory::Tls13(shelf) => std::iter::from_fn(|| shelf.take()).find(|ticket| is_current(ticket)),
            Memory::Tls12(_) => None,
        });
        if let Some(ticket) = ticket.flatten() {
            return self.for_this_context(&ticket);
        }
        let view = self.view(Protocol::TLS1_2);
        let found = view.get(id)?;
        let Memory::Tls12(session) = &*found else { return None };
        if !ffi::is_resumable(session) {
            // Its last connection broke.
            view.remove(&found);
            return None;
        }
        self.for_this_context(session)
    }

    fn for_this_context(&self, session: &SslSessionRef) -> Option<SslSession> {
        match IdContext::of(session)? {
            own if own == self.id_context => Some(session.to_owned()),
            _ => ffi::copy_for(session, self.id_context.as_bytes()),
        }
    }

    fn view(&self, protocol: Protocol) -> View<'_, Memory> {
        self.store.cache.view(self.domain).protocol(protocol)
    }

    /// The domain is in the id too, although the view keeps domains apart: sessions with one id share fourteen slots.
    fn id_of(&self, server: &str) -> SessionId {
        let digest = Sha256::new().chain_update(self.domain.as_bytes()).chain_update(server);
        SessionId::from(<[u8; 32]>::from(digest.finalize()))
    }
}

/// Whether libssl would offer the session: it refuses what is expired.
fn is_current(session: &SslSessionRef) -> bool {
    let (created, timeout) = ffi::dates(session);
    ffi::is_resumable(session) && UnixClock.now().as_secs() <= created.saturating_add(timeout)
}

/// The place of a server's id among the extra data of connections.
fn server_index() -> Result<Index<Ssl, SessionId>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, SessionId>> = OnceLock::new();
    match INDEX.get() {
        Some(index) => Ok(*index),
        None => {
            let made = Ssl::new_ex_index()?;
            Ok(*INDEX.get_or_init(|| made))
        }
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
