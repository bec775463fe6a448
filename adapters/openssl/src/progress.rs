//! What a server's connection has done since its handshake started: libssl's callbacks are told
//! nothing but the connection.
#![forbid(unsafe_code)]

use std::sync::Arc;

use openssl::ssl::{SslRef, SslSession};
use sessile::{Context, Generation, Protocol, Session, SessionId, Timestamp};

use crate::attachment::Slot;
use crate::routes::Way;
use crate::server::Shared;

static PROGRESS: Slot<Progress> = Slot::new();

/// The record of one handshake, and of the connection that it led to.
pub(crate) struct Progress {
    /// The number of the store that the generation is of.
    store: u64,
    /// That of the handshake's start: what is authenticated now is not older.
    pub(crate) generation: Generation,
    /// What a single-use lookup took, until the handshake is over. A HelloRetryRequest has the client
    /// offer it once more.
    pub(crate) taken: Option<Session<SslSession>>,
    pub(crate) parent: Option<Parent>,
    /// The new callback was called for a full handshake.
    pub(crate) is_filed: bool,
    /// The handshake has ended, or was ended.
    pub(crate) is_over: bool,
}

/// The session that a lookup handed to libssl, which may resume it.
#[derive(Clone)]
pub(crate) struct Parent {
    pub(crate) store: Arc<Shared>,
    pub(crate) id: SessionId,
    pub(crate) protocol: Protocol,
    /// Where it was found: the connection must end there.
    pub(crate) domain: Context,
    /// The domain of the context that looked, and the way that led from there.
    pub(crate) looked_in: Context,
    pub(crate) way: Way,
    /// The last second of whatever is issued from it.
    pub(crate) deadline: Timestamp,
    /// Nobody else can have been handed it.
    pub(crate) is_only_copy: bool,
}

impl Progress {
    fn new(store: u64, generation: Generation) -> Self {
        Self { store, generation, taken: None, parent: None, is_filed: false, is_over: false }
    }

    /// A handshake starts.
    pub(crate) fn start(ssl: &mut SslRef, store: u64, generation: Generation) {
        // Without memory for it nothing is stored, and no early data are accepted.
        let _ = PROGRESS.fill(ssl, Self::new(store, generation));
    }

    pub(crate) fn of(ssl: &SslRef) -> Option<&Self> {
        PROGRESS.at(ssl)
    }

    pub(crate) fn of_mut(ssl: &mut SslRef) -> Option<&mut Self> {
        PROGRESS.at_mut(ssl)
    }

    /// The record, of a store that is asked from now on: the program can have changed to a context
    /// with another one.
    pub(crate) fn in_store(
        ssl: &mut SslRef,
        store: u64,
        generation: impl FnOnce() -> Generation,
    ) -> Option<&mut Self> {
        if Self::of(ssl).is_none_or(|progress| progress.store != store) {
            Self::start(ssl, store, generation());
        }
        Self::of_mut(ssl)
    }

    pub(crate) fn is_of(&self, store: u64) -> bool {
        self.store == store
    }

    /// The handshake is over. What was taken is spent; tickets can be issued for as long as the
    /// connection lives.
    pub(crate) fn finish(&mut self) {
        self.taken = None;
        self.is_over = true;
    }
}
