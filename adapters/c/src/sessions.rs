//! `SSL_CTX_add_session(3)` and its family.

use std::ffi::{c_int, c_long, c_void};
use std::time::Duration;

use foreign_types::ForeignTypeRef;
use libc::time_t;
use openssl_sys::SSL_SESSION;
use sessile_openssl::openssl::ssl::SslSessionRef;

use crate::border::{answer, guarded, shared};
use crate::error::Error;
use crate::store::Store;

unsafe extern "C" {
    fn SSL_SESSION_set_timeout(session: *mut SSL_SESSION, seconds: c_long) -> c_long;
}

/// # Safety
///
/// Null, or a session that lives for `'a`.
unsafe fn session_at<'a>(session: *mut SSL_SESSION) -> Result<&'a SslSessionRef, Error> {
    if session.is_null() {
        return Err(Error::Null);
    }
    // SAFETY: as the caller says.
    Ok(unsafe { SslSessionRef::from_ptr(session) })
}

/// Stores a session, with a reference of the store's own. `*changed` becomes 0 if this very session
/// was stored already, and else 1; another one with its id is replaced. `changed` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_add(
    store: *const Store,
    session: *mut SSL_SESSION,
    changed: *mut c_int,
) -> Error {
    guarded(|| {
        // SAFETY: the caller gives a store, a session and memory for a number, or null.
        unsafe {
            answer(changed, 0);
            let added = shared(store)?.0.add_session(session_at(session)?)?;
            answer(changed, c_int::from(added.changed()));
        }
        Ok(())
    })
}

/// Removes whatever is stored under the id of a session, as `SSL_CTX_remove_session` since OpenSSL
/// 1.1. `*removed` becomes 1 if something was; it may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_remove(
    store: *const Store,
    session: *mut SSL_SESSION,
    removed: *mut c_int,
) -> Error {
    guarded(|| {
        // SAFETY: as in `sessile_add`.
        unsafe {
            answer(removed, 0);
            let is_removed = shared(store)?.0.remove_id_of(session_at(session)?);
            answer(removed, c_int::from(is_removed));
        }
        Ok(())
    })
}

/// Removes this very session, as `SSL_CTX_remove_session` before OpenSSL 1.1: nothing happens if
/// another one is stored under its id. `*removed` becomes 1 if it was; it may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_remove_exactly(
    store: *const Store,
    session: *mut SSL_SESSION,
    removed: *mut c_int,
) -> Error {
    guarded(|| {
        // SAFETY: as in `sessile_add`.
        unsafe {
            answer(removed, 0);
            let is_removed = shared(store)?.0.remove_session(session_at(session)?);
            answer(removed, c_int::from(is_removed));
        }
        Ok(())
    })
}

/// Changes the timeout of a session, in seconds, and of what is stored if it is this very session:
/// `SSL_SESSION_set_timeout` alone is not told to the store.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_set_session_timeout(
    store: *const Store,
    session: *mut SSL_SESSION,
    seconds: u64,
) -> Error {
    guarded(|| {
        // SAFETY: the caller gives a store and a session, or null.
        let (store, session) = unsafe { (&shared(store)?.0, session_at(session)?) };
        let number = seconds.try_into().map_err(|_| Error::Argument)?;
        // SAFETY: the session is alive.
        if unsafe { SSL_SESSION_set_timeout(session.as_ptr(), number) } != 1 {
            return Err(Error::Libssl);
        }
        if let Some(stored) = store.stored(session) {
            stored.set_timeout(Duration::from_secs(seconds));
        }
        Ok(())
    })
}

/// Removes what is expired at a time, in seconds since 1970, or everything if that is 0. `*removed`
/// becomes the number of sessions; it may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_flush(
    store: *const Store,
    time: time_t,
    removed: *mut usize,
) -> Error {
    guarded(|| {
        // SAFETY: the caller gives a store and memory for a number, or null.
        unsafe {
            answer(removed, 0);
            let time = u64::try_from(time).map_err(|_| Error::Argument)?;
            let count = shared(store)?.0.flush_sessions(time);
            answer(removed, count);
        }
        Ok(())
    })
}

/// Frees what was removed and is not seen by a running operation any more. It happens by itself
/// while the store is in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_collect(store: *const Store) -> Error {
    guarded(|| {
        // SAFETY: the caller gives a store or null.
        unsafe { shared(store)? }.0.cache().collect();
        Ok(())
    })
}

/// Calls `visit` with each session that is stored, in no order, until it answers 0. It may use the
/// store. The session is lent for the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_for_each(
    store: *const Store,
    visit: Option<unsafe extern "C" fn(session: *mut SSL_SESSION, user: *mut c_void) -> c_int>,
    user: *mut c_void,
) -> Error {
    guarded(|| {
        // SAFETY: the caller gives a store or null.
        let store = unsafe { shared(store)? };
        let visit = visit.ok_or(Error::Null)?;
        for session in store.0.sessions() {
            // SAFETY: the session is alive; `user` is what the function of the caller wants.
            if unsafe { visit(session.as_ptr(), user) } == 0 {
                break;
            }
        }
        Ok(())
    })
}
