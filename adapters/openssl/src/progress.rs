//! What a server's connection has done since its handshake started: libssl's callbacks are told
//! nothing but the connection.
#![forbid(unsafe_code)]

use std::sync::Arc;

use openssl::ssl::{SslContextRef, SslRef, SslSession};
use sessile::{Clock, Context, Generation, Protocol, Session, SessionId, Timestamp, Watch};

use crate::attachment::Slot;
use crate::clock::UnixClock;
use crate::ffi;
use crate::origin::Authentication;
use crate::routes::Way;
use crate::server::Shared;

static PROGRESS: Slot<Progress> = Slot::new();

/// The record of one handshake, and of the connection that it led to.
pub(crate) struct Progress {
    /// When the handshake started: what it authenticates is dated by this, however much later the
    /// connection asks for a ticket.
    pub(crate) time: Timestamp,
    /// That of the handshake's start: what is authenticated now is not older.
    pub(crate) generation: Generation,
    /// What a single-use lookup took, until the handshake is over, and a watch from before that. A
    /// HelloRetryRequest has the client offer it once more.
    pub(crate) taken: Option<(Session<SslSession>, Watch)>,
    pub(crate) parent: Option<Parent>,
    /// The address of the context that the handshake started in, if a store was told of it.
    started_in: Option<usize>,
    /// The handshake has ended.
    pub(crate) is_over: bool,
    /// The handshake was ended, for ever.
    pub(crate) is_refused: bool,
}

/// The session that a lookup handed to libssl, which may resume it.
pub(crate) struct Parent {
    pub(crate) store: Arc<Shared>,
    pub(crate) id: SessionId,
    pub(crate) protocol: Protocol,
    /// Where it was found: the connection must end there.
    pub(crate) domain: Context,
    /// The domain of the context that looked, and the way that led from there.
    pub(crate) looked_in: Context,
    /// The address of that context, which the connection keeps alive.
    pub(crate) context: usize,
    pub(crate) way: Way,
    /// The full handshake that it goes back to.
    pub(crate) authentication: Authentication,
    /// The last second of whatever is issued from it.
    pub(crate) deadline: Timestamp,
    /// Nobody else can have been handed it.
    pub(crate) is_only_copy: bool,
    /// libssl resumes this very session.
    pub(crate) is_resumed: bool,
}

impl Parent {
    /// Whether a connection that is in this context now was not moved since the lookup, and was not
    /// expected to be.
    pub(crate) fn stays_in(&self, context: &SslContextRef) -> bool {
        self.looked_in == self.domain && self.context == ffi::address(context)
    }
}

impl Progress {
    /// A handshake starts.
    pub(crate) fn start(ssl: &mut SslRef) {
        let started_in = ffi::address(ssl.ssl_context());
        Self::begin(ssl, Some(started_in));
    }

    fn begin(ssl: &mut SslRef, started_in: Option<usize>) {
        let generation = Generation::present();
        let new = Self {
            time: UnixClock.now(),
            generation,
            taken: None,
            parent: None,
            started_in,
            is_over: false,
            is_refused: false,
        };
        // Without memory for it nothing is stored or resumed.
        let _ = PROGRESS.fill(ssl, new);
    }

    /// Whether the connection is in the context that the handshake started in.
    pub(crate) fn stays_in(&self, context: &SslContextRef) -> bool {
        self.started_in == Some(ffi::address(context))
    }

    pub(crate) fn of(ssl: &SslRef) -> Option<&Self> {
        PROGRESS.at(ssl)
    }

    pub(crate) fn of_mut(ssl: &mut SslRef) -> Option<&mut Self> {
        PROGRESS.at_mut(ssl)
    }

    /// The record, which begins now where no store was told of the start.
    pub(crate) fn begun(ssl: &mut SslRef) -> Option<&mut Self> {
        if Self::of(ssl).is_none() {
            Self::begin(ssl, None);
        }
        Self::of_mut(ssl)
    }

    /// The handshake is over. What was taken is spent; tickets can be issued for as long as the
    /// connection lives.
    pub(crate) fn finish(&mut self) {
        self.taken = None;
        self.is_over = true;
    }
}
