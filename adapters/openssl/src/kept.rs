//! What a client knows of one server.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openssl::ssl::{SslRef, SslSession, SslSessionRef};
use sessile::{Clock, TicketRing, Timestamp};

use crate::clock::UnixClock;
use crate::extra::SessionExtra;
use crate::ffi;

/// The most that is kept of one server, assurance and protocol version, in bytes of tickets and
/// certificates. A server chooses both; libssl allows a ticket of 64 KiB and a chain of 100.
pub(crate) const BYTES_PER_SERVER: usize = 64 * 1024;

static ENDINGS: SessionExtra<Ending> = SessionExtra::new();

/// Whether libssl has said of a TLS 1.2 session, or of a copy of it, that it must not be resumed:
/// its connection broke (RFC 5246, section 7.2.2), or the server gave another one for it. libssl
/// itself marks the one object that it speaks of. Contexts of one name offer copies of what is
/// stored, which share this record.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    has_come: AtomicBool,
}

impl Ending {
    // ORDERING: Relaxed: one word that publishes nothing.

    /// Before a store records the first one.
    pub(crate) fn prepare() {
        ENDINGS.prepare();
    }

    /// Gives a session that no other thread knows yet an ending of its own. False without memory
    /// for it.
    pub(crate) fn expect(session: &SslSessionRef) -> bool {
        ENDINGS.set(session, Arc::default())
    }

    /// The session ends, with what is stored of it and every copy.
    pub(crate) fn come(session: &SslSessionRef) {
        if let Some(ending) = ENDINGS.get(session) {
            ending.has_come.store(true, Ordering::Relaxed);
        }
    }

    fn has_come(session: &SslSessionRef) -> bool {
        ENDINGS.get(session).is_some_and(|ending| ending.has_come.load(Ordering::Relaxed))
    }

    fn is_shared(a: &SslSessionRef, b: &SslSessionRef) -> bool {
        match (ENDINGS.get(a), ENDINGS.get(b)) {
            (Some(a), Some(b)) => std::ptr::eq(a, b),
            _ => false,
        }
    }
}

/// A session or ticket that can be offered.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) session: SslSession,
    /// When the server was authenticated, by a full handshake.
    pub(crate) authenticated: Timestamp,
    /// The last second of whatever is resumed from it, counted from the last full handshake.
    pub(crate) deadline: Timestamp,
}

impl Kept {
    /// The last second in which it may be offered.
    pub(crate) fn expiry(&self) -> Timestamp {
        let (created, timeout) = ffi::dates(&self.session);
        Timestamp::from(created.saturating_add(timeout)).min(self.deadline)
    }

    /// Whether it may be offered by a context of this maximum age.
    pub(crate) fn is_current(&self, longest_age: Duration) -> bool {
        let end = self.expiry().min(self.authenticated + longest_age);
        self.is_alive() && UnixClock.now() <= end
    }

    /// False for what libssl has marked, and where it has marked a copy.
    pub(crate) fn is_alive(&self) -> bool {
        ffi::is_resumable(&self.session) && !Ending::has_come(&self.session)
    }

    /// Whether libssl has made this session of the one that was offered.
    pub(crate) fn is_parent_of(&self, session: &SslSessionRef) -> bool {
        !ffi::same(&self.session, session) && Ending::is_shared(&self.session, session)
    }
}

/// What one entry of the cache holds.
pub(crate) struct Memory {
    /// A digest of the server's name.
    pub(crate) server: [u8; 32],
    pub(crate) sessions: Sessions,
}

/// Of one protocol version.
pub(crate) enum Sessions {
    Tls12(Kept),
    Tls13(TicketRing<Kept>),
}

impl Sessions {
    pub(crate) fn tickets(&self) -> Option<&TicketRing<Kept>> {
        match self {
            Self::Tls12(_) => None,
            Self::Tls13(tickets) => Some(tickets),
        }
    }
}

/// About how many bytes a session of this connection's holds: what the peer chose, ticket and
/// certificates, is counted as it is encoded.
pub(crate) fn size_of(ssl: &SslRef, session: &SslSessionRef) -> usize {
    ffi::without_errors(|| {
        let certificates = ssl.peer_cert_chain().into_iter().flatten();
        let lengths =
            certificates.map(|one| one.to_der().map_or(BYTES_PER_SERVER, |der| der.len()));
        let session = session.to_der().map_or(BYTES_PER_SERVER, |der| der.len());
        lengths.fold(session, usize::saturating_add)
    })
}
