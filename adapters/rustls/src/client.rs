//! The client's side: what to offer to a server that was met before.
//!
//! A server has up to two entries in the cache, under one id, the SHA-256 of context and name:
//!
//! - protocol tag TLS 1.3: a [`Shelf`], made when the server is first heard of. It holds the key
//!   exchange group the server chose and its tickets. It is shared and changed in place, so that a
//!   ticket costs one lookup and no allocation in the cache, and the cache evicts whole servers.
//! - protocol tag TLS 1.2: the session. It does not change; a newer one replaces it in one step.
//!
//! A shelf can be evicted while a thread still puts a ticket on it. The ticket is lost then, which
//! costs a full handshake and no more. Threads that meet one server at the same moment lose nothing
//! to each other ([`TicketRing::put_into_entry`]), unless the cache refuses an entry meanwhile.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use sessile::{Added, BuildError, Capacity, Context, Mode, Protocol, Session, SessionCache};
use sessile::{SessionCacheBuilder, SessionId, Stats, Status, TicketRing, View, Watch};
use sha2::{Digest, Sha256};

use crate::client_builder::ClientStoreBuilder;
use crate::offers::{Counted, Offers};
use crate::shelf::{self, Shelf, Ticket};
use crate::window::{Bound, Windows};

/// For how long a server is remembered after its last use, and the longest life of a ticket, RFC
/// 8446 4.6.1.
pub(crate) const SEVEN_DAYS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What one entry of the cache holds.
pub(crate) enum Memory {
    Tls12(Tls12ClientSessionValue),
    Tls13(Shelf),
}

impl Memory {
    fn tls12(&self) -> Option<&Tls12ClientSessionValue> {
        match self {
            Self::Tls12(session) => Some(session),
            Self::Tls13(_) => None,
        }
    }

    fn shelf(&self) -> Option<&Shelf> {
        match self {
            Self::Tls12(_) => None,
            Self::Tls13(shelf) => Some(shelf),
        }
    }
}

/// Remembers sessions for rustls clients: by server, bounded in servers and in tickets for each.
///
/// For each server name it keeps at most 8 TLS 1.3 tickets, newest first, each given out at most
/// once; one TLS 1.2 session; and the key exchange group the server chose. A server that speaks TLS
/// 1.3 takes one entry of the capacity, one that falls back to TLS 1.2 takes one or two. The server
/// least recently used leaves first, and one that was not used for seven days is forgotten.
///
/// An entry is at most 16 KiB large, counted in bytes of tickets and of certificates, which the
/// server chooses: the oldest tickets leave until the newest fits, and a session that is larger by
/// itself is not kept. The capacity thus bounds the memory too. Counting takes about 9 ns a byte,
/// for which a session of rustls is formatted; with a chain of 3 KiB that is 30 µs for each ticket
/// received.
///
/// Cloning is cheap and gives another handle to the same memory.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use rustls::client::Resumption;
/// use rustls::{ClientConfig, RootCertStore};
/// use sessile::Context;
/// use sessile_rustls::ClientStore;
///
/// let mut config = ClientConfig::builder()
///     .with_root_certificates(RootCertStore::empty())
///     .with_no_client_auth();
/// config.resumption = Resumption::store(ClientStore::new(1024)?.for_context(Context::NONE));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ClientStore {
    cache: Arc<SessionCache<Memory>>,
    offers: Arc<Counted>,
    windows: Windows,
}

impl ClientStore {
    /// A store of `capacity` entries.
    ///
    /// # Errors
    ///
    /// A capacity of 0, or one too large to allocate.
    pub fn new(capacity: impl Into<Capacity>) -> Result<Self, BuildError> {
        Self::builder().capacity(capacity).build()
    }

    /// Starts a store with more than a capacity.
    pub fn builder() -> ClientStoreBuilder {
        ClientStoreBuilder::new()
    }

    pub(crate) fn from_builder(builder: SessionCacheBuilder<Memory>) -> Result<Self, BuildError> {
        let mode = Mode { update_time: true, ..Mode::default() };
        let cache = Arc::new(builder.mode(mode).watch_removals(true).build()?);
        let offers = Arc::default();
        Ok(Self { cache, offers, windows: Windows::new(SEVEN_DAYS) })
    }

    /// How long a session may be resumed, counting those that were made by resuming it: seven days
    /// unless set. In whole seconds, at least one.
    ///
    /// Also a server that is used every hour is then authenticated anew by a full handshake once in
    /// that time. Time is divided into windows of this length, for each server at another moment,
    /// and what was stored in one is not offered in the next. After a resumption in the last minute
    /// of a window nothing is stored in the first minute of the next. (Of a window below six hours,
    /// its 360th part.) A TLS 1.3 server may send tickets later, on a connection that was resumed
    /// in an earlier window: close connections that last for days.
    ///
    /// The choice belongs to this handle and to those made from it.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.windows = Windows::new(max_age);
        self
    }

    /// The store for one set of client configurations; what [`Resumption::store`] takes.
    ///
    /// rustls lets a configuration use only those sessions that were made with the same verifier
    /// and client credentials, and drops the others. Configurations that differ in them do not
    /// spend each other's tickets if they have a context each.
    ///
    /// [`Resumption::store`]: rustls::client::Resumption::store
    pub fn for_context(&self, context: Context) -> Arc<ClientContextStore> {
        Arc::new(ClientContextStore {
            cache: Arc::clone(&self.cache),
            offers: Arc::clone(&self.offers),
            context,
            bound: Arc::new(Bound::new(self.windows)),
        })
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

    /// The counters of the cache behind the store, in entries, over all contexts. Its lookups are
    /// of entries, also for a key exchange hint or to put a ticket in: how often a server could be
    /// offered a session, [`offers`](Self::offers) tells.
    pub fn stats(&self) -> Stats {
        self.cache.stats()
    }

    /// The counters of the cache with the limits beside them, for an exporter.
    pub fn status(&self) -> Status {
        self.cache.status()
    }

    /// How many handshakes began, and how many of them had a session to offer, over all contexts.
    pub fn offers(&self) -> Offers {
        self.offers.snapshot()
    }
}

impl fmt::Debug for ClientStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientStore")
            .field("capacity", &self.capacity())
            .field("entries", &self.len())
            .finish_non_exhaustive()
    }
}

/// A [`ClientStore`] seen from one [`Context`]; made by [`ClientStore::for_context`].
///
/// No call blocks or locks: lookups are those of the cache, and what happens within an entry is
/// lock-free.
#[derive(Clone)]
pub struct ClientContextStore {
    cache: Arc<SessionCache<Memory>>,
    offers: Arc<Counted>,
    context: Context,
    bound: Arc<Bound>,
}

impl ClientContextStore {
    /// Forgets a server: its tickets, its session and the group it chose.
    pub fn forget(&self, server: &ServerName<'_>) {
        let id = SessionId::from(self.digest_of(server));
        for protocol in [Protocol::TLS1_2, Protocol::TLS1_3] {
            self.view(protocol).remove_id(&id);
        }
    }

    fn view(&self, protocol: Protocol) -> View<'_, Memory> {
        self.cache.view(self.context).protocol(protocol)
    }

    fn now(&self) -> u64 {
        self.cache.now().as_secs()
    }

    fn digest_of(&self, server: &ServerName<'_>) -> [u8; 32] {
        digest_of(self.context, server)
    }

    /// The entry of a server with its shelf, made where there is none, with these tickets in it.
    fn put(&self, id: SessionId, tickets: Vec<(Ticket, usize)>) -> Option<Session<Memory>> {
        // First: tickets that move from one entry to another do not outlive `forget`.
        let watch = self.view(Protocol::TLS1_3).watch(&id);
        TicketRing::put_into_entry(
            tickets,
            || self.entry(id, watch),
            |entry| entry.shelf().map(Shelf::tickets),
        )
    }

    /// The entry of a server with its shelf, and the one that it has replaced just now.
    fn entry(
        &self,
        id: SessionId,
        watch: Watch,
    ) -> Option<(Session<Memory>, Option<Session<Memory>>)> {
        let view = self.view(Protocol::TLS1_3);
        if let Some(found) = view.get(&id) {
            // An entry that came after a removal gets nothing from before it.
            return (!self.cache.has_removed_since(watch)).then_some((found, None));
        }
        let builder =
            Session::<Memory>::builder(id).context(self.context).protocol(Protocol::TLS1_3);
        let made = builder.try_build(Memory::Tls13(Shelf::default())).ok()?;
        // An entry that is refused costs the ticket, and those of an entry that it was to follow: a
        // full handshake for each.
        let Added::Replaced(older) = self.cache.add_unless_removed(made.clone(), watch).ok()?
        else {
            return Some((made, None));
        };
        // Another thread met the server at the same moment.
        if let (Some(shelf), Some(older)) = (made.shelf(), older.shelf()) {
            shelf.inherit_group(older);
        }
        Some((made, Some(older)))
    }
}

impl ClientSessionStore for ClientContextStore {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        // In an entry that is replaced at this moment the group may be lost, which costs one hello
        // more.
        let entry = self.put(self.digest_of(&server_name).into(), Vec::new());
        if let Some(shelf) = entry.as_deref().and_then(Memory::shelf) {
            shelf.set_group(group);
        }
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        let id = SessionId::from(self.digest_of(server_name));
        self.view(Protocol::TLS1_3).read(&id, |entry| entry.shelf()?.group())?
    }

    /// rustls stores a session anew after each resumption, and dates it anew. The end of the window
    /// bounds that.
    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        let digest = self.digest_of(&server_name);
        if shelf::size_of(&value).is_none() {
            return;
        }
        let Some(last_second) = self.bound.last_second(self.now(), &digest) else { return };
        let builder = Session::<Memory>::builder(digest.into()).context(self.context);
        let builder = builder.protocol(Protocol::TLS1_2).deadline(last_second);
        if let Ok(entry) = builder.try_build(Memory::Tls12(value)) {
            // A session that the cache refuses is one full handshake more.
            let _ = self.view(Protocol::TLS1_2).add(entry);
        }
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        let digest = self.digest_of(server_name);
        let view = self.view(Protocol::TLS1_2);
        let now = self.now();
        let end = self.bound.end(now, &digest);
        let session = view.read(&digest.into(), |entry| {
            // One of a handle with another maximum age would lead out of this window.
            let is_of_window = entry.deadline().is_some_and(|deadline| deadline.as_secs() == end);
            entry.tls12().filter(|_| is_of_window).cloned()
        })??;
        self.bound.note_resumption(now, &digest);
        self.offers.offered();
        Some(session)
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.view(Protocol::TLS1_2).remove_id(&self.digest_of(server_name).into());
    }

    fn insert_tls13_ticket(
        &self,
        server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        let digest = self.digest_of(&server_name);
        // What is too large is not kept.
        let (Some(last_second), Some(bytes)) =
            (self.bound.last_second(self.now(), &digest), shelf::size_of(&value))
        else {
            return;
        };
        self.put(digest.into(), vec![(Ticket { value, last_second }, bytes)]);
    }

    fn take_tls13_ticket(
        &self,
        server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        self.offers.began();
        let (digest, now) = (self.digest_of(server_name), self.now());
        let end = self.bound.end(now, &digest);
        let view = self.view(Protocol::TLS1_3);
        let ticket = view.read(&digest.into(), |entry| entry.shelf()?.take(end))??;
        self.bound.note_resumption(now, &digest);
        self.offers.offered();
        Some(ticket)
    }
}

impl fmt::Debug for ClientContextStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientContextStore")
            .field("capacity", &self.cache.capacity())
            .finish_non_exhaustive()
    }
}

/// Names of hosts are equal whatever the case of their letters; an address is never equal to a
/// name.
///
/// The digest is the id of both entries. The context is in it too, although the view keeps contexts
/// apart: many configurations may know one server, and sessions with one id share fourteen slots of
/// the cache.
fn digest_of(context: Context, server: &ServerName<'_>) -> [u8; 32] {
    let kind = [u8::from(matches!(server, ServerName::DnsName(_)))];
    let digest = Sha256::new().chain_update(context.as_bytes()).chain_update(kind);
    let digest = digest.chain_update(server.to_str().to_ascii_lowercase());
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sessile::ManualClock;

    const DAY: u64 = 24 * 60 * 60;

    #[test]
    fn a_server_is_forgotten_seven_days_after_its_last_use() {
        let clock = Arc::new(ManualClock::new(1_000_000));
        let builder = SessionCache::builder().capacity(100).clock(Arc::clone(&clock));
        let builder = builder.timeout(SEVEN_DAYS);
        let store = ClientStore::from_builder(builder).unwrap().for_context(Context::NONE);
        let server = ServerName::try_from("localhost").unwrap();

        store.set_kx_hint(server.clone(), NamedGroup::X25519);
        for _ in 0..3 {
            clock.advance(6 * DAY);
            assert_eq!(store.kx_hint(&server), Some(NamedGroup::X25519));
        }
        clock.advance(7 * DAY);
        assert_eq!(store.kx_hint(&server), Some(NamedGroup::X25519), "to the last second");
        clock.advance(7 * DAY + 1);
        assert_eq!(store.kx_hint(&server), None);
    }

    #[test]
    fn names_are_equal_in_any_case_and_never_equal_to_addresses() {
        let id =
            |name: &str| digest_of(Context::NONE, &ServerName::try_from(name.to_owned()).unwrap());
        assert_eq!(id("www.example.org"), id("WWW.Example.ORG"));
        assert_ne!(id("www.example.org"), id("example.org"));
        assert_eq!(id("2001:db8::1"), id("2001:0DB8:0:0:0:0:0:1"));
        assert_ne!(id("192.0.2.1"), id("192.0.2.10"));
    }
}
