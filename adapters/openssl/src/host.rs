//! For which host a session was made.
//!
//! Up to TLS 1.2, libssl shows the server name callback the name of the session that is resumed,
//! not the one that the client asks for: a client could resume a session of one host under the name
//! of another, and the callback would not see it. RFC 6066, section 3, forbids that. So each
//! session carries the host of its full handshake, in its record, which copies have too.
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use openssl::ssl::SslSessionRef;

use crate::ffi;
use crate::origin::Origin;

/// A digest of a host's name, or of its absence, under a key of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host(u64);

impl Host {
    /// Names are equal whatever the case of their letters.
    pub(crate) fn new(name: Option<&[u8]>) -> Self {
        static KEY: OnceLock<RandomState> = OnceLock::new();
        Self(KEY.get_or_init(RandomState::new).hash_one(name.map(<[u8]>::to_ascii_lowercase)))
    }
}

/// Whether a session may be resumed by a connection that asks for `name`. Without one, the callback
/// is shown what the session was made for.
pub(crate) fn fits(session: &SslSessionRef, name: Option<&[u8]>) -> bool {
    let Some(asked) = name else { return true };
    match Origin::of(session).and_then(Origin::host) {
        None => ffi::session_host(session).is_none_or(|made| made.eq_ignore_ascii_case(asked)),
        Some(host) => host == Host::new(name),
    }
}
