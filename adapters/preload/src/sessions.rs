//! `SSL_CTX_add_session(3)` and its family, for contexts that have a store.
//!
//! libssl itself may call them by their names: it sweeps its cache now and then, which an attached
//! context has switched off, flushes it when a context ends, and removes sessions of connections
//! that broke.
//!
//! `SSL_add_session` and `SSL_remove_session`, which the manual page names too, do not exist in
//! OpenSSL 3.

use std::ffi::{c_int, c_long};
use std::sync::Arc;
use std::time::Duration;

use foreign_types::ForeignTypeRef;
use libc::time_t;
use openssl_sys::{SSL_CTX, SSL_SESSION};
use sessile_openssl::ServerStore;
use sessile_openssl::openssl::ssl::SslSessionRef;

use crate::chain::{contained, tell_removals};
use crate::decision::{grow, store_of};
use crate::real::{self, GetCallback, NewCallback, RemoveCallback};
use crate::record::{self, Record};
use crate::scope::{about, is_freeing, is_ours};

/// Stores a session. Answers 1 if that changed something: not if this very session was stored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_add_session(
    context: *mut SSL_CTX,
    session: *mut SSL_SESSION,
) -> c_int {
    // SAFETY: the program gives a context and a session, which are alive.
    contained(0, || unsafe {
        match store_of(context).filter(|_| !session.is_null()) {
            Some(store) => about(context, || {
                let added = store.add_session(SslSessionRef::from_ptr(session));
                grow(context);
                c_int::from(added.is_ok_and(|added| added.changed()))
            }),
            None => real::SSL_CTX_add_session.of(context).map_or(0, |real| real(context, session)),
        }
    })
}

/// Removes whatever is stored under a session's id. libssl then marks the session that was given,
/// and tells the program's callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_remove_session(
    context: *mut SSL_CTX,
    session: *mut SSL_SESSION,
) -> c_int {
    // SAFETY: as above.
    contained(0, || unsafe {
        let store = store_of(context).filter(|_| !session.is_null());
        let is_removed = store.is_some_and(|store| {
            about(context, || store.remove_id_of(SslSessionRef::from_ptr(session)))
        });
        let real =
            real::SSL_CTX_remove_session.of(context).map_or(0, |real| real(context, session));
        c_int::from(is_removed || real == 1)
    })
}

/// Removes what is expired at a time, or everything if it is 0; before 1970 nothing is. The end of
/// a context empties a store that is its alone, so that the program's callback hears of it as with
/// libssl.
///
/// # Safety
///
/// A context that is alive, or null.
unsafe fn flush(context: *mut SSL_CTX, time: i64) {
    let Ok(time) = u64::try_from(time) else { return };
    // SAFETY: as the caller says.
    let (store, record) = unsafe { (store_of(context), record::of(context)) };
    let is_alone = |store: &ServerStore| {
        record.and_then(Record::store).is_some_and(|attached| {
            Arc::strong_count(attached) == 1 && Arc::ptr_eq(attached.store.cache(), store.cache())
        })
    };
    if let Some(store) = store.filter(|store| !is_freeing() || is_alone(store)) {
        about(context, || store.flush_sessions(time));
    }
}

/// Removes what is expired at a time, or everything if it is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_flush_sessions(context: *mut SSL_CTX, time: c_long) {
    // SAFETY: the program's context is alive.
    contained((), || unsafe {
        flush(context, time);
        if let Some(real) = real::SSL_CTX_flush_sessions.of(context) {
            real(context, time);
        }
    });
}

/// Removes what is expired at a time, or everything if it is 0. Since OpenSSL 3.4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_flush_sessions_ex(context: *mut SSL_CTX, time: time_t) {
    // SAFETY: the program's context is alive.
    contained((), || unsafe {
        flush(context, time);
        match real::SSL_CTX_flush_sessions_ex.of(context) {
            Some(real) => real(context, time),
            None => {
                if let Some(real) = real::SSL_CTX_flush_sessions.of(context) {
                    real(context, time);
                }
            }
        }
    });
}

/// Sets the timeout of the context, and of its store.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_set_timeout(context: *mut SSL_CTX, seconds: c_long) -> c_long {
    // SAFETY: the program's context is alive.
    contained(0, || unsafe {
        let store = if is_ours() { None } else { store_of(context) };
        if let (Some(store), Ok(seconds)) = (store, u64::try_from(seconds)) {
            store.set_timeout(Duration::from_secs(seconds));
        }
        real::SSL_CTX_set_timeout.of(context).map_or(0, |real| real(context, seconds))
    })
}

/// The record of a context that this library has attached, for a caller that is the program.
///
/// # Safety
///
/// A context that lives for `'c`.
unsafe fn attached<'c>(context: *mut SSL_CTX) -> Option<&'c Record> {
    // SAFETY: as the caller says.
    unsafe { record::of(context) }.filter(|record| !is_ours() && record.is_attached())
}

macro_rules! callbacks {
    ($($setter:ident, $getter:ident, $field:ident, $type:ty;)*) => { $(
        /// Sets the program's callback. Behind a store it is called after the store's own.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $setter(context: *mut SSL_CTX, callback: Option<$type>) {
            // SAFETY: the program's context is alive.
            contained((), || unsafe {
                match attached(context) {
                    Some(record) => {
                        record.callbacks.$field.set(callback);
                        tell_program(context, record);
                    }
                    None => {
                        if let Some(real) = real::$setter.of(context) {
                            real(context, callback);
                        }
                    }
                }
            });
        }

        /// The program's callback.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $getter(context: *mut SSL_CTX) -> Option<$type> {
            // SAFETY: the program's context is alive.
            contained(None, || unsafe {
                match attached(context) {
                    Some(record) => record.callbacks.$field.get(),
                    None => real::$getter.of(context).and_then(|real| real(context)),
                }
            })
        }
    )* };
}

callbacks! {
    SSL_CTX_sess_set_new_cb, SSL_CTX_sess_get_new_cb, new, NewCallback;
    SSL_CTX_sess_set_get_cb, SSL_CTX_sess_get_get_cb, get, GetCallback;
    SSL_CTX_sess_set_remove_cb, SSL_CTX_sess_get_remove_cb, remove, RemoveCallback;
}

/// Has the store tell the program of what leaves it, if the program wants to hear.
///
/// # Safety
///
/// A context that is alive.
unsafe fn tell_program(context: *mut SSL_CTX, record: &Record) {
    // SAFETY: as the caller says.
    if let Some(store) = unsafe { store_of(context) } {
        if record.callbacks.remove.get().is_some() {
            tell_removals(&store);
        }
    }
}
