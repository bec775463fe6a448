//! What a session is worth, wherever it is moved to.
//!
//! A program can take a session out of a store and put it into another one, or into the same one
//! again, under dates and a generation of its choice. So the record of the full handshake is
//! carried by the `SSL_SESSION` itself, in its extra data. Copies share it; what was read from DER
//! has none.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};

use openssl::ssl::SslSessionRef;
use sessile::{Generation, Session, Timestamp};

use crate::ffi;
use crate::host::Host;

/// The record of one session, or TLS 1.3 ticket.
#[derive(Debug)]
pub(crate) struct Origin {
    host: Option<Host>,
    authentication: Authentication,
    /// No connection has been allowed early data with the session.
    is_unspent: AtomicBool,
}

/// When the client of a session was authenticated, by a full handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Authentication {
    pub(crate) time: Timestamp,
    pub(crate) generation: Generation,
}

impl Origin {
    pub(crate) fn new(host: Option<Host>, authentication: Authentication) -> Self {
        Self { host, authentication, is_unspent: AtomicBool::new(true) }
    }

    pub(crate) fn host(&self) -> Option<Host> {
        self.host
    }

    pub(crate) fn authentication(&self) -> Authentication {
        self.authentication
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
        match ffi::origin(payload).map(Origin::authentication) {
            Some(of) => Self { generation: of.generation.min(filed), ..of },
            None => Self { time: Timestamp::from(ffi::dates(payload).0), generation: filed },
        }
    }
}
