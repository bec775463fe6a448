//! The program's callbacks behind the store's, as libssl has them behind its own cache.

use std::ffi::{c_int, c_uchar};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use foreign_types::ForeignTypeRef;
use openssl_sys::{self as sys, SSL, SSL_CTX, SSL_SESSION};
use sessile_openssl::ServerStore;
use sessile_openssl::openssl::ssl::{SslSession, SslSessionRef};
use sessile_openssl::sessile::{Hooks, RemovalCause};

use crate::connection;
use crate::decision::{grow, store_of};
use crate::real::{self, GetCallback, NewCallback, RemoveCallback};
use crate::record::{self, Record};
use crate::scope::{self, about};

unsafe extern "C" {
    fn SSL_SESSION_is_resumable(session: *const SSL_SESSION) -> c_int;
}

/// The store's callbacks, which are the same for all contexts.
#[derive(Clone, Copy)]
struct Store {
    new: Option<NewCallback>,
    get: Option<GetCallback>,
    remove: Option<RemoveCallback>,
}

static STORE: OnceLock<Store> = OnceLock::new();

/// The callbacks that are set on a context.
///
/// # Safety
///
/// A context that is alive.
unsafe fn in_force(context: *mut SSL_CTX) -> Store {
    // SAFETY: as the caller says; these calls change nothing.
    unsafe {
        Store {
            new: real::SSL_CTX_sess_get_new_cb.get().and_then(|real| real(context)),
            get: real::SSL_CTX_sess_get_get_cb.get().and_then(|real| real(context)),
            remove: real::SSL_CTX_sess_get_remove_cb.get().and_then(|real| real(context)),
        }
    }
}

/// Notes the program's callbacks, before a store is attached.
///
/// # Safety
///
/// A context that is alive.
pub(crate) unsafe fn note(context: *mut SSL_CTX, record: &Record) {
    // SAFETY: as the caller says.
    let program = unsafe { in_force(context) };
    record.callbacks.new.set(program.new);
    record.callbacks.get.set(program.get);
    record.callbacks.remove.set(program.remove);
}

/// Sets the functions of this file, after a store was attached.
///
/// # Safety
///
/// A context that is alive and that nobody else uses meanwhile.
pub(crate) unsafe fn install(context: *mut SSL_CTX) {
    // SAFETY: as the caller says; the functions are of these types.
    unsafe {
        let store = in_force(context);
        let _is_first = STORE.set(store);
        if let Some(real) = real::SSL_CTX_sess_set_new_cb.get() {
            real(context, Some(on_new));
        }
        if let Some(real) = real::SSL_CTX_sess_set_get_cb.get() {
            real(context, Some(on_get));
        }
        if let Some(real) = real::SSL_CTX_sess_set_remove_cb.get() {
            real(context, Some(on_remove));
        }
    }
}

/// Tells the program's remove callback of what leaves the store without being removed by call.
pub(crate) fn tell_removals(store: &ServerStore) {
    store.cache().set_hooks(Hooks::<SslSession>::new().on_removed(|session, cause| {
        let context = scope::context();
        // libssl says nothing of a replacement, and by itself tells of what it removes.
        if context.is_null() || matches!(cause, RemovalCause::Replaced | RemovalCause::Removed) {
            return;
        }
        // SAFETY: the context is alive for as long as this thread's call is about it, and the
        // session for this call.
        unsafe {
            if let Some(remove) =
                record::of(context).and_then(|record| record.callbacks.remove.get())
            {
                remove(context, session.as_ptr());
            }
        }
    }));
}

/// The context that a connection was made of, whose callbacks libssl calls wherever it was moved
/// to, and its record.
///
/// # Safety
///
/// A connection that lives for `'s`.
unsafe fn first_of<'s>(ssl: *mut SSL) -> (*mut SSL_CTX, Option<&'s Record>) {
    // SAFETY: as the caller says: it keeps that context alive.
    unsafe {
        let context = connection::first_context(ssl);
        (context, record::of(context))
    }
}

unsafe extern "C" fn on_new(ssl: *mut SSL, session: *mut SSL_SESSION) -> c_int {
    // SAFETY: libssl lends the connection and gives one reference to the session. The store's
    // callback takes another one, and always answers 1; the program gets libssl's.
    unsafe {
        let (context, record) = first_of(ssl);
        let new = STORE.get().filter(|_| !connection::is_apart(ssl)).and_then(|store| store.new);
        if let Some(store) = new {
            sys::SSL_SESSION_up_ref(session);
            about(context, || store(ssl, session));
            grow(sys::SSL_get_SSL_CTX(ssl));
        }
        match record.and_then(|record| record.callbacks.new.get()) {
            Some(program) => program(ssl, session),
            None => 0,
        }
    }
}

/// Whether libssl would refuse whatever is found: no id context was set, and clients are verified.
/// It ends the handshake then; here it becomes a full one.
///
/// # Safety
///
/// A connection that is alive.
unsafe fn is_refused(ssl: *mut SSL) -> bool {
    // SAFETY: as the caller says: it keeps its context alive.
    unsafe {
        let record = record::of(sys::SSL_get_SSL_CTX(ssl));
        record.is_some_and(|record| !record.has_id_context())
            && sys::SSL_get_verify_mode(ssl) & sys::SSL_VERIFY_PEER != 0
    }
}

unsafe extern "C" fn on_get(
    ssl: *mut SSL,
    id: *const c_uchar,
    length: c_int,
    copy: *mut c_int,
) -> *mut SSL_SESSION {
    // SAFETY: libssl lends all of it for the call; either callback answers as libssl wants it.
    unsafe {
        let (context, record) = first_of(ssl);
        if is_refused(ssl) {
            return std::ptr::null_mut();
        }
        let store = STORE.get().and_then(|store| store.get);
        let look = |copy| match store.filter(|_| !connection::is_apart(ssl)) {
            Some(store) => about(context, || store(ssl, id, length, copy)),
            None => std::ptr::null_mut(),
        };
        let found = look(copy);
        let program = record.and_then(|record| Some((record, record.callbacks.get.get()?)));
        let Some((record, program)) = program.filter(|_| found.is_null()) else { return found };
        // libssl's own preset.
        *copy = 1;
        let supplied = program(ssl, id, length, copy);
        // libssl passes over what is marked.
        if supplied.is_null() || SSL_SESSION_is_resumable(supplied) == 0 {
            return supplied;
        }
        // ORDERING: Relaxed: a counter.
        record.supplied.fetch_add(1, Ordering::Relaxed);
        if !store_supplied(ssl, context, supplied) {
            return supplied;
        }
        let mut is_kept = 0;
        let handed = look(&mut is_kept);
        if handed.is_null() {
            return supplied;
        }
        if *copy == 0 {
            sys::SSL_SESSION_free(supplied);
        }
        *copy = is_kept;
        handed
    }
}

/// Stores what the program has supplied, as libssl does. The store then has a copy for a session
/// that another process has made under the same name; libssl would miss its own id context.
///
/// # Safety
///
/// A connection, the context that it was made of and a session, which are alive.
unsafe fn store_supplied(ssl: *mut SSL, context: *mut SSL_CTX, session: *mut SSL_SESSION) -> bool {
    // SAFETY: as the caller says.
    unsafe {
        let Some(store) = store_of(context).filter(|_| !connection::is_apart(ssl)) else {
            return false;
        };
        let added = about(context, || store.add_session(SslSessionRef::from_ptr(session)));
        grow(context);
        added.is_ok()
    }
}

unsafe extern "C" fn on_remove(context: *mut SSL_CTX, session: *mut SSL_SESSION) {
    // SAFETY: libssl lends both for the call.
    unsafe {
        if let Some(store) = STORE.get().and_then(|store| store.remove) {
            about(context, || store(context, session));
        }
        if let Some(program) = record::of(context).and_then(|record| record.callbacks.remove.get())
        {
            program(context, session);
        }
    }
}

/// Runs what is called by C: a panic costs the answer.
pub(crate) fn contained<R>(otherwise: R, call: impl FnOnce() -> R) -> R {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(answer) => answer,
        Err(payload) => {
            // What was thrown can throw again when it is dropped: it is not.
            std::mem::forget(payload);
            otherwise
        }
    }
}
