//! Which sessions a context may resume, in libssl's own words: the session id context.
//!
//! libssl stamps a session with the id context of the connection that made it, and resumes it only
//! where the id context is the same. `attach` gives each `SslContext` an id context of 32 bytes:
//!
//! - 8 bytes of *check*, a digest of the others. A program may set any id context of its own on a
//!   connection; only those that pass the check are this crate's.
//! - 16 bytes of *domain*, a digest of the [`Context`] that the program named. It is the cache's
//!   key context, so that a session is not even found from another domain.
//! - 8 bytes of *number*, unique to the `SslContext`. It tells a session of this very context,
//!   which is handed over as it is, from one of another context, which is copied.
//!
//! All can be read off any session, so that no table of contexts is needed.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

use openssl::ssl::SslSessionRef;
use sessile::{Context, Protocol, SessionId};
use sha2::{Digest, Sha256};

use crate::ffi;

const CHECK_BYTES: usize = 8;
const DOMAIN_BYTES: usize = 16;
const DOMAIN_END: usize = CHECK_BYTES + DOMAIN_BYTES;

/// Digested before the bytes that are checked.
const LABEL: &[u8] = b"sessile-openssl id context";

/// The id context of one `SslContext`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdContext([u8; 32]);

impl IdContext {
    /// One for a new `SslContext` that the program calls `name`.
    pub(crate) fn new(name: &Context) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        // ORDERING: Relaxed: only that no two are the same.
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let mut bytes = *domain_of(name).as_bytes();
        bytes[DOMAIN_END..].copy_from_slice(&number.to_be_bytes());
        let check = check_of(&bytes);
        bytes[..CHECK_BYTES].copy_from_slice(&check);
        Self(bytes)
    }

    /// That of a session; `None` if it was made under an id context that no store has set.
    pub(crate) fn of(session: &SslSessionRef) -> Option<Self> {
        let bytes: [u8; 32] = ffi::id_context(session).try_into().ok()?;
        (bytes[..CHECK_BYTES] == check_of(&bytes)).then_some(Self(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What all contexts of one name have in common.
    pub(crate) fn domain(&self) -> Context {
        let mut bytes = self.0;
        bytes[..CHECK_BYTES].fill(0);
        bytes[DOMAIN_END..].fill(0);
        Context::from_bytes(bytes)
    }
}

/// The domain that contexts of this name share: the key context of their sessions.
pub(crate) fn domain_of(name: &Context) -> Context {
    let mut bytes = [0; 32];
    bytes[CHECK_BYTES..DOMAIN_END]
        .copy_from_slice(&Sha256::digest(name.as_bytes())[..DOMAIN_BYTES]);
    Context::from_bytes(bytes)
}

fn check_of(bytes: &[u8; 32]) -> [u8; CHECK_BYTES] {
    let digest = Sha256::new().chain_update(LABEL).chain_update(&bytes[CHECK_BYTES..]).finalize();
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&digest[..CHECK_BYTES]);
    check
}

/// The full key of a session: everything is in the session itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) domain: Context,
    pub(crate) protocol: Protocol,
    pub(crate) id: SessionId,
}

impl Key {
    /// `None` for a session without an id, and for one that was made where no store is attached.
    pub(crate) fn of(session: &SslSessionRef) -> Option<Self> {
        let id = SessionId::new(session.id()).ok()?;
        let protocol = Protocol(ffi::session_version(session));
        Some(Self { domain: IdContext::of(session)?.domain(), protocol, id })
    }
}
