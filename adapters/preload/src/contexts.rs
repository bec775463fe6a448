//! Contexts and connections begin, and get their id contexts.

use std::ffi::{c_char, c_int, c_uchar, c_uint, c_void};
use std::{ptr, slice};

use openssl_sys::{self as sys, SSL, SSL_CTX, SSL_METHOD};

use crate::chain::contained;
use crate::connection;
use crate::decision::{come_to, move_to};
use crate::environment::{Attach, Environment};
use crate::owner::{self, Library};
use crate::real;
use crate::record::{self, Decision};
use crate::scope::{as_ours, is_ours, while_freeing};

/// `SSL_MAX_SID_CTX_LENGTH`. libssl refuses a longer id context without reading it.
const ID_CONTEXT_BYTES_MAX: c_uint = 32;

/// Has a context made by the libssl that its method is from. Begins a record at it, where some are
/// to be attached.
///
/// # Safety
///
/// A method, and a call that makes null or a context that nobody else knows.
unsafe fn begin(
    method: *const SSL_METHOD,
    make: impl FnOnce(Option<Library>) -> *mut SSL_CTX,
) -> *mut SSL_CTX {
    let library = contained(None, || Library::of_method(method));
    let context = make(library);
    // SAFETY: as the caller says. libssl may have come here by itself.
    contained((), || unsafe {
        owner::note(context, library);
        if library.is_some() {
            return;
        }
        let is_wanted = Environment::get().attach != Attach::None;
        if is_wanted && !context.is_null() && record::of(context).is_none() {
            as_ours(|| record::begin(context));
        }
    });
    context
}

/// Makes a context, which may be attached when it is first used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_new(method: *const SSL_METHOD) -> *mut SSL_CTX {
    // SAFETY: the program gives a method; what libssl makes is nobody else's yet.
    unsafe {
        begin(method, |library| {
            let real = real::SSL_CTX_new.in_library(library);
            real.map_or(ptr::null_mut(), |real| real(method))
        })
    }
}

/// Makes a context of a library context, which may be attached when it is first used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_new_ex(
    library: *mut c_void,
    properties: *const c_char,
    method: *const SSL_METHOD,
) -> *mut SSL_CTX {
    // SAFETY: as above.
    unsafe {
        begin(method, |made_by| {
            let real = real::SSL_CTX_new_ex.in_library(made_by);
            real.map_or(ptr::null_mut(), |real| real(library, properties, method))
        })
    }
}

/// Gives up a reference to a context. With the last one libssl flushes its cache, by the function
/// of that name: see `sessions`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_free(context: *mut SSL_CTX) {
    if let Some(real) = real::SSL_CTX_free.of(context) {
        // SAFETY: the program gives up what it has.
        while_freeing(|| unsafe { real(context) });
    }
}

/// Makes a connection. The first one decides whether the context is attached.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_new(context: *mut SSL_CTX) -> *mut SSL {
    // SAFETY: the program's context is alive, or null.
    unsafe {
        contained((), || come_to(context));
        let ssl = real::SSL_new.of(context).map_or(ptr::null_mut(), |real| real(context));
        contained((), || {
            owner::note(ssl, owner::of(context));
            connection::set_apart(ssl, context);
        });
        ssl
    }
}

/// Moves a connection to another context, which joins the store of its own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_set_SSL_CTX(ssl: *mut SSL, context: *mut SSL_CTX) -> *mut SSL_CTX {
    // SAFETY: the program's connection is alive, and so is the context unless it is null.
    unsafe {
        contained((), || {
            if connection::is_ours(ssl) {
                connection::keep_first(ssl);
                move_to(context, sys::SSL_get_SSL_CTX(ssl));
            }
        });
        real::SSL_set_SSL_CTX.of(ssl).map_or(ptr::null_mut(), |real| real(ssl, context))
    }
}

/// Sets the id context. Behind a store it is the name that the context is attached under.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_set_session_id_context(
    context: *mut SSL_CTX,
    bytes: *const c_uchar,
    length: c_uint,
) -> c_int {
    // SAFETY: the program gives a context that is alive, and as many bytes.
    contained(0, || unsafe {
        let is_program_s = !is_ours() && length <= ID_CONTEXT_BYTES_MAX;
        if let Some(record) = record::of(context).filter(|_| is_program_s) {
            let given = bytes_at(bytes, length);
            match record.decision() {
                Decision::Open => record.set_id_context(given),
                Decision::Attached if *record.id_context() == given => return 1,
                Decision::Attached | Decision::Left => {}
            }
        }
        let real = real::SSL_CTX_set_session_id_context.of(context);
        real.map_or(0, |real| real(context, bytes, length))
    })
}

/// Sets the id context of a connection; nothing changes if it is that of its context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_set_session_id_context(
    ssl: *mut SSL,
    bytes: *const c_uchar,
    length: c_uint,
) -> c_int {
    // SAFETY: the program gives a connection that is alive, and as many bytes.
    contained(0, || unsafe {
        let is_judged = length <= ID_CONTEXT_BYTES_MAX && connection::is_ours(ssl);
        let record = is_judged.then(|| record::of(sys::SSL_get_SSL_CTX(ssl))).flatten();
        let record = record.filter(|record| record.is_attached());
        if record.is_some_and(|record| *record.id_context() == bytes_at(bytes, length)) {
            return 1;
        }
        real::SSL_set_session_id_context.of(ssl).map_or(0, |real| real(ssl, bytes, length))
    })
}

/// # Safety
///
/// Null, or a pointer to as many bytes, which live for `'b`.
unsafe fn bytes_at<'b>(bytes: *const c_uchar, length: c_uint) -> &'b [u8] {
    if bytes.is_null() {
        return &[];
    }
    // SAFETY: as the caller says.
    unsafe { slice::from_raw_parts(bytes, length as usize) }
}
