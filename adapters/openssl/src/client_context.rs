//! A client's store as one context sees it: what the callbacks work on.
//!
//! A server has up to two entries in the cache, under one id, the SHA-256 of domain, assurance and
//! name:
//!
//! - protocol tag TLS 1.3: a [`TicketRing`], from which each ticket is taken at most once;
//! - protocol tag TLS 1.2: the session, which may be offered again and again. A newer one replaces
//!   it in one step.
//!
//! The assurance is part of the id, so that what was made without verification, or with a weaker
//! one, does not exist for a connection that verifies. libssl tells the new callback nothing but
//! the connection; its extra data say which server that is, and what was offered.
#![forbid(unsafe_code)]

use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{SslRef, SslSession, SslSessionRef};
use sessile::{
    Added, Clock, Context, Handshake, Protocol, Session, SessionCache, SessionId, TicketRing,
    Timestamp, View, Watch,
};
use sha2::{Digest, Sha256};

use crate::assurance::Assurance;
use crate::attachment::Slot;
use crate::client::ClientStore;
use crate::clock::UnixClock;
use crate::domain::IdContext;
use crate::ffi::{self, Moment};
use crate::kept::{self, BYTES_PER_SERVER, Ending, Kept, Memory, Sessions};
use crate::peer;

static VISITS: Slot<Visit> = Slot::new();

/// A connection to a server that the program named.
struct Visit {
    /// A digest of the name.
    server: [u8; 32],
    /// What the connection demanded when it was named.
    assurance: Option<Assurance>,
    offered: Option<Kept>,
    /// Where the handshake started, and has been ever since; else none. What another context's
    /// authorities vouched for is no other's.
    domain: Option<Context>,
    /// The handshake has ended, or was ended.
    is_over: bool,
}

/// A store at one context.
#[derive(Debug)]
pub(crate) struct ClientContext {
    store: ClientStore,
    id_context: IdContext,
    domain: Context,
}

impl ClientContext {
    pub(crate) fn new(store: ClientStore, name: &Context) -> Self {
        let id_context = IdContext::new(name);
        Self { store, id_context, domain: id_context.domain() }
    }

    pub(crate) fn id_context(&self) -> &IdContext {
        &self.id_context
    }

    fn cache(&self) -> &SessionCache<Memory> {
        self.store.cache()
    }

    pub(crate) fn record(&self, event: Handshake) {
        self.cache().record(event);
    }

    /// Names the server of a connection and answers what it may offer.
    pub(crate) fn visit(
        &self,
        ssl: &mut SslRef,
        server: &str,
    ) -> Result<Option<SslSession>, ErrorStack> {
        let (server, assurance) = (digest_of(server), Assurance::demanded(ssl));
        let offered = assurance.and_then(|assurance| self.recall(&self.id_of(&server, &assurance)));
        let session = offered.as_ref().map(|kept| kept.session.clone());
        VISITS.fill(ssl, Visit { server, assurance, offered, domain: None, is_over: false })?;
        Ok(session)
    }

    /// Remembers a session or ticket of the server that the connection was named after.
    pub(crate) fn keep(&self, ssl: &SslRef, session: SslSession) {
        let Some(visit) = VISITS.at(ssl) else { return };
        let is_made_here = IdContext::of(&session).is_some_and(|made| made.domain() == self.domain);
        if !is_made_here || visit.domain != Some(self.domain) {
            return;
        }
        let Some(assurance) = Assurance::attained(ssl) else { return };
        let Some((authenticated, deadline)) = self.bounds(ssl, visit, &assurance) else { return };
        let id = self.id_of(&visit.server, &assurance);
        let bytes = kept::size_of(ssl, &session);
        if bytes > BYTES_PER_SERVER {
            // One full handshake more.
            return;
        }
        let kept = Kept { session, authenticated, deadline };
        match Protocol(ffi::session_version(&kept.session)) {
            Protocol::TLS1_3 => self.keep_ticket(id, visit.server, kept, bytes),
            _ => self.keep_session(id, visit.server, kept),
        }
    }

    fn keep_ticket(&self, id: SessionId, server: [u8; 32], kept: Kept, bytes: usize) {
        // First: tickets that move from one entry to another do not outlive `forget`.
        let watch = self.view(Protocol::TLS1_3).watch(&id);
        let entry = || self.entry_with_tickets(id, server, watch);
        // An entry that is refused costs the ticket, and those of an entry that it was to follow: a
        // full handshake for each.
        let _ = TicketRing::put_into_entry(vec![(kept, bytes)], entry, |entry| {
            entry.sessions.tickets()
        });
    }

    /// The entry of a server with its tickets, made where there is none, and the one that it has
    /// replaced just now: another thread met the server at the same moment.
    fn entry_with_tickets(
        &self,
        id: SessionId,
        server: [u8; 32],
        watch: Watch,
    ) -> Option<(Session<Memory>, Option<Session<Memory>>)> {
        if let Some(found) = self.view(Protocol::TLS1_3).get(&id) {
            // An entry that came after a removal gets nothing from before it.
            return (!self.cache().has_removed_since(watch)).then_some((found, None));
        }
        let builder =
            Session::<Memory>::builder(id).context(self.domain).protocol(Protocol::TLS1_3);
        let sessions = Sessions::Tls13(TicketRing::new(BYTES_PER_SERVER as u32));
        let made = builder.try_build(Memory { server, sessions }).ok()?;
        match self.cache().add_unless_removed(made.clone(), watch).ok()? {
            Added::Replaced(older) => Some((made, Some(older))),
            _ => Some((made, None)),
        }
    }

    fn keep_session(&self, id: SessionId, server: [u8; 32], kept: Kept) {
        if !Ending::expect(&kept.session) {
            return;
        }
        let (_, timeout) = ffi::dates(&kept.session);
        let builder = Session::<Memory>::builder(id).timeout(Duration::from_secs(timeout));
        // A use dates the entry anew, up to the session's own end.
        let builder =
            builder.deadline(kept.expiry()).context(self.domain).protocol(Protocol::TLS1_2);
        let sessions = Sessions::Tls12(kept);
        if let Ok(entry) = builder.try_build(Memory { server, sessions }) {
            // An entry that is refused is one full handshake more.
            let _ = self.cache().add(entry);
        }
    }

    /// The full handshake behind what this connection is given, and the end of it: a resumption
    /// does not move them. `None` if the connection resumed what it was not offered here.
    fn bounds(
        &self,
        ssl: &SslRef,
        visit: &Visit,
        assurance: &Assurance,
    ) -> Option<(Timestamp, Timestamp)> {
        if ssl.session_reused() {
            let offered = visit.offered.as_ref().filter(|_| visit.assurance == Some(*assurance))?;
            let end = offered.authenticated + self.store.longest_age();
            return Some((offered.authenticated, offered.deadline.min(end)));
        }
        let now = UnixClock.now();
        let end = now + self.store.longest_age();
        Some((now, if assurance.verifies() { end.min(peer::expiry(ssl)) } else { end }))
    }

    /// The newest ticket that may be offered, else the session.
    fn recall(&self, id: &SessionId) -> Option<Kept> {
        let age = self.store.longest_age();
        let ticket = self.view(Protocol::TLS1_3).read(id, |entry| {
            let tickets = entry.sessions.tickets()?;
            std::iter::from_fn(|| tickets.take()).find(|ticket| ticket.is_current(age))
        });
        if let Some(ticket) = ticket.flatten() {
            return self.for_this_context(&ticket);
        }
        let view = self.view(Protocol::TLS1_2);
        let found = view.get(id)?;
        let Sessions::Tls12(kept) = &found.sessions else { return None };
        if !kept.is_current(age) {
            // Its last connection broke, or it is expired.
            view.remove(&found);
            return None;
        }
        self.for_this_context(kept)
    }

    fn for_this_context(&self, kept: &Kept) -> Option<Kept> {
        let session: &SslSessionRef = &kept.session;
        let session = match IdContext::of(session)? {
            own if own == self.id_context => session.to_owned(),
            _ => ffi::copy_for(session, self.id_context.as_bytes())?,
        };
        Some(Kept { session, ..*kept })
    }

    /// Watches over a handshake: what was offered under one assurance is not resumed under another,
    /// and what a resumed session turned into is kept.
    pub(crate) fn follow(&self, ssl: &mut SslRef, moment: Moment) {
        let starts = moment == Moment::Started && ffi::is_first_handshake(ssl);
        let Some(visit) = VISITS.at_mut(ssl) else { return };
        visit.domain = Some(self.domain).filter(|here| starts || visit.domain == Some(*here));
        let Some(visit) = VISITS.at(ssl) else { return };
        let is_fit = visit.offered.is_none() || visit.assurance == Assurance::demanded(ssl);
        match moment {
            Moment::Started if starts => {
                // Another connection may have ended it since.
                let is_fit = is_fit && visit.offered.as_ref().is_none_or(Kept::is_alive);
                if !is_fit {
                    ffi::offer_nothing(ssl);
                }
                let Some(visit) = VISITS.at_mut(ssl) else { return };
                visit.is_over = false;
                visit.offered = visit.offered.take().filter(|_| is_fit);
            }
            _ if visit.is_over || !ssl.session_reused() => {}
            _ if !is_fit => {
                ffi::end(ssl);
                self.finish(ssl);
            }
            Moment::Done => {
                self.keep_renewed(ssl);
                self.finish(ssl);
            }
            Moment::Started | Moment::Failed | Moment::Step => {}
        }
    }

    /// The connection is in a context without a store.
    pub(crate) fn lose(ssl: &mut SslRef) {
        if let Some(visit) = VISITS.at_mut(ssl) {
            visit.domain = None;
        }
    }

    fn finish(&self, ssl: &mut SslRef) {
        if let Some(visit) = VISITS.at_mut(ssl) {
            visit.is_over = true;
        }
    }

    /// A server can give a new ticket for a session that it resumes. Up to TLS 1.2 libssl then
    /// makes another object, marks the one that was offered, and tells the new callback nothing.
    fn keep_renewed(&self, ssl: &SslRef) {
        let offered = VISITS.at(ssl).and_then(|visit| visit.offered.as_ref());
        let (Some(offered), Some(session)) = (offered, ssl.session()) else { return };
        let is_renewed = Protocol(ffi::connection_version(ssl)) != Protocol::TLS1_3
            && offered.is_parent_of(session);
        if is_renewed {
            self.keep(ssl, session.to_owned());
        }
    }

    fn view(&self, protocol: Protocol) -> View<'_, Memory> {
        self.cache().view(self.domain).protocol(protocol)
    }

    /// The domain is in the id too, although the view keeps domains apart: sessions with one id
    /// share fourteen slots.
    fn id_of(&self, server: &[u8; 32], assurance: &Assurance) -> SessionId {
        let digest = Sha256::new().chain_update(self.domain.as_bytes());
        let digest = digest.chain_update(assurance.as_bytes()).chain_update(server);
        SessionId::from(<[u8; 32]>::from(digest.finalize()))
    }
}

/// What a server is known by.
pub(crate) fn digest_of(server: &str) -> [u8; 32] {
    Sha256::digest(server).into()
}
