//! What the `openssl` crate does not wrap, as safe functions over libssl's own.
//!
//! Everything unsafe of this crate is here, in `extra`, in `assurance` and in `callbacks`.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::{ptr, slice};

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::error::ErrorStack;
use openssl::ssl::{NameType, SslContextBuilder, SslContextRef, SslRef, SslSession, SslSessionRef};
use openssl_sys as sys;

pub(crate) type InfoCallback = unsafe extern "C" fn(*const sys::SSL, c_int, c_int);
pub(crate) type ExtraDup = unsafe extern "C" fn(
    *mut c_void,
    *const c_void,
    *mut *mut c_void,
    c_int,
    c_long,
    *mut c_void,
) -> c_int;
pub(crate) type ExtraFree =
    unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void, c_int, c_long, *mut c_void);
pub(crate) type EarlyDataCallback = unsafe extern "C" fn(*mut sys::SSL, *mut c_void) -> c_int;

unsafe extern "C" {
    pub(crate) fn SSL_set_info_callback(ssl: *mut sys::SSL, callback: Option<InfoCallback>);
    pub(crate) fn SSL_get_info_callback(ssl: *const sys::SSL) -> Option<InfoCallback>;
    pub(crate) fn SSL_CTX_set_allow_early_data_cb(
        context: *mut sys::SSL_CTX,
        callback: Option<EarlyDataCallback>,
        argument: *mut c_void,
    );
    fn SSL_CTX_set_timeout(context: *mut sys::SSL_CTX, seconds: c_long) -> c_long;
    pub(crate) fn SSL_CTX_set_info_callback(
        context: *mut sys::SSL_CTX,
        callback: Option<InfoCallback>,
    );
    pub(crate) fn SSL_CTX_get_info_callback(context: *mut sys::SSL_CTX) -> Option<InfoCallback>;
    fn SSL_SESSION_get0_id_context(
        session: *const sys::SSL_SESSION,
        length: *mut c_uint,
    ) -> *const u8;
    fn SSL_SESSION_set1_id_context(
        session: *mut sys::SSL_SESSION,
        context: *const u8,
        length: c_uint,
    ) -> c_int;
    fn SSL_SESSION_is_resumable(session: *const sys::SSL_SESSION) -> c_int;
    fn ERR_set_mark() -> c_int;
    fn ERR_pop_to_mark() -> c_int;
    fn SSL_renegotiate_pending(ssl: *const sys::SSL) -> c_int;
    fn SSL_SESSION_dup(session: *const sys::SSL_SESSION) -> *mut sys::SSL_SESSION;
    fn SSL_SESSION_get0_hostname(session: *const sys::SSL_SESSION) -> *const c_char;
    pub(crate) fn SSL_SESSION_set_ex_data(
        session: *mut sys::SSL_SESSION,
        index: c_int,
        data: *mut c_void,
    ) -> c_int;
    pub(crate) fn SSL_SESSION_get_ex_data(
        session: *const sys::SSL_SESSION,
        index: c_int,
    ) -> *mut c_void;
    pub(crate) fn CRYPTO_get_ex_new_index(
        class: c_int,
        long: c_long,
        pointer: *mut c_void,
        new: *const c_void,
        dup: ExtraDup,
        free: ExtraFree,
    ) -> c_int;
}

/// What the info callback tells of that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Started,
    Done,
    /// A fatal alert is sent.
    Failed,
    /// Anything else, such as the next message.
    Step,
}

const SSL_CB_HANDSHAKE_START: c_int = 0x10;
const SSL_CB_HANDSHAKE_DONE: c_int = 0x20;
const SSL_CB_WRITE_ALERT: c_int = 0x4008;
const ALERT_LEVEL_FATAL: c_int = 2;

/// Runs `call` and leaves the thread's queue of errors as it was: libssl takes what is there for
/// the reason of whatever fails next.
pub(crate) fn without_errors<R>(call: impl FnOnce() -> R) -> R {
    // SAFETY: the queue is the thread's own; the marks are nested.
    let _is_not_empty = unsafe { ERR_set_mark() };
    let answer = call();
    // SAFETY: as above.
    let _found = unsafe { ERR_pop_to_mark() };
    answer
}

/// Whether both are one `SSL_SESSION`.
pub(crate) fn same(a: &SslSessionRef, b: &SslSessionRef) -> bool {
    a.as_ptr() == b.as_ptr()
}

/// Where a context lies: no two have it at one time.
pub(crate) fn address(context: &SslContextRef) -> usize {
    context.as_ptr() as usize
}

/// The session id context that the session was made under.
pub(crate) fn id_context(session: &SslSessionRef) -> &[u8] {
    let mut length = 0;
    // SAFETY: the session is alive; the answer points into it, at a field that is written only
    // before a session is shared.
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
        (
            sys::SSL_SESSION_get_time(session.as_ptr()),
            sys::SSL_SESSION_get_timeout(session.as_ptr()),
        )
    };
    let seconds = |value: c_long| u64::try_from(value).unwrap_or(0);
    (seconds(time), seconds(timeout))
}

/// False for what libssl has marked: removed, or of a connection that broke.
pub(crate) fn is_resumable(session: &SslSessionRef) -> bool {
    // SAFETY: the session is alive.
    unsafe { SSL_SESSION_is_resumable(session.as_ptr()) == 1 }
}

/// A session of its own with the same state, under another id context. `None` when memory is
/// exhausted.
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
    // SAFETY: the session is alive and not shared; 32 bytes are read, the most an id context may
    // have.
    unsafe {
        SSL_SESSION_set1_id_context(
            session.as_ptr(),
            id_context.as_ptr(),
            id_context.len() as c_uint,
        ) == 1
    }
}

/// Sets the timeout that a context gives to its sessions; returns nothing, as the former one is of
/// no use.
pub(crate) fn set_timeout(context: &mut SslContextBuilder, seconds: u64) {
    let seconds = c_long::try_from(seconds).unwrap_or(c_long::MAX);
    // SAFETY: the context is alive and not shared yet.
    let _former = unsafe { SSL_CTX_set_timeout(context.as_ptr(), seconds) };
}

/// The moment that an info callback's arguments tell of.
///
/// libssl tells of a start and an end once more where a handshake halts for early data; neither is
/// one.
pub(crate) fn moment(ssl: &SslRef, wherefore: c_int, value: c_int) -> Moment {
    match wherefore {
        SSL_CB_HANDSHAKE_START if !halts_for_early_data(ssl) => Moment::Started,
        SSL_CB_HANDSHAKE_DONE if !halts_for_early_data(ssl) => Moment::Done,
        SSL_CB_WRITE_ALERT if value >> 8 == ALERT_LEVEL_FATAL => Moment::Failed,
        _ => Moment::Step,
    }
}

/// Whether the state is `TLS_ST_EARLY_DATA` or `TLS_ST_PENDING_EARLY_DATA_END`. Their numbers
/// differ between versions of libssl, their names do not.
fn halts_for_early_data(ssl: &SslRef) -> bool {
    matches!(ssl.state_string(), "TED" | "TPEDE")
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

/// Seconds since the Unix epoch, by the call that libssl dates sessions by.
#[inline]
pub(crate) fn unix_seconds() -> u64 {
    // SAFETY: nothing is written through a null pointer.
    u64::try_from(unsafe { libc::time(ptr::null_mut()) }).unwrap_or(0)
}

/// The host name in the ClientHello that is being processed; that of the present handshake if none
/// is.
pub(crate) fn requested_host(ssl: &SslRef) -> Option<&[u8]> {
    const SERVER_NAME: c_uint = 0;
    let (mut bytes, mut length) = (ptr::null(), 0);
    // SAFETY: the connection is alive; the answer points into its ClientHello, which libssl frees
    // after the callback that this is called from.
    let extension = unsafe {
        match sys::SSL_client_hello_get0_ext(ssl.as_ptr(), SERVER_NAME, &mut bytes, &mut length) {
            1 => slice::from_raw_parts(bytes, length),
            _ => return ssl.servername_raw(NameType::HOST_NAME),
        }
    };
    // A list's length, a type of 0, a name's length, the name.
    let [_, _, 0, high, low, name @ ..] = extension else { return None };
    name.get(..usize::from(u16::from_be_bytes([*high, *low])))
}

/// Ends the handshake of a connection: libssl hands no message or data of the peer to it any more,
/// and accepts none to write, as if both sides had closed it.
pub(crate) fn end(ssl: &mut SslRef) {
    const SENT_AND_RECEIVED: c_int = 1 | 2;
    // SAFETY: the connection is alive.
    unsafe { sys::SSL_set_shutdown(ssl.as_ptr(), SENT_AND_RECEIVED) };
}

/// Tells the client of a server that has read its ClientHello, and sent nothing since, that the
/// handshake fails. libssl has no call for that outside of its own checks; an alert is in the clear
/// there, and known byte by byte. It is lost where the transport does not take it at once.
pub(crate) fn alert_before_server_hello(ssl: &mut SslRef) {
    const READ_CLIENT_HELLO: &str = "TRCH";
    /// A record of an alert: fatal, handshake_failure.
    const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];
    let is_stream = connection_version(ssl) >> 8 == 3;
    if ssl.state_string() != READ_CLIENT_HELLO || !is_first_handshake(ssl) || !is_stream {
        return;
    }
    // SAFETY: the connection is alive and keeps its transport, to which libssl writes in this very
    // call; seven bytes are read.
    let _written = unsafe {
        let transport = sys::SSL_get_wbio(ssl.as_ptr());
        sys::BIO_write(transport, ALERT.as_ptr().cast(), ALERT.len() as c_int)
    };
}

/// Offers a session that was made by a connection of the same context, or copied for it.
pub(crate) fn offer(ssl: &mut SslRef, session: &SslSessionRef) -> Result<(), ErrorStack> {
    // SAFETY: as said above.
    unsafe { ssl.set_session(session) }
}

/// Withdraws the session that a client was about to offer.
pub(crate) fn offer_nothing(ssl: &mut SslRef) {
    // SAFETY: the connection is alive and has not sent a ClientHello.
    let _always = unsafe { sys::SSL_set_session(ssl.as_ptr(), ptr::null_mut()) };
}

/// The name that the server acknowledged when the session was made.
pub(crate) fn session_host(session: &SslSessionRef) -> Option<&[u8]> {
    // SAFETY: the session is alive; the answer is a string within it that ends with a zero, and is
    // written only before a session is shared.
    unsafe {
        let name = SSL_SESSION_get0_hostname(session.as_ptr());
        (!name.is_null()).then(|| CStr::from_ptr(name).to_bytes())
    }
}
