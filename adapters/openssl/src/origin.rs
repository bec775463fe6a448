//! What a session is worth, wherever it is moved to.
//!
//! A program can take a session out of a store and put it into another one, or into the same one
//! again, under dates and a generation of its choice. So the record of the full handshake is
//! carried by the `SSL_SESSION` itself, in its extra data. Copies share it; what was read from DER
//! has none.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openssl::ssl::SslSessionRef;
use sessile::{Generation, Session, Timestamp};

use crate::extra::SessionExtra;
use crate::ffi;
use crate::host::Host;

static ORIGINS: SessionExtra<Origin> = SessionExtra::new();

/// The record of one session, or TLS 1.3 ticket.
#[derive(Debug)]
pub(crate) struct Origin {
    host: Option<Host>,
    authentication: Authentication,
    /// No connection has been allowed early data with the session.
    is_unspent: AtomicBool,
    /// libssl has said of the session, or of a copy of it, that it must not be resumed. It marks
    /// the one object that it speaks of.
    has_ended: AtomicBool,
}

/// When the client of a session was authenticated, by a full handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Authentication {
    pub(crate) time: Timestamp,
    pub(crate) generation: Generation,
}

impl Origin {
    pub(crate) fn new(host: Option<Host>, authentication: Authentication) -> Self {
        let (is_unspent, has_ended) = (AtomicBool::new(true), AtomicBool::new(false));
        Self { host, authentication, is_unspent, has_ended }
    }

    /// Before a store records the first one.
    pub(crate) fn prepare() {
        ORIGINS.prepare();
    }

    /// Records the origin of a session that no other thread knows yet. Without memory for it, it
    /// has none.
    pub(crate) fn record(self, session: &SslSessionRef) {
        ORIGINS.set(session, Arc::new(self));
    }

    /// A session that libssl has just made of another one, as each TLS 1.3 ticket, carries that
    /// one's record, and gets its own: it ends alone.
    pub(crate) fn part(session: &SslSessionRef) {
        if let Some(parent) = Self::of(session) {
            Self::new(parent.host(), parent.authentication()).record(session);
        }
    }

    /// The origin of a session; `None` if no connection of a store made it.
    pub(crate) fn of(session: &SslSessionRef) -> Option<&Self> {
        ORIGINS.get(session)
    }

    pub(crate) fn host(&self) -> Option<Host> {
        self.host
    }

    pub(crate) fn authentication(&self) -> Authentication {
        self.authentication
    }

    /// The session ends, with every copy of it.
    pub(crate) fn end(&self) {
        // ORDERING: Relaxed: one word that publishes nothing.
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// False for what libssl has marked, and where it has marked a copy.
    pub(crate) fn is_alive(session: &SslSessionRef) -> bool {
        // ORDERING: Relaxed, as in `end`.
        let has_ended = |origin: &Self| origin.has_ended.load(Ordering::Relaxed);
        ffi::is_resumable(session) && !Self::of(session).is_some_and(has_ended)
    }

    /// Whether this is the first connection that is allowed early data with the session.
    pub(crate) fn spend_early_data(&self) -> bool {
        // ORDERING: Relaxed: one word, of which one exchange finds true.
        self.is_unspent.swap(false, Ordering::Relaxed)
    }
}

impl Authentication {
    /// That of a stored session. One without a record was made when it says, and is of the
    /// generation that it was filed in.
    pub(crate) fn of(session: &Session<openssl::ssl::SslSession>) -> Self {
        let payload: &SslSessionRef = session;
        let filed = session.generation();
        match Origin::of(payload).map(Origin::authentication) {
            Some(of) => Self { generation: of.generation.min(filed), ..of },
            None => Self { time: Timestamp::from(ffi::dates(payload).0), generation: filed },
        }
    }
}
