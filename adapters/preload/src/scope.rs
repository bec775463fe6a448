//! What a thread is doing at the moment.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::ptr;

use openssl_sys::SSL_CTX;

thread_local! {
    /// This library is calling libssl: what it calls is libssl's own.
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
    /// libssl is giving up a context.
    static IS_FREEING: Cell<bool> = const { Cell::new(false) };
    /// The context that a call of this thread is about, which is alive for as long.
    static CONTEXT: Cell<*mut SSL_CTX> = const { Cell::new(ptr::null_mut()) };
}

/// Whether this library is the caller.
pub(crate) fn is_ours() -> bool {
    IS_OURS.get()
}

/// Calls `call`, in which every call of libssl is this library's.
pub(crate) fn as_ours<R>(call: impl FnOnce() -> R) -> R {
    let _end = Reset { place: &IS_OURS, before: IS_OURS.replace(true) };
    call()
}

/// Whether libssl is giving up a context, and flushes its cache.
pub(crate) fn is_freeing() -> bool {
    IS_FREEING.get()
}

/// Calls `call`, in which libssl may give up a context.
pub(crate) fn while_freeing<R>(call: impl FnOnce() -> R) -> R {
    let _end = Reset { place: &IS_FREEING, before: IS_FREEING.replace(true) };
    call()
}

/// Calls `call`, which is about a context that is alive meanwhile.
pub(crate) fn about<R>(context: *mut SSL_CTX, call: impl FnOnce() -> R) -> R {
    let _end = Reset { place: &CONTEXT, before: CONTEXT.replace(context) };
    call()
}

/// The context that this thread's call is about; null outside of a call.
pub(crate) fn context() -> *mut SSL_CTX {
    CONTEXT.get()
}

/// Puts back what was there, also when a call panics.
struct Reset<T: Copy + 'static> {
    place: &'static std::thread::LocalKey<Cell<T>>,
    before: T,
}

impl<T: Copy + 'static> Drop for Reset<T> {
    fn drop(&mut self) {
        self.place.set(self.before);
    }
}
