//! The client's side: what to offer to a server that was met before.
//!
//! A server has up to two entries in the cache, under one id, the SHA-256 of context and name:
//!
//! - protocol tag TLS 1.3: a [`Shelf`], made when the server is first heard of. It holds the key exchange group
//!   the server chose and a ring of tickets. It is shared and changed in place, by atomic swaps only, so that a
//!   ticket costs one lookup and no allocation in the cache, and the cache evicts whole servers.
//! - protocol tag TLS 1.2: the session. It does not change; a newer one replaces it in one step.
//!
//! A shelf can be evicted, or replaced by that of another thread which met the same server at the same moment,
//! while a thread still puts a ticket on it. The ticket is lost then, which costs a full handshake and no more.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_utils::atomic::AtomicCell;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use sessile::{
    Added, BuildError, Capacity, Context, Mode, Protocol, Session, SessionCache, SessionCacheBuilder,
};
use sessile::{SessionId, Stats, View};
use sha2::{Digest, Sha256};

/// TLS 1.3 tickets kept for one server; as many as rustls's own store keeps.
const TICKETS_PER_SERVER: usize = 8;

/// Seconds for which a server is remembered after its last use: the longest life of a ticket, RFC 8446 4.6.1.
const IDLE_SECONDS: u64 = 7 * 24 * 60 * 60;

type Ticket = AtomicCell<Option<Box<Tls13ClientSessionValue>>>;

const _: () = assert!(Ticket::is_lock_free() && AtomicCell::<usize>::is_lock_free());
const _: () = assert!(TICKETS_PER_SERVER.is_power_of_two(), "positions wrap around");

/// What one entry of the cache holds.
enum Memory {
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

/// The key exchange group and the TLS 1.3 tickets of one server; newest ticket first out, oldest overwritten.
///
/// Tickets lie at the positions below `next`, modulo the ring's size. A ticket leaves only by a swap, hence at
/// most once. Threads that race for `next` can leave a gap, which later takes step over.
#[derive(Default)]
struct Shelf {
    /// The group's code point; 0, which TLS reserves, for none.
    group: AtomicCell<u16>,
    next: AtomicCell<usize>,
    tickets: [Ticket; TICKETS_PER_SERVER],
}

impl Shelf {
    fn set_group(&self, group: NamedGroup) {
        self.group.store(u16::from(group));
    }

    fn group(&self) -> Option<NamedGroup> {
        Some(self.group.load()).filter(|code| *code != 0).map(NamedGroup::from)
    }

    fn put(&self, ticket: Box<Tls13ClientSessionValue>) {
        let position = self.next.fetch_add(1);
        self.slot(position).store(Some(ticket));
    }

    fn take(&self) -> Option<Box<Tls13ClientSessionValue>> {
        let next = self.next.load();
        (1..=TICKETS_PER_SERVER).find_map(|back| {
            let position = next.wrapping_sub(back);
            let ticket = self.slot(position).take()?;
            // Lost to another thread, the position stays above a gap.
            let _ = self.next.compare_exchange(next, position);
            Some(ticket)
        })
    }

    /// Moves over what `older` holds, up to its size.
    fn inherit(&self, older: &Self) {
        if let Some(group) = older.group() {
            let _ = self.group.compare_exchange(0, u16::from(group));
        }
        for _ in 0..TICKETS_PER_SERVER {
            let Some(ticket) = older.take() else { break };
            self.put(ticket);
        }
    }

    fn slot(&self, position: usize) -> &Ticket {
        &self.tickets[position % TICKETS_PER_SERVER]
    }
}

/// Remembers sessions for rustls clients: by server, bounded in servers and in tickets for each.
///
/// For each server name it keeps at most 8 TLS 1.3 tickets, newest first, each given out at most once; one
/// TLS 1.2 session; and the key exchange group the server chose. A server that speaks TLS 1.3 takes one entry
/// of the capacity, one that falls back to TLS 1.2 takes one or two. The server least recently used leaves
/// first, and one that was not used for seven days is forgotten.
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
}

impl ClientStore {
    /// A store of `capacity` entries.
    ///
    /// # Errors
    ///
    /// A capacity of 0, or one too large to allocate.
    pub fn new(capacity: impl Into<Capacity>) -> Result<Self, BuildError> {
        Self::build(SessionCache::builder().capacity(capacity))
    }

    fn build(builder: SessionCacheBuilder<Memory>) -> Result<Self, BuildError> {
        let mode = Mode { update_time: true, ..Mode::default() };
        let cache = builder.mode(mode).timeout(Duration::from_secs(IDLE_SECONDS)).build()?;
        Ok(Self { cache: Arc::new(cache) })
    }

    /// The store for one set of client configurations; what [`Resumption::store`] takes.
    ///
    /// rustls lets a configuration use only those sessions that were made with the same verifier and client
    /// credentials, and drops the others. Configurations that differ in them do not spend each other's tickets
    /// if they have a context each.
    ///
    /// [`Resumption::store`]: rustls::client::Resumption::store
    pub fn for_context(&self, context: Context) -> Arc<ClientContextStore> {
        Arc::new(ClientContextStore { cache: Arc::clone(&self.cache), context })
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

    /// The counters of the cache behind the store, in entries, over all contexts.
    pub fn stats(&self) -> Stats {
        self.cache.stats()
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
/// No call blocks or locks: lookups are those of the cache, and within an entry each call takes at most nine
/// atomic swaps.
#[derive(Clone)]
pub struct ClientContextStore {
    cache: Arc<SessionCache<Memory>>,
    context: Context,
}

impl ClientContextStore {
    fn view(&self, protocol: Protocol) -> View<'_, Memory> {
        self.cache.view(self.context).protocol(protocol)
    }

    fn entry(&self, id: SessionId, protocol: Protocol, memory: Memory) -> Option<Session<Memory>> {
        Session::<Memory>::builder(id).context(self.context).protocol(protocol).try_build(memory).ok()
    }

    /// Runs `edit` on the shelf of `server`, which is made where there is none.
    fn edit(&self, server: &ServerName<'_>, edit: impl FnOnce(&Shelf)) {
        let id = id_of(self.context, server);
        let view = self.view(Protocol::TLS1_3);
        if let Some(found) = view.get(&id) {
            found.shelf().map(edit);
            return;
        }
        let Some(made) = self.entry(id, Protocol::TLS1_3, Memory::Tls13(Shelf::default())) else { return };
        let Some(shelf) = made.shelf() else { return };
        edit(shelf);
        if let Ok(Added::Replaced(older)) = view.add(made.clone()) {
            older.shelf().into_iter().for_each(|older| shelf.inherit(older));
        }
    }
}

impl ClientSessionStore for ClientContextStore {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.edit(&server_name, |shelf| shelf.set_group(group));
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.view(Protocol::TLS1_3).read(&id_of(self.context, server_name), |entry| entry.shelf()?.group())?
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        if let Some(entry) =
            self.entry(id_of(self.context, &server_name), Protocol::TLS1_2, Memory::Tls12(value))
        {
            // A session that the cache refuses is one full handshake more.
            let _ = self.view(Protocol::TLS1_2).add(entry);
        }
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.view(Protocol::TLS1_2).read(&id_of(self.context, server_name), |entry| entry.tls12().cloned())?
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.view(Protocol::TLS1_2).remove_id(&id_of(self.context, server_name));
    }

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.edit(&server_name, |shelf| shelf.put(Box::new(value)));
    }

    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let ticket = self
            .view(Protocol::TLS1_3)
            .read(&id_of(self.context, server_name), |entry| entry.shelf()?.take())?;
        ticket.map(|ticket| *ticket)
    }
}

impl fmt::Debug for ClientContextStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientContextStore").field("capacity", &self.cache.capacity()).finish_non_exhaustive()
    }
}

/// Names of hosts are equal whatever the case of their letters; an address is never equal to a name.
///
/// The context is in the id too, although the view keeps contexts apart: many configurations may know one server, and
/// sessions with one id share fourteen slots of the cache.
fn id_of(context: Context, server: &ServerName<'_>) -> SessionId {
    let kind = [u8::from(matches!(server, ServerName::DnsName(_)))];
    let digest = Sha256::new().chain_update(context.as_bytes()).chain_update(kind);
    let digest = digest.chain_update(server.to_str().to_ascii_lowercase());
    SessionId::from(<[u8; 32]>::from(digest.finalize()))
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
        let store = ClientStore::build(builder).unwrap().for_context(Context::NONE);
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
        let id = |name: &str| id_of(Context::NONE, &ServerName::try_from(name.to_owned()).unwrap());
        assert_eq!(id("www.example.org"), id("WWW.Example.ORG"));
        assert_ne!(id("www.example.org"), id("example.org"));
        assert_eq!(id("2001:db8::1"), id("2001:0DB8:0:0:0:0:0:1"));
        assert_ne!(id("192.0.2.1"), id("192.0.2.10"));
    }
}
