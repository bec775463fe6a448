//! The info callback of a program behind the store's, which counts handshakes and ends some. It can
//! be set at any time, on a context or a connection.

use std::ffi::c_int;

use openssl_sys::{self as sys, SSL, SSL_CTX};

use crate::chain::contained;
use crate::connection;
use crate::real::{self, InfoCallback};
use crate::record::{self, Callback, Record};
use crate::scope::is_ours;

unsafe extern "C" {
    fn SSL_CTX_get_info_callback(context: *mut SSL_CTX) -> Option<InfoCallback>;
    fn SSL_get_info_callback(ssl: *const SSL) -> Option<InfoCallback>;
}

/// The store's callback, which is the same for all contexts, from the first store on.
static STORE: Callback<InfoCallback> = Callback::none();

/// Whether a callback is the store's: it sets its own on connections, and a program can set what it
/// has read.
fn is_store_s(callback: Option<InfoCallback>) -> bool {
    let store = STORE.get().map(|store| store as usize);
    store.is_some() && callback.map(|callback| callback as usize) == store
}

/// Notes the program's callback, before a store is attached, and puts this library's in its place.
///
/// # Safety
///
/// A context that is alive and that nobody else uses meanwhile.
pub(crate) unsafe fn note(context: *mut SSL_CTX, record: &Record) {
    // SAFETY: as the caller says; the function is of this type.
    unsafe {
        record.callbacks.info.set(SSL_CTX_get_info_callback(context));
        if let Some(real) = real::SSL_CTX_set_info_callback.get() {
            real(context, Some(on_info));
        }
    }
}

/// Sets the info callback. Behind a store it is called after the store's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_set_info_callback(
    context: *mut SSL_CTX,
    callback: Option<InfoCallback>,
) {
    // SAFETY: the context is alive.
    contained((), || unsafe {
        if is_ours() {
            STORE.set(callback);
        }
        match record::of(context).filter(|record| !is_ours() && record.is_attached()) {
            Some(_) if is_store_s(callback) => {}
            Some(record) => record.callbacks.info.set(callback),
            None => {
                if let Some(real) = real::SSL_CTX_set_info_callback.of(context) {
                    real(context, callback);
                }
            }
        }
    });
}

/// Sets the info callback of a connection. Behind a store it is called after the store's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_set_info_callback(ssl: *mut SSL, callback: Option<InfoCallback>) {
    // SAFETY: the connection is alive.
    contained((), || unsafe {
        let Some(real) = real::SSL_set_info_callback.of(ssl) else { return };
        let is_behind_store = !is_store_s(callback)
            && connection::is_ours(ssl)
            && record::of(sys::SSL_get_SSL_CTX(ssl)).is_some_and(Record::is_attached);
        if !is_behind_store || !connection::set_info(ssl, callback) {
            real(ssl, callback);
        } else if !is_store_s(SSL_get_info_callback(ssl)) {
            // That of the context is called, which is the store's.
            real(ssl, None);
        }
    });
}

/// Calls what libssl would call.
unsafe extern "C" fn on_info(ssl: *const SSL, wherefore: c_int, value: c_int) {
    // SAFETY: libssl lends the connection for the call.
    unsafe {
        let of_context = || record::of(sys::SSL_get_SSL_CTX(ssl))?.callbacks.info.get();
        if let Some(program) = connection::info(ssl.cast_mut()).or_else(of_context) {
            program(ssl, wherefore, value);
        }
    }
}
