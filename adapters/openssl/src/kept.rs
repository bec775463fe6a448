//! What a client knows of one server.
#![forbid(unsafe_code)]

use std::time::Duration;

use openssl::ssl::{SslRef, SslSession, SslSessionRef};
use sessile::{Clock, TicketRing, Timestamp};

use crate::clock::UnixClock;
use crate::ffi;

/// The most that is kept of one server, assurance and protocol version, in bytes of tickets and
/// certificates. A server chooses both; libssl allows a ticket of 64 KiB and a chain of 100.
pub(crate) const BYTES_PER_SERVER: usize = 64 * 1024;

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
        ffi::is_resumable(&self.session) && UnixClock.now() <= end
    }

    pub(crate) fn is(&self, session: &SslSessionRef) -> bool {
        ffi::same(&self.session, session)
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
