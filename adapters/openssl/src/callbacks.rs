//! The functions that libssl calls, and the only way in which it calls us.
//!
//! They are set through libssl's own setters. Those of the `openssl` crate look their closure up in
//! a map behind a lock, at each call; these find their store at the context, by two loads.
//!
//! One info callback serves both sides, so that whatever is attached to a context, in whatever
//! order, the callback that the program had set is remembered once and is never this one.
//!
//! No panic leaves them: a hook, weigher or clock that panics costs the session that was at hand.

use std::ffi::{c_int, c_uchar, c_void};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::slice;

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslContextRef, SslRef, SslSession, SslSessionRef};
use openssl_sys as sys;
use sessile::Handshake;

use crate::attached::Attached;
use crate::attachment::{Place, Slot};
use crate::client_context::ClientContext;
use crate::context_store::{self, ContextStore};
use crate::ffi::{self, InfoCallback, Moment};
use crate::kept::Ending;
use crate::origin::Origin;
use crate::progress::Progress;

static SERVERS: Place<Attached> = Place::new();
static CLIENTS: Place<ClientContext> = Place::new();

/// The info callback that a context had before anything was attached to it.
static FORMER: Place<InfoCallback> = Place::new();

/// That of a connection, before a session was handed to it.
static FORMER_OF_CONNECTION: Slot<InfoCallback> = Slot::new();

/// Attaches a server's store.
pub(crate) fn install_server(
    context: &mut SslContextBuilder,
    store: ContextStore,
) -> Result<(), ErrorStack> {
    install_info(context)?;
    Origin::prepare();
    SERVERS.fill(context, Attached::new(store))?;
    // SAFETY: the context is alive and not shared yet; the callbacks are functions of these types.
    unsafe {
        let context = context.as_ptr();
        sys::SSL_CTX_sess_set_new_cb(context, Some(on_server_new));
        sys::SSL_CTX_sess_set_get_cb(context, Some(on_get));
        sys::SSL_CTX_sess_set_remove_cb(context, Some(on_remove));
        ffi::SSL_CTX_set_allow_early_data_cb(context, Some(on_early_data), ptr::null_mut());
    }
    Ok(())
}

/// Attaches a client's store.
pub(crate) fn install_client(
    context: &mut SslContextBuilder,
    store: ClientContext,
) -> Result<(), ErrorStack> {
    install_info(context)?;
    Ending::prepare();
    CLIENTS.fill(context, store)?;
    // SAFETY: as above.
    unsafe {
        let context = context.as_ptr();
        sys::SSL_CTX_sess_set_new_cb(context, Some(on_client_new));
        sys::SSL_CTX_sess_set_remove_cb(context, Some(on_remove));
    }
    Ok(())
}

/// The store attached to a client's context.
pub(crate) fn client_at(context: &SslContextRef) -> Option<&ClientContext> {
    CLIENTS.at(context)
}

/// What the first `attach` of a server's store left at a context.
pub(crate) fn server_at(context: &SslContextRef) -> Option<&Attached> {
    SERVERS.at(context)
}

/// Runs `call` with the server's store in force at a context.
fn with_server<R>(context: &SslContextRef, call: impl FnOnce(Option<&ContextStore>) -> R) -> R {
    let present = SERVERS.at(context).map(Attached::store);
    call(present.as_ref().and_then(|store| store.as_deref()))
}

fn is_ours(callback: InfoCallback) -> bool {
    ptr::fn_addr_eq(callback, on_info as InfoCallback)
}

/// Sets the info callback, and remembers the one in force unless that is it.
fn install_info(context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    // SAFETY: the context is alive, and nothing changes it meanwhile.
    let in_force = unsafe { ffi::SSL_CTX_get_info_callback(context.as_ptr()) };
    if let Some(former) = in_force.filter(|callback| !is_ours(*callback)) {
        FORMER.fill(context, former)?;
    }
    // SAFETY: the context is alive and not shared yet; the callback is a function of this type.
    unsafe { ffi::SSL_CTX_set_info_callback(context.as_ptr(), Some(on_info)) };
    Ok(())
}

/// Sets the info callback of a connection, which libssl calls also after a change of its context.
pub(crate) fn watch(ssl: &mut SslRef) -> Result<(), ErrorStack> {
    // SAFETY: the connection is alive.
    let in_force = unsafe { ffi::SSL_get_info_callback(ssl.as_ptr()) };
    if let Some(former) = in_force.filter(|callback| !is_ours(*callback)) {
        FORMER_OF_CONNECTION.fill(ssl, former)?;
    }
    // SAFETY: as above; the callback is a function of this type.
    unsafe { ffi::SSL_set_info_callback(ssl.as_ptr(), Some(on_info)) };
    Ok(())
}

/// Runs `call`; the default answer if it panics, which the panic hook has reported by then.
fn contained<R: Default>(call: impl FnOnce() -> R) -> R {
    let outcome = ffi::without_errors(|| catch_unwind(AssertUnwindSafe(call)));
    outcome.unwrap_or_else(|payload| {
        // What was thrown can throw again when it is dropped.
        if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            mem::forget(another);
        }
        R::default()
    })
}

/// Runs `call` with a connection and its present context.
///
/// # Safety
///
/// libssl lends the connection for the call, and nobody else uses it meanwhile.
unsafe fn with_context<R: Default>(
    ssl: *mut sys::SSL,
    call: impl FnOnce(&mut SslRef, &SslContextRef) -> R,
) -> R {
    // SAFETY: as the caller says; the connection keeps its context alive, and no call of ours
    // changes anything of it but the connection's extra data.
    let (ssl, context) =
        unsafe { (SslRef::from_ptr_mut(ssl), SslContextRef::from_ptr(sys::SSL_get_SSL_CTX(ssl))) };
    contained(|| call(ssl, context))
}

/// libssl made a session and gives one reference away.
unsafe extern "C" fn on_server_new(ssl: *mut sys::SSL, session: *mut sys::SSL_SESSION) -> c_int {
    // SAFETY: the reference is ours: the answer is always 1, and dropping gives it back. libssl
    // lends the connection for the call.
    unsafe {
        let session = SslSession::from_ptr(session);
        with_context(ssl, |ssl, context| {
            Origin::part(&session);
            with_server(context, |store| {
                if let Some(store) = store {
                    store.keep(ssl, session);
                }
            });
        });
    }
    1
}

/// A client offers an id. What is returned is libssl's own: `copy` says that no further reference
/// is to be taken.
unsafe extern "C" fn on_get(
    ssl: *mut sys::SSL,
    id: *const c_uchar,
    length: c_int,
    copy: *mut c_int,
) -> *mut sys::SSL_SESSION {
    let length = usize::try_from(length).ok().filter(|length| *length > 0 && !id.is_null());
    // SAFETY: libssl lends an integer to write to, `length` bytes, and the connection for the call.
    let found = unsafe {
        *copy = 0;
        let id = length.map_or(&[][..], |length| slice::from_raw_parts(id, length));
        with_context(ssl, |ssl, context| {
            let found = with_server(context, |store| store?.find(ssl, id))?;
            // A connection that cannot be watched resumes nothing.
            watch(ssl).ok().map(|()| found)
        })
    };
    found.map_or(ptr::null_mut(), |session| {
        let address = session.as_ptr();
        mem::forget(session);
        address
    })
}

/// libssl wants a session forgotten, on either side.
unsafe extern "C" fn on_remove(context: *mut sys::SSL_CTX, session: *mut sys::SSL_SESSION) {
    contained(|| {
        // SAFETY: libssl lends both for the call.
        let (context, session) =
            unsafe { (SslContextRef::from_ptr(context), SslSessionRef::from_ptr(session)) };
        Ending::come(session);
        // Also where the context has no store any more.
        Origin::of(session).into_iter().for_each(Origin::end);
        with_server(context, |store| {
            if let Some(store) = store {
                store.forget(session);
            }
        });
    });
}

/// libssl asks whether early data may be read.
unsafe extern "C" fn on_early_data(ssl: *mut sys::SSL, _: *mut c_void) -> c_int {
    // SAFETY: libssl lends the connection for the call.
    let is_allowed = unsafe {
        with_context(ssl, |ssl, context| {
            with_server(context, |store| store.is_some_and(|store| store.allows_early_data(ssl)))
        })
    };
    c_int::from(is_allowed)
}

/// A client's connection got a session, or a TLS 1.3 ticket.
unsafe extern "C" fn on_client_new(ssl: *mut sys::SSL, session: *mut sys::SSL_SESSION) -> c_int {
    // SAFETY: as in `on_server_new`.
    unsafe {
        let session = SslSession::from_ptr(session);
        with_context(ssl, |ssl, context| {
            if let Some(store) = CLIENTS.at(context) {
                store.keep(ssl, session);
            }
        });
    }
    1
}

unsafe extern "C" fn on_info(ssl: *const sys::SSL, wherefore: c_int, value: c_int) {
    // SAFETY: libssl lends the connection for the call, and nobody else uses it meanwhile.
    let former = unsafe {
        with_context(ssl.cast_mut(), |ssl, context| {
            let moment = ffi::moment(ssl, wherefore, value);
            match ssl.is_server() {
                true => contained(|| {
                    with_server(context, |store| tell_server(ssl, store, moment));
                }),
                false => contained(|| tell_client(ssl, CLIENTS.at(context), moment)),
            }
            former_of(ssl, context)
        })
    };
    if let Some(former) = former {
        // SAFETY: it was set as the callback of this connection or context, and is called with what
        // libssl would have called it with.
        unsafe { former(ssl, wherefore, value) };
    }
}

/// The callback that libssl would have called.
fn former_of(ssl: &SslRef, context: &SslContextRef) -> Option<InfoCallback> {
    // SAFETY: the context is alive.
    let in_force = || unsafe { ffi::SSL_CTX_get_info_callback(context.as_ptr()) };
    let of_connection = FORMER_OF_CONNECTION.at(ssl).copied();
    of_connection
        .or_else(|| in_force().filter(|one| !is_ours(*one)))
        .or_else(|| FORMER.at(context).copied())
}

fn tell_server(ssl: &mut SslRef, store: Option<&ContextStore>, moment: Moment) {
    if moment == Moment::Started {
        Progress::start(ssl);
        let is_first = ffi::is_first_handshake(ssl);
        if let Some(store) = store {
            store.record(if is_first { Handshake::Accept } else { Handshake::AcceptRenegotiate });
        }
        return;
    }
    if ssl.session_reused() {
        context_store::settle(ssl);
    }
    if context_store::is_astray(ssl, store) {
        return context_store::refuse(ssl, store);
    }
    match moment {
        Moment::Failed if !ssl.session_reused() => context_store::give_back(ssl),
        // A HelloRequest that was sent counts as a handshake that never ended.
        Moment::Done if !ffi::awaits_renegotiation(ssl) => {
            if let Some(progress) = Progress::begun(ssl) {
                progress.finish();
            }
            if let Some(store) = store {
                store.record(Handshake::AcceptGood);
                if ssl.session_reused() {
                    store.record(Handshake::Resumed);
                }
            }
        }
        _ => {}
    }
}

fn tell_client(ssl: &mut SslRef, store: Option<&ClientContext>, moment: Moment) {
    let Some(store) = store else { return ClientContext::lose(ssl) };
    match moment {
        Moment::Started if ffi::is_first_handshake(ssl) => store.record(Handshake::Connect),
        Moment::Started => store.record(Handshake::ConnectRenegotiate),
        Moment::Done => {
            store.record(Handshake::ConnectGood);
            if ssl.session_reused() {
                store.record(Handshake::Resumed);
            }
        }
        Moment::Failed | Moment::Step => {}
    }
    store.follow(ssl, moment);
}
