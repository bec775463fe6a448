//! What this library knows of a connection: it lies in the connection's extra data.

use std::ffi::{c_int, c_long, c_void};
use std::ptr;
use std::sync::OnceLock;

use foreign_types::ForeignTypeRef;
use openssl_sys::{self as sys, SSL, SSL_CTX};
use sessile_openssl::openssl::ex_data::Index;
use sessile_openssl::openssl::ssl::{Ssl, SslRef};

use crate::record::{self, Record};

type ExtraDup = unsafe extern "C" fn(
    *mut c_void,
    *const c_void,
    *mut *mut c_void,
    c_int,
    c_long,
    *mut c_void,
) -> c_int;

unsafe extern "C" {
    fn CRYPTO_get_ex_new_index(
        class: c_int,
        long: c_long,
        pointer: *mut c_void,
        new: *const c_void,
        dup: ExtraDup,
        free: *const c_void,
    ) -> c_int;
}

/// Marks a connection for which the store is not there.
struct Apart;

/// Where the marks lie, from the first one on; `None` without memory for it.
static APART: OnceLock<Option<Index<Ssl, Apart>>> = OnceLock::new();

/// Keeps a new connection apart from the store, if its context has joined that of another one: with
/// libssl's caches neither would resume what was made in the other.
///
/// # Safety
///
/// Null, or a connection that nobody else knows, and its context.
pub(crate) unsafe fn set_apart(ssl: *mut SSL, context: *mut SSL_CTX) {
    // SAFETY: as the caller says.
    let has_joined = unsafe { record::of(context) }.is_some_and(Record::has_joined);
    if !has_joined || ssl.is_null() {
        return;
    }
    if let Some(index) = *APART.get_or_init(|| Ssl::new_ex_index().ok()) {
        // SAFETY: as the caller says; not null.
        unsafe { SslRef::from_ptr_mut(ssl) }.set_ex_data(index, Apart);
    }
}

/// Whether a connection is apart from the store.
///
/// # Safety
///
/// A connection that is alive.
pub(crate) unsafe fn is_apart(ssl: *mut SSL) -> bool {
    let index = APART.get().copied().flatten();
    // SAFETY: as the caller says.
    index.is_some_and(|index| unsafe { SslRef::from_ptr(ssl) }.ex_data(index).is_some())
}

/// Where the first contexts of moved connections lie, from the first one on; negative without
/// memory for it.
static FIRST: OnceLock<c_int> = OnceLock::new();

/// A copy of a connection is made of the context that the original is in.
unsafe extern "C" fn forget_first(
    _: *mut c_void,
    _: *const c_void,
    place: *mut *mut c_void,
    _: c_int,
    _: c_long,
    _: *mut c_void,
) -> c_int {
    // SAFETY: libssl lends a pointer to what the copy gets.
    unsafe { *place = ptr::null_mut() };
    1
}

/// Notes the context that a connection was made of, before it is moved. libssl keeps that context
/// for as long as the connection lives, and calls its callbacks.
///
/// # Safety
///
/// A connection that is alive.
pub(crate) unsafe fn keep_first(ssl: *mut SSL) {
    const CLASS_SSL: c_int = 0;
    // SAFETY: as the caller says; the function is of this type, and nothing is to be freed.
    unsafe {
        let index = *FIRST.get_or_init(|| {
            let nothing = ptr::null();
            CRYPTO_get_ex_new_index(CLASS_SSL, 0, ptr::null_mut(), nothing, forget_first, nothing)
        });
        if index >= 0 && sys::SSL_get_ex_data(ssl, index).is_null() {
            // Without memory for it the callbacks are those of the present context.
            let _is_kept = sys::SSL_set_ex_data(ssl, index, sys::SSL_get_SSL_CTX(ssl).cast());
        }
    }
}

/// The context that a connection was made of.
///
/// # Safety
///
/// A connection that is alive.
pub(crate) unsafe fn first_context(ssl: *mut SSL) -> *mut SSL_CTX {
    // SAFETY: as the caller says. What lies at the index is from `keep_first`.
    unsafe {
        let index = FIRST.get().copied().filter(|index| *index >= 0);
        let kept = index.map_or(ptr::null_mut(), |index| sys::SSL_get_ex_data(ssl, index));
        if kept.is_null() { sys::SSL_get_SSL_CTX(ssl) } else { kept.cast() }
    }
}
