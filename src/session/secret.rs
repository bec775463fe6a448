//! Byte payloads that are wiped.
#![forbid(unsafe_code)]

use crate::slab::Bytes;
use std::fmt;
use std::ops::Deref;
use zeroize::Zeroizing;

/// Serialized session state that is wiped when it is dropped.
///
/// The payload of the byte-based adapters. A stored session is dropped with its last handle, after
/// the grace period of deferred destruction.
/// [`SessionCache::collect`](crate::SessionCache::collect) bounds the wait.
///
/// Up to 16 KiB it lies in memory that is kept out of core dumps where the system can do that
/// (Linux). [`SessionBuilder::build_bytes`](crate::SessionBuilder::build_bytes) makes a session and
/// its secret in one block.
pub struct Secret(Bytes);

impl Clone for Secret {
    fn clone(&self) -> Self {
        Self(Bytes::copy_of(self))
    }
}

impl From<Vec<u8>> for Secret {
    /// Copies the bytes, and wipes the vector with its spare capacity.
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(&Zeroizing::new(bytes)[..])
    }
}

impl From<&[u8]> for Secret {
    /// Copies the bytes. Aborts when memory is exhausted.
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_of(bytes))
    }
}

impl Secret {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// A copy, `None` when memory is exhausted.
    pub(super) fn try_copy_of(bytes: &[u8]) -> Option<Self> {
        Bytes::try_copy_of(bytes).map(Self)
    }
}

impl Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}
