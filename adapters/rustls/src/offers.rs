//! How often there was a session to offer.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a client's store was asked for, by [`ClientStore::offers`](crate::ClientStore::offers).
///
/// Whether the server accepted an offer, rustls does not tell a store: `handshake_kind()` of the
/// connection does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offers {
    /// Handshakes that asked for a session, with TLS 1.3 allowed or not.
    pub handshakes: u64,
    /// Those that were given one: a ticket of TLS 1.3 or a session of TLS 1.2.
    pub offered: u64,
}

impl Offers {
    /// `offered` of `handshakes`, from 0 to 1; 0 before the first.
    pub fn ratio(&self) -> f64 {
        self.offered as f64 / self.handshakes.max(1) as f64
    }
}

/// The counters. A client's handshake is three orders of magnitude longer than a write to a line
/// that other threads write.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    handshakes: AtomicU64,
    offered: AtomicU64,
}

impl Counted {
    // ORDERING: Relaxed: the counters publish nothing.

    pub(crate) fn began(&self) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn offered(&self) {
        self.offered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Offers {
        let offered = self.offered.load(Ordering::Relaxed);
        Offers { handshakes: self.handshakes.load(Ordering::Relaxed).max(offered), offered }
    }
}
