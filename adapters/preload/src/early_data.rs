//! The callback by which a program allows early data, behind that of the store: both must allow
//! them. libssl has no call that tells which callback is set.

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;

use openssl_sys::{SSL, SSL_CTX};

use crate::chain::contained;
use crate::connection;
use crate::real::{self, EarlyDataCallback};
use crate::record::{self, Record};
use crate::scope::is_ours;

/// A callback and what it is called with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge {
    callback: EarlyDataCallback,
    /// A pointer of the program's.
    argument: usize,
}

impl Judge {
    fn new(callback: Option<EarlyDataCallback>, argument: *mut c_void) -> Option<Self> {
        callback.map(|callback| Self { callback, argument: argument as usize })
    }
}

/// The store's callback, which is the same for all contexts.
static STORE: OnceLock<EarlyDataCallback> = OnceLock::new();

/// Sets the callback that allows early data. A store's comes before the program's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_set_allow_early_data_cb(
    context: *mut SSL_CTX,
    callback: Option<EarlyDataCallback>,
    argument: *mut c_void,
) {
    // SAFETY: the context is alive.
    contained((), || unsafe {
        let Some(real) = real::SSL_CTX_set_allow_early_data_cb.of(context) else { return };
        if let Some(callback) = callback.filter(|_| is_ours()) {
            let store = *STORE.get_or_init(|| callback);
            debug_assert!(std::ptr::fn_addr_eq(store, callback), "all stores have one");
            return real(context, Some(on_early_data), std::ptr::null_mut());
        }
        let record = record::of(context);
        if let Some(record) = record {
            record.set_judge(Judge::new(callback, argument));
        }
        if !record.is_some_and(Record::is_attached) {
            real(context, callback, argument);
        }
    });
}

/// Sets the callback of a connection. A store's comes before the program's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_set_allow_early_data_cb(
    ssl: *mut SSL,
    callback: Option<EarlyDataCallback>,
    argument: *mut c_void,
) {
    // SAFETY: the program's connection is alive.
    contained((), || unsafe {
        let Some(real) = real::SSL_set_allow_early_data_cb.of(ssl) else { return };
        let is_behind_store = connection::is_ours(ssl)
            && record::of(connection::first_context(ssl)).is_some_and(Record::is_attached);
        if !is_behind_store {
            real(ssl, callback, argument);
        } else if !connection::set_judge(ssl, Judge::new(callback, argument)) {
            // Without memory to ask the program, nobody is allowed any.
            real(ssl, Some(deny), std::ptr::null_mut());
        }
    });
}

unsafe extern "C" fn deny(_: *mut SSL, _: *mut c_void) -> c_int {
    0
}

unsafe extern "C" fn on_early_data(ssl: *mut SSL, _: *mut c_void) -> c_int {
    // SAFETY: libssl lends the connection for the call; either callback answers as libssl wants it.
    contained(0, || unsafe {
        let store = STORE.get().map_or(0, |store| store(ssl, std::ptr::null_mut()));
        if store == 0 {
            return 0;
        }
        let of_context = || record::of(connection::first_context(ssl))?.judge();
        match connection::judge(ssl).unwrap_or_else(of_context) {
            Some(judge) => (judge.callback)(ssl, judge.argument as *mut c_void),
            None => 1,
        }
    })
}
