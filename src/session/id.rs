//! Session ids: 1 to 32 bytes, inline.
#![forbid(unsafe_code)]

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// A TLS session id, 1 to 32 bytes (RFC 5246 section 7.4.1.2; a stateful TLS 1.3 ticket is a
/// 32-byte id too).
///
/// Ids are compared with their length: `a` and `a\0` are different ids. An empty id names no
/// session, so it cannot be built. (OpenSSL stores one, and can then never remove it.)
///
/// ```
/// use sessile::SessionId;
///
/// let id = SessionId::try_from(&[7u8; 32][..]).unwrap();
/// assert_eq!(id.as_ref(), [7; 32]);
/// assert!(SessionId::try_from(&[][..]).is_err());
/// assert!(SessionId::try_from(&[0; 33][..]).is_err());
/// ```
#[derive(Clone, Copy)]
#[repr(C)]
pub struct SessionId {
    /// Bytes behind `len` are zero, so that two ids are equal exactly when all fields are.
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

impl SessionId {
    /// The longest id, in bytes (`SSL_MAX_SSL_SESSION_ID_LENGTH`).
    pub const MAX_LEN: usize = 32;

    /// Copies an id from `bytes`.
    ///
    /// # Errors
    /// [`InvalidSessionId`] when `bytes` is empty or longer than [`MAX_LEN`](Self::MAX_LEN).
    pub fn new(bytes: &[u8]) -> Result<Self, InvalidSessionId> {
        if bytes.is_empty() || bytes.len() > Self::MAX_LEN {
            return Err(InvalidSessionId { len: bytes.len() });
        }
        let mut padded = [0; Self::MAX_LEN];
        padded[..bytes.len()].copy_from_slice(bytes);
        Ok(Self { bytes: padded, len: bytes.len() as u8 })
    }

    /// The bytes of the id, without padding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The length in bytes, 1 to 32.
    #[allow(clippy::len_without_is_empty, reason = "an id is never empty")]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether the zero-padded bytes are the same. Ids of one length are equal then.
    #[inline(always)]
    pub(crate) fn has_bytes_of(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }

    /// The zero-padded bytes as two words; with [`len`](Self::len) they are the identity.
    #[inline]
    pub(crate) fn halves(&self) -> [u128; 2] {
        let half = |from: usize| {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&self.bytes[from..from + 16]);
            u128::from_ne_bytes(bytes)
        };
        [half(0), half(16)]
    }
}

impl PartialEq for SessionId {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.has_bytes_of(other)
    }
}

impl Eq for SessionId {}

impl PartialOrd for SessionId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SessionId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for SessionId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl AsRef<[u8]> for SessionId {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl TryFrom<&[u8]> for SessionId {
    type Error = InvalidSessionId;

    fn try_from(bytes: &[u8]) -> Result<Self, InvalidSessionId> {
        Self::new(bytes)
    }
}

impl From<[u8; 32]> for SessionId {
    fn from(bytes: [u8; 32]) -> Self {
        Self { bytes, len: 32 }
    }
}

/// Shows the length and the first four bytes: an id is a bearer secret until it is used.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({} bytes, ", self.len)?;
        for byte in self.as_bytes().iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("..)")
    }
}

/// The bytes offered as a session id were empty or longer than 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSessionId {
    len: usize,
}

impl InvalidSessionId {
    /// How many bytes were offered.
    #[allow(
        clippy::len_without_is_empty,
        reason = "the length of what was offered, not a collection"
    )]
    pub fn len(&self) -> usize {
        self.len
    }
}

impl fmt::Display for InvalidSessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a session id has 1 to {} bytes, not {}", SessionId::MAX_LEN, self.len)
    }
}

impl std::error::Error for InvalidSessionId {}
