//! What the `openssl` crate does not wrap, as safe functions over libssl's own.
//!
//! Everything unsafe of this crate is here and in `callbacks`, but for the one call that offers a client's session.

use std::ffi::{c_int, c_long, c_uint, c_void};
use std::slice;

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::ssl::{SslContextBuilder, SslRef, SslSession, SslSessionRef};
use openssl_sys as sys;

pub(crate) type InfoCallback = unsafe extern "C" fn(*const sys::SSL, c_int, c_int);

unsafe extern "C" {
    fn SSL_CTX_set_timeout(context: *mut sys::SSL_CTX, seconds: c_long) -> c_long;
    pub(crate) fn SSL_CTX_set_info_callback(context: *mut sys::SSL_CTX, callback: Option<InfoCallback>);
    pub(crate) fn SSL_CTX_get_info_callback(context: *mut sys::SSL_CTX) -> Option<InfoCallback>;
    fn SSL_SESSION_get0_id_context(session: *const sys::SSL_SESSION, length: *mut c_uint) -> *const u8;
    fn SSL_SESSION_set1_id_context(
        session: *mut sys::SSL_SESSION,
        context: *const u8,
        length: c_uint,
    ) -> c_int;
    fn SSL_SESSION_is_resumable(session: *const sys::SSL_SESSION) -> c_int;
    fn SSL_renegotiate_pending(ssl: *const sys::SSL) -> c_int;
    fn SSL_SESSION_dup(session: *const sys::SSL_SESSION) -> *mut sys::SSL_SESSION;
}

/// A moment of a handshake, as the info callback tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Started,
    Done,
}

const SSL_CB_HANDSHAKE_START: c_int = 0x10;
const SSL_CB_HANDSHAKE_DONE: c_int = 0x20;

/// Whether both are one `SSL_SESSION`.
pub(crate) fn same(a: &SslSessionRef, b: &SslSessionRef) -> bool {
    a.as_ptr() == b.as_ptr()
}

/// The session id context that the session was made under.
pub(crate) fn id_context(session: &SslSessionRef) -> &[u8] {
    let mut length = 0;
    // SAFETY: the session is alive; the answer points into it, at a field that is written only before a session is shared.
    unsafe {
        let bytes = SSL_SESSION_get0_id_context(session.as_ptr(), &mut length);
        if bytes.is_null() { &[] } else { slice::from_raw_parts(bytes, length as usize) }
    }
}

/// The version on the wire that the session was negotiated with.
pub(crate) fn session_version(session: &SslSessionRef) -> u16 {
    // SAFETY: the session is alive.
    let version = unsafe { sys::SSL_SESSION_get_protocol_version(session.as_ptr()) };
    u16::try_from(version).unwrap_or(0)
}

/// The version on the wire that a connection speaks.
pub(crate) fn connection_version(ssl: &SslRef) -> u16 {
    // SAFETY: the connection is alive.
    u16::try_from(unsafe { sys::SSL_version(ssl.as_ptr()) }).unwrap_or(0)
}

/// When the session was made, in Unix seconds, and its timeout, in seconds. Never negative.
pub(crate) fn dates(session: &SslSessionRef) -> (u64, u64) {
    // SAFETY: the session is alive.
    let (time, timeout) = unsafe {
        (sys::SSL_SESSION_get_time(session.as_ptr()), sys::SSL_SESSION_get_timeout(session.as_ptr()))
    };
    let seconds = |value: c_long| u64::try_from(value).unwrap_or(0);
    (seconds(time), seconds(timeout))
}

/// False for what libssl has marked: removed, or of a connection that broke.
pub(crate) fn is_resumable(session: &SslSessionRef) -> bool {
    // SAFETY: the session is alive.
    unsafe { SSL_SESSION_is_resumable(session.as_ptr()) == 1 }
}

/// A session of its own with the same state, under another id context. `None` when memory is exhausted.
pub(crate) fn copy_for(session: &SslSessionRef, id_context: &[u8; 32]) -> Option<SslSession> {
    // SAFETY: the session is alive; the copy has one count, which `SslSession` takes over.
    let copy = unsafe {
        let copy = SSL_SESSION_dup(session.as_ptr());
        if copy.is_null() {
            return None;
        }
        SslSession::from_ptr(copy)
    };
    set_id_context(&copy, id_context).then_some(copy)
}

/// Changes the id context of a session that no other thread knows yet.
pub(crate) fn set_id_context(session: &SslSessionRef, id_context: &[u8; 32]) -> bool {
    // SAFETY: the session is alive and not shared; 32 bytes are read, the most an id context may have.
    unsafe {
        SSL_SESSION_set1_id_context(session.as_ptr(), id_context.as_ptr(), id_context.len() as c_uint) == 1
    }
}

/// Sets the timeout that a context gives to its sessions; returns nothing, as the former one is of no use.
pub(crate) fn set_timeout(context: &mut SslContextBuilder, seconds: u64) {
    let seconds = c_long::try_from(seconds).unwrap_or(c_long::MAX);
    // SAFETY: the context is alive and not shared yet.
    let _former = unsafe { SSL_CTX_set_timeout(context.as_ptr(), seconds) };
}

/// The moment that an info callback's second argument tells of.
pub(crate) fn moment(wherefore: c_int) -> Option<Moment> {
    match wherefore {
        SSL_CB_HANDSHAKE_START => Some(Moment::Started),
        SSL_CB_HANDSHAKE_DONE => Some(Moment::Done),
        _ => None,
    }
}

/// Whether the connection has not yet finished a handshake: libssl's own test for it.
pub(crate) fn is_first_handshake(ssl: &SslRef) -> bool {
    let nowhere = || std::ptr::NonNull::<c_void>::dangling().as_ptr();
    // SAFETY: the connection is alive; nothing is written to a buffer of no bytes.
    unsafe {
        sys::SSL_get_finished(ssl.as_ptr(), nowhere(), 0) == 0
            || sys::SSL_get_peer_finished(ssl.as_ptr(), nowhere(), 0) == 0
    }
}

/// Whether a server has asked for a renegotiation that the client has not begun yet.
pub(crate) fn awaits_renegotiation(ssl: &SslRef) -> bool {
    // SAFETY: the connection is alive.
    unsafe { SSL_renegotiate_pending(ssl.as_ptr()) == 1 }
}
