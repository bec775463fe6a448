//! The keyed hash of a session id.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_types, reason = "this is the file that owns them")]

use crate::session::{Protocol, SessionId};
use ahash::RandomState;
use std::fmt;

/// A hash with a key of its own for each cache.
///
/// Lookup ids are chosen by the peer, and on a client cache the server chooses stored ids too: without the key a peer
/// could aim at the set of a chosen victim. The only file that names ahash.
#[derive(Clone)]
pub(crate) struct KeyedHash(RandomState);

impl KeyedHash {
    pub(crate) fn new() -> Self {
        // A model must do the same thing in every run.
        Self(if cfg!(sessile_loom) { RandomState::with_seeds(1, 2, 3, 4) } else { RandomState::new() })
    }

    /// Hashes id and protocol. The context is compared, not hashed, so that an id that is known in another context is
    /// found in its set and counted.
    #[inline]
    pub(crate) fn of(&self, id: &SessionId, protocol: Protocol) -> u64 {
        self.0.hash_one((id.padded(), id.len() as u8, protocol))
    }
}

impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedHash(..)")
    }
}
