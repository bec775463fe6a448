//! The keyed hash of a session id.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_types, reason = "this is the file that owns them")]

use crate::session::{Protocol, SessionId};
use crate::sync::MODELLED;
use ahash::RandomState;
use std::fmt;
use std::hash::{Hash, Hasher};

/// A hash with a key of its own for each cache.
///
/// Lookup ids are chosen by the peer, and on a client cache the server chooses stored ids too:
/// without the key a peer could aim at the set of a chosen victim. The only file that names ahash.
#[derive(Clone)]
pub(crate) struct KeyedHash(RandomState);

impl KeyedHash {
    pub(crate) fn new() -> Self {
        // A model must do the same thing in every run, and a fuzzer's input in every process.
        Self(if MODELLED || cfg!(fuzzing) {
            RandomState::with_seeds(1, 2, 3, 4)
        } else {
            RandomState::new()
        })
    }

    /// Hashes id and protocol. The context is compared, not hashed, so that an id that is known in
    /// another context is found in its set and counted.
    #[inline]
    pub(crate) fn of(&self, id: &SessionId, protocol: Protocol) -> u64 {
        self.0.hash_one(Words(id, protocol))
    }
}

/// An id and a protocol as whole words, which hash in a quarter of the instructions of bytes.
struct Words<'k>(&'k SessionId, Protocol);

impl Hash for Words<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        for half in self.0.halves() {
            state.write_u128(half);
        }
        state.write_u64(self.0.len() as u64 | u64::from(self.1.0) << 8);
    }
}

impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedHash(..)")
    }
}
