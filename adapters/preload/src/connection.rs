//! What this library knows of a connection: it lies in the connection's extra data.

use std::ffi::{c_int, c_long, c_void};
use std::ptr;
use std::sync::OnceLock;

use foreign_types::ForeignTypeRef;
use openssl_sys::{self as sys, SSL, SSL_CTX};
use sessile_openssl::openssl::ex_data::Index;
use sessile_openssl::openssl::ssl::{Ssl, SslRef};

use crate::early_data::Judge;
use crate::owner;
use crate::real::InfoCallback;
use crate::record::{self, Record};

type ExtraDup = unsafe extern "C" fn(
    *mut c_void,
    *const c_void,
    *mut *mut c_void,
    c_int,
    c_long,
    *mut c_void,
) -> c_int;

type ExtraFree =
    unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void, c_int, c_long, *mut c_void);

unsafe extern "C" {
    fn CRYPTO_get_ex_new_index(
        class: c_int,
        long: c_long,
        pointer: *mut c_void,
        new: *const c_void,
        dup: ExtraDup,
        free: Option<ExtraFree>,
    ) -> c_int;
}

/// Whether a connection is one that this library may look at: of the libssl that it is linked with,
/// which need not be the program's.
pub(crate) fn is_ours(ssl: *const SSL) -> bool {
    record::are_kept() && owner::of(ssl).is_none()
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

/// A copy of a connection is made of the context that the original is in, and owns nothing of it.
unsafe extern "C" fn leave_out(
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

/// Where pointers lie in the extra data of connections, from the first one on; negative without
/// memory for it.
struct Pointers(OnceLock<c_int>);

impl Pointers {
    /// The index, made if need be. What lies there is freed by `free`.
    fn make(&self, free: Option<ExtraFree>) -> c_int {
        const CLASS_SSL: c_int = 0;
        // SAFETY: the functions are of these types.
        *self.0.get_or_init(|| unsafe {
            CRYPTO_get_ex_new_index(CLASS_SSL, 0, ptr::null_mut(), ptr::null(), leave_out, free)
        })
    }

    /// What lies there, or null.
    ///
    /// # Safety
    ///
    /// A connection that is alive.
    unsafe fn of<T>(&self, ssl: *mut SSL) -> *mut T {
        let index = self.0.get().copied().filter(|index| *index >= 0);
        // SAFETY: as the caller says.
        index.map_or(ptr::null_mut(), |index| unsafe { sys::SSL_get_ex_data(ssl, index) }.cast())
    }
}

static FIRST: Pointers = Pointers(OnceLock::new());

/// Notes the context that a connection was made of, before it is moved. libssl keeps that context
/// for as long as the connection lives, and calls its callbacks.
///
/// # Safety
///
/// A connection that is alive.
pub(crate) unsafe fn keep_first(ssl: *mut SSL) {
    // SAFETY: as the caller says.
    unsafe {
        let index = FIRST.make(None);
        if index >= 0 && FIRST.of::<SSL_CTX>(ssl).is_null() {
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
    // SAFETY: as the caller says. What lies there is from `keep_first`.
    unsafe {
        let first = FIRST.of::<SSL_CTX>(ssl);
        if first.is_null() { sys::SSL_get_SSL_CTX(ssl) } else { first }
    }
}

static JUDGES: Pointers = Pointers(OnceLock::new());

unsafe extern "C" fn free_judge(
    _: *mut c_void,
    judge: *mut c_void,
    _: *mut c_void,
    _: c_int,
    _: c_long,
    _: *mut c_void,
) {
    if !judge.is_null() {
        // SAFETY: it is from `set_judge`, which gave it to this connection alone.
        drop(unsafe { Box::from_raw(judge.cast::<Option<Judge>>()) });
    }
}

/// Notes what the program has set on a connection to allow early data; false without memory for it.
///
/// # Safety
///
/// A connection that is alive and that nobody else uses meanwhile.
pub(crate) unsafe fn set_judge(ssl: *mut SSL, judge: Option<Judge>) -> bool {
    // SAFETY: as the caller says. libssl takes the box over if the answer is 1.
    unsafe {
        let index = JUDGES.make(Some(free_judge));
        if let Some(place) = JUDGES.of::<Option<Judge>>(ssl).as_mut() {
            *place = judge;
            return true;
        }
        let boxed = Box::into_raw(Box::new(judge));
        let is_set = index >= 0 && sys::SSL_set_ex_data(ssl, index, boxed.cast()) == 1;
        if !is_set {
            drop(Box::from_raw(boxed));
        }
        is_set
    }
}

/// What the program has set on a connection; `None` if it has set nothing there.
///
/// # Safety
///
/// A connection that is alive.
pub(crate) unsafe fn judge(ssl: *mut SSL) -> Option<Option<Judge>> {
    // SAFETY: as the caller says. What lies there is from `set_judge`.
    unsafe { JUDGES.of::<Option<Judge>>(ssl).as_ref().copied() }
}

static INFOS: Pointers = Pointers(OnceLock::new());

/// Notes the info callback that the program has set on a connection; false without memory for it.
///
/// # Safety
///
/// A connection that is alive and that nobody else uses meanwhile.
pub(crate) unsafe fn set_info(ssl: *mut SSL, callback: Option<InfoCallback>) -> bool {
    let index = INFOS.make(None);
    let address = callback.map_or(ptr::null_mut(), |callback| callback as *mut c_void);
    // SAFETY: as the caller says.
    index >= 0 && unsafe { sys::SSL_set_ex_data(ssl, index, address) } == 1
}

/// The info callback that the program has set on a connection.
///
/// # Safety
///
/// A connection that is alive.
pub(crate) unsafe fn info(ssl: *mut SSL) -> Option<InfoCallback> {
    // SAFETY: as the caller says. What lies there is null or a function, from `set_info`.
    unsafe { std::mem::transmute::<*mut c_void, Option<InfoCallback>>(INFOS.of(ssl)) }
}
