//! The isolation domain of a session, and its protocol version: both are parts of its key.
#![forbid(unsafe_code)]

use crate::sync::untracked::{AtomicU32, Ordering};
use std::fmt;

/// The isolation domain of a session: OpenSSL's session id context, as part of the key.
///
/// A session stored under one context does not exist for another. Derive the context from
/// everything that decides whether a resumed client may enter: certificates, client CAs,
/// verification mode, application name. Five CVEs of 2024 to 2026 came from checking less, later,
/// or not at all.
///
/// ```
/// use sessile::Context;
///
/// let api = Context::digest(["api", "client certificates required"]);
/// let web = Context::digest(["web"]);
/// assert_ne!(api, web);
/// assert_ne!(Context::digest(["ab", "c"]), Context::digest(["a", "bc"]));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Context([u8; 32]);

impl Context {
    /// No isolation: the context of sessions and lookups that name none.
    pub const NONE: Self = Self([0; 32]);

    /// A context from 32 bytes that the caller has made unique, for instance a digest. 32 zeros are
    /// [`NONE`](Self::NONE).
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Digests the parts of a security configuration with SHA-256.
    ///
    /// Each part is preceded by its length as eight little-endian bytes, so no two lists of parts
    /// run together.
    #[cfg(feature = "digest")]
    pub fn digest<I, B>(parts: I) -> Self
    where
        I: IntoIterator<Item = B>,
        B: AsRef<[u8]>,
    {
        use sha2::{Digest, Sha256};

        let mut hash = Sha256::new();
        for part in parts {
            let part = part.as_ref();
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Whether this is [`NONE`](Self::NONE).
    #[inline]
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::NONE
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_none() { "Context(NONE)" } else { "Context(..)" })
    }
}

/// How many contexts had been revoked in this process at some moment.
///
/// A session belongs to the generation in which its peer was authenticated: that in which it was
/// built, unless [`SessionBuilder::generation`](crate::SessionBuilder::generation) names an earlier
/// one. Revoking a context in a cache ends its sessions of all earlier generations; see
/// [`SessionCache::revoke`](crate::SessionCache::revoke).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(u32);

static PRESENT: AtomicU32 = AtomicU32::new(0);

impl Generation {
    /// Numbers end here: a context that is revoked in this generation has no session any more, of
    /// whatever generation.
    pub(crate) const LAST: Self = Self(u32::MAX);

    /// The generation of what is built now.
    #[inline]
    pub fn present() -> Self {
        // ORDERING: Acquire: the revocation that began this generation is in its cache's list;
        // pairs with the exchange in `begin`. Invisible: arc-swap holds the list, and no model sees
        // into it.
        Self(PRESENT.load(Ordering::Acquire))
    }

    /// The generation after this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Begins the next generation, if this is the present one still.
    pub(crate) fn begin_next(self) -> bool {
        // ORDERING: Release: see `present`. Invisible: as there. Relaxed on failure: only compared.
        PRESENT
            .compare_exchange(self.0, self.next().0, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }
}

/// The protocol version of a session. It is part of the key, as in OpenSSL: one id under two
/// versions is two sessions.
///
/// The number is the version on the wire; [`UNSPECIFIED`](Self::UNSPECIFIED) is for adapters that
/// do not know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u16);

impl Protocol {
    /// Not specified. It is a tag of its own, not a wildcard.
    pub const UNSPECIFIED: Self = Self(0);
    /// TLS 1.2 (RFC 5246).
    pub const TLS1_2: Self = Self(0x0303);
    /// TLS 1.3 (RFC 8446).
    pub const TLS1_3: Self = Self(0x0304);
}
