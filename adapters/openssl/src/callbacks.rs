//! The functions that libssl calls, and the only way in which it calls us.
//!
//! They are set through libssl's own setters. Those of the `openssl` crate look their closure up in a map behind a lock, at
//! each call; these find their store at the context, by two loads.
//!
//! No panic leaves them: a hook, weigher or clock that panics costs the session that was at hand.

use std::ffi::{c_int, c_uchar};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::slice;

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslContextRef, SslRef, SslSession, SslSessionRef};
use openssl_sys as sys;
use sessile::Handshake;

use crate::attachment::{Attachment, Place};
use crate::client::ContextMemory;
use crate::ffi::{self, InfoCallback, Moment};
use crate::retry;
use crate::server::ContextStore;

static SERVERS: Place<ContextStore> = Place::new();
static CLIENTS: Place<ContextMemory> = Place::new();

/// Attaches a server's store; `attachment` is told the info callback that was set before.
pub(crate) fn install_server(
    context: &mut SslContextBuilder,
    attachment: impl FnOnce(Option<InfoCallback>) -> Attachment<ContextStore>,
) -> Result<(), ErrorStack> {
    SERVERS.fill(context, attachment(former_info(context, on_server_info, &SERVERS)))?;
    // SAFETY: the context is alive and not shared yet; the callbacks are functions of these types.
    unsafe {
        let context = context.as_ptr();
        sys::SSL_CTX_sess_set_new_cb(context, Some(on_server_new));
        sys::SSL_CTX_sess_set_get_cb(context, Some(on_get));
        sys::SSL_CTX_sess_set_remove_cb(context, Some(on_remove));
        ffi::SSL_CTX_set_info_callback(context, Some(on_server_info));
    }
    Ok(())
}

/// Attaches a client's memory.
pub(crate) fn install_client(
    context: &mut SslContextBuilder,
    attachment: impl FnOnce(Option<InfoCallback>) -> Attachment<ContextMemory>,
) -> Result<(), ErrorStack> {
    CLIENTS.fill(context, attachment(former_info(context, on_client_info, &CLIENTS)))?;
    // SAFETY: as above.
    unsafe {
        sys::SSL_CTX_sess_set_new_cb(context.as_ptr(), Some(on_client_new));
        ffi::SSL_CTX_set_info_callback(context.as_ptr(), Some(on_client_info));
    }
    Ok(())
}

/// The memory attached to a client's context.
pub(crate) fn memory_at(context: &SslContextRef) -> Option<&ContextMemory> {
    CLIENTS.at(context).map(|attachment| &attachment.store)
}

/// The info callback in force. If it is `ours`, a store is attached for the second time: then the one before it.
fn former_info<S: Send + Sync + 'static>(
    context: &SslContextBuilder,
    ours: InfoCallback,
    place: &Place<S>,
) -> Option<InfoCallback> {
    // SAFETY: the context is alive, and nothing changes it meanwhile.
    let (in_force, context) = unsafe {
        let in_force = ffi::SSL_CTX_get_info_callback(context.as_ptr());
        (in_force?, SslContextRef::from_ptr(context.as_ptr()))
    };
    if ptr::fn_addr_eq(in_force, ours) { place.at(context)?.former } else { Some(in_force) }
}

/// Runs `call`; the default answer if it panics, which the panic hook has reported by then.
fn contained<R: Default>(call: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        // What was thrown can throw again when it is dropped.
        if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            mem::forget(another);
        }
        R::default()
    })
}

/// libssl made a session and gives one reference away.
unsafe extern "C" fn on_server_new(ssl: *mut sys::SSL, session: *mut sys::SSL_SESSION) -> c_int {
    contained(|| {
        // SAFETY: the reference is ours: the answer is always 1, and dropping gives it back.
        let session = unsafe { SslSession::from_ptr(session) };
        // SAFETY: libssl lends the connection for the call.
        let ssl = unsafe { SslRef::from_ptr(ssl) };
        if let Some(attachment) = SERVERS.at(ssl.ssl_context()) {
            attachment.store.keep(session);
        }
    });
    1
}

/// A client offers an id. What is returned is libssl's own: `copy` says that no further reference is to be taken.
unsafe extern "C" fn on_get(
    ssl: *mut sys::SSL,
    id: *const c_uchar,
    length: c_int,
    copy: *mut c_int,
) -> *mut sys::SSL_SESSION {
    // SAFETY: libssl lends an integer to write to.
    unsafe { *copy = 0 };
    let found = contained(|| {
        let length = usize::try_from(length).ok().filter(|length| *length > 0 && !id.is_null())?;
        // SAFETY: libssl lends `length` bytes and the connection for the call.
        let (ssl, id) = unsafe { (SslRef::from_ptr_mut(ssl), slice::from_raw_parts(id, length)) };
        // SAFETY: the connection keeps its context alive, and a lookup changes nothing but the connection's extra data.
        let context = unsafe { SslContextRef::from_ptr(sys::SSL_get_SSL_CTX(ssl.as_ptr())) };
        SERVERS.at(context)?.store.find(ssl, id)
    });
    found.map_or(ptr::null_mut(), |session| {
        let address = session.as_ptr();
        mem::forget(session);
        address
    })
}

/// libssl wants a session forgotten.
unsafe extern "C" fn on_remove(context: *mut sys::SSL_CTX, session: *mut sys::SSL_SESSION) {
    contained(|| {
        // SAFETY: libssl lends both for the call.
        let (context, session) =
            unsafe { (SslContextRef::from_ptr(context), SslSessionRef::from_ptr(session)) };
        if let Some(attachment) = SERVERS.at(context) {
            attachment.store.forget(session);
        }
    });
}

/// A client's connection got a session, or a TLS 1.3 ticket.
unsafe extern "C" fn on_client_new(ssl: *mut sys::SSL, session: *mut sys::SSL_SESSION) -> c_int {
    contained(|| {
        // SAFETY: as in `on_server_new`.
        let (ssl, session) = unsafe { (SslRef::from_ptr(ssl), SslSession::from_ptr(session)) };
        if let Some(attachment) = CLIENTS.at(ssl.ssl_context()) {
            attachment.store.keep(ssl, session);
        }
    });
    1
}

unsafe extern "C" fn on_server_info(ssl: *const sys::SSL, wherefore: c_int, value: c_int) {
    contained(|| {
        if ffi::moment(wherefore).is_some() {
            // SAFETY: libssl lends the connection for the call, and nobody else uses it meanwhile.
            retry::forget(unsafe { SslRef::from_ptr_mut(ssl.cast_mut()) });
        }
        tell(&SERVERS, ssl, wherefore, value, |store, event| store.cache().record(event));
    });
}

unsafe extern "C" fn on_client_info(ssl: *const sys::SSL, wherefore: c_int, value: c_int) {
    contained(|| tell(&CLIENTS, ssl, wherefore, value, |memory, event| memory.record(event)));
}

fn tell<S: Send + Sync + 'static>(
    place: &Place<S>,
    connection: *const sys::SSL,
    wherefore: c_int,
    value: c_int,
    record: impl FnOnce(&S, Handshake),
) {
    // SAFETY: libssl lends the connection for the call.
    let ssl = unsafe { SslRef::from_ptr(connection.cast_mut()) };
    let Some(attachment) = place.at(ssl.ssl_context()) else { return };
    if let Some(event) = ffi::moment(wherefore).and_then(|moment| event(ssl, moment)) {
        record(&attachment.store, event);
    }
    if let Some(former) = attachment.former {
        // SAFETY: it was set as the callback of this context and is called with what libssl would have called it with.
        unsafe { former(connection, wherefore, value) };
    }
}

/// The counter that libssl raises at this moment, if any: a HelloRequest that was sent counts as a handshake that never
/// ended.
fn event(ssl: &SslRef, moment: Moment) -> Option<Handshake> {
    let event = match (ssl.is_server(), moment) {
        (true, Moment::Started) if ffi::is_first_handshake(ssl) => Handshake::Accept,
        (true, Moment::Started) => Handshake::AcceptRenegotiate,
        (true, Moment::Done) if ffi::awaits_renegotiation(ssl) => return None,
        (true, Moment::Done) => Handshake::AcceptGood,
        (false, Moment::Started) if ffi::is_first_handshake(ssl) => Handshake::Connect,
        (false, Moment::Started) => Handshake::ConnectRenegotiate,
        (false, Moment::Done) => Handshake::ConnectGood,
    };
    Some(event)
}
