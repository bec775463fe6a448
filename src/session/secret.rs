//! Byte payloads that are wiped.
#![forbid(unsafe_code)]

use std::fmt;
use std::ops::Deref;
use zeroize::Zeroizing;

/// Serialized session state that is wiped when it is dropped.
///
/// The payload of the byte-based adapters. A stored session is dropped with its last handle, after
/// the grace period of deferred destruction.
/// [`SessionCache::collect`](crate::SessionCache::collect) bounds the wait.
#[derive(Clone)]
pub struct Secret(Zeroizing<Box<[u8]>>);

impl From<Vec<u8>> for Secret {
    /// Takes the bytes over. If the vector has spare capacity, its bytes are copied into an
    /// allocation of their size, and the vector is wiped with its spare capacity: shrinking in
    /// place could leave an unwiped copy behind.
    fn from(bytes: Vec<u8>) -> Self {
        if bytes.len() == bytes.capacity() {
            return Self(Zeroizing::new(bytes.into_boxed_slice()));
        }
        let bytes = Zeroizing::new(bytes);
        Self::from(&bytes[..])
    }
}

impl From<&[u8]> for Secret {
    fn from(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.into()))
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
