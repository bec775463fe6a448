//! OpenSSL's own cache, through the system's libssl.
//!
//! Adds, removals, evictions and sweeps are the calls a server makes. The cache has no public
//! lookup but `SSL_has_matching_session_id`, which searches it under its lock and returns no
//! handle: lookups here do a little less than a server's. Its sessions are `SSL_SESSION`s of about
//! a kilobyte; making one costs more than most stores need to store it.

use crate::ids::Id;
use crate::store::{Lifetime, Store, Value};
use openssl_sys as ffi;
use std::cell::RefCell;
use std::ffi::{c_int, c_long, c_uchar, c_uint};
use std::ptr;

unsafe extern "C" {
    fn SSL_has_matching_session_id(ssl: *const ffi::SSL, id: *const c_uchar, len: c_uint) -> c_int;
    fn SSL_SESSION_new() -> *mut ffi::SSL_SESSION;
    fn SSL_SESSION_set1_id(
        session: *mut ffi::SSL_SESSION,
        id: *const c_uchar,
        len: c_uint,
    ) -> c_int;
    fn SSL_SESSION_set_protocol_version(session: *mut ffi::SSL_SESSION, version: c_int) -> c_int;
    fn SSL_SESSION_set_time(session: *mut ffi::SSL_SESSION, seconds: c_long) -> c_long;
    fn SSL_SESSION_set_timeout(session: *mut ffi::SSL_SESSION, seconds: c_long) -> c_long;
    fn SSL_CTX_flush_sessions(context: *mut ffi::SSL_CTX, now: c_long);
}

/// The version of an `SSL` that has not shaken hands, and so of the sessions that it matches.
const VERSION: c_int = ffi::TLS1_3_VERSION;
const SESS_CACHE_SERVER: c_long = 2;
const CTRL_SESS_NUMBER: c_int = 20;

/// A counted `SSL_SESSION`.
pub struct SslSession(*mut ffi::SSL_SESSION);

// SAFETY: `SSL_SESSION` counts its references atomically, and nothing here changes one after it was
// made.
unsafe impl Send for SslSession {}
// SAFETY: as above.
unsafe impl Sync for SslSession {}

impl Clone for SslSession {
    fn clone(&self) -> Self {
        // SAFETY: a live session.
        unsafe { ffi::SSL_SESSION_up_ref(self.0) };
        Self(self.0)
    }
}

impl Drop for SslSession {
    fn drop(&mut self) {
        // SAFETY: gives up the count that this handle owns.
        unsafe { ffi::SSL_SESSION_free(self.0) };
    }
}

impl SslSession {
    fn rename(&self, id: &Id) {
        let id = id.bytes();
        // SAFETY: a live session that no cache holds; 32 bytes are the longest id.
        unsafe { SSL_SESSION_set1_id(self.0, id.as_ptr(), id.len() as c_uint) };
    }
}

impl Value for SslSession {
    fn make(id: &Id, lifetime: Lifetime) -> Self {
        // SAFETY: no preconditions.
        let session = Self(unsafe { SSL_SESSION_new() });
        assert!(!session.0.is_null(), "out of memory");
        session.rename(id);
        // SAFETY: a live session that nobody else has.
        unsafe { SSL_SESSION_set_protocol_version(session.0, VERSION) };
        let seconds = match lifetime {
            // The default of five minutes ends within a long run.
            Lifetime::Unset => 7200,
            Lifetime::Of { created, seconds } => {
                // SAFETY: as above.
                unsafe { SSL_SESSION_set_time(session.0, created as c_long) };
                seconds as c_long
            }
        };
        // SAFETY: as above.
        unsafe { SSL_SESSION_set_timeout(session.0, seconds) };
        session
    }
}

/// What a thread needs to ask a context: an `SSL` to look up with, a session to remove by.
struct Asker {
    context: *mut ffi::SSL_CTX,
    ssl: *mut ffi::SSL,
    removed: SslSession,
}

impl Drop for Asker {
    fn drop(&mut self) {
        // SAFETY: made by `SSL_new`, used by this thread alone.
        unsafe { ffi::SSL_free(self.ssl) };
    }
}

thread_local! {
    static ASKER: RefCell<Option<Asker>> = const { RefCell::new(None) };
}

/// An `SSL_CTX` with its internal cache.
pub struct OpenSsl(*mut ffi::SSL_CTX);

// SAFETY: a context is made for many threads.
unsafe impl Send for OpenSsl {}
// SAFETY: as above.
unsafe impl Sync for OpenSsl {}

impl OpenSsl {
    #[inline]
    fn ask<R>(&self, question: impl FnOnce(&Asker) -> R) -> R {
        ASKER.with_borrow_mut(|slot| {
            // An asker keeps its context alive, so that no other one gets its address.
            if slot.as_ref().is_none_or(|asker| asker.context != self.0) {
                // SAFETY: a live context.
                let ssl = unsafe { ffi::SSL_new(self.0) };
                assert!(!ssl.is_null(), "out of memory");
                let removed = SslSession::make(&Id::of(0), Lifetime::Unset);
                *slot = Some(Asker { context: self.0, ssl, removed });
            }
            question(slot.as_ref().expect("made above"))
        })
    }
}

impl Store for OpenSsl {
    type Value = SslSession;
    const EVICTS: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        // SAFETY: the library is initialised first; the context is used after a check.
        unsafe {
            ffi::init();
            let context = ffi::SSL_CTX_new(ffi::TLS_method());
            assert!(!context.is_null(), "libssl gives no context");
            ffi::SSL_CTX_set_session_cache_mode(context, SESS_CACHE_SERVER);
            ffi::SSL_CTX_sess_set_cache_size(context, capacity as c_long);
            Self(context)
        }
    }

    fn add(&self, _id: &Id, value: SslSession) {
        // SAFETY: a live context and a live session; the cache takes a count of its own.
        unsafe { ffi::SSL_CTX_add_session(self.0, value.0) };
    }

    fn get(&self, id: &Id) -> bool {
        let id = id.bytes();
        // SAFETY: the `SSL` is this thread's own and belongs to the context.
        self.ask(|asker| unsafe {
            SSL_has_matching_session_id(asker.ssl, id.as_ptr(), id.len() as c_uint) == 1
        })
    }

    /// Removes whatever has the id, and returns no handle of it.
    fn take(&self, id: &Id) -> bool {
        self.ask(|asker| {
            asker.removed.rename(id);
            // SAFETY: a live context; the session given only names the one that goes.
            unsafe { ffi::SSL_CTX_remove_session(self.0, asker.removed.0) == 1 }
        })
    }

    fn flush(&self, now: u64) -> Option<usize> {
        let before = self.stored()?;
        // SAFETY: a live context.
        unsafe { SSL_CTX_flush_sessions(self.0, now as c_long) };
        Some(before - self.stored()?)
    }

    fn stored(&self) -> Option<usize> {
        // SAFETY: a live context.
        let number = unsafe { ffi::SSL_CTX_ctrl(self.0, CTRL_SESS_NUMBER, 0, ptr::null_mut()) };
        usize::try_from(number).ok()
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        // SAFETY: a live context: empties it, for askers keep it for a while, and gives up the
        // store's count.
        unsafe {
            SSL_CTX_flush_sessions(self.0, 0);
            ffi::SSL_CTX_free(self.0);
        }
    }
}
