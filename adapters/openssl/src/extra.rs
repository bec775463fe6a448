//! Values in the extra data of connections and sessions.
//!
//! The indices of the `openssl` crate do not know that libssl copies connections and sessions, with
//! whatever pointers lie there: the original and the copy would free one value each. Here the copy
//! of a connection has no value, and the copy of a session shares that of the original.

use std::ffi::{c_int, c_long, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::{Arc, OnceLock};

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ssl::{SslRef, SslSessionRef};
use openssl_sys as sys;

use crate::ffi::{CRYPTO_get_ex_new_index, SSL_SESSION_get_ex_data, SSL_SESSION_set_ex_data};

/// Where values of one type lie among the extra data of connections.
pub(crate) struct ExtraIndex<T>(c_int, PhantomData<fn(T)>);

impl<T> Clone for ExtraIndex<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ExtraIndex<T> {}

/// libssl copies a connection, with the pointers in its extra data: the copy owns nothing yet.
unsafe extern "C" fn leave_out(
    _: *mut c_void,
    _: *const c_void,
    place: *mut *mut c_void,
    _: c_int,
    _: c_long,
    _: *mut c_void,
) -> c_int {
    // SAFETY: libssl lends a pointer to what the copy is to get.
    unsafe { *place = ptr::null_mut() };
    1
}

/// libssl frees a connection.
unsafe extern "C" fn drop_extra<T>(
    _: *mut c_void,
    value: *mut c_void,
    _: *mut c_void,
    _: c_int,
    _: c_long,
    _: *mut c_void,
) {
    if !value.is_null() {
        // SAFETY: it is from `set`, which gave it to this connection alone.
        drop(unsafe { Box::from_raw(value.cast::<T>()) });
    }
}

impl<T: Send + Sync + 'static> ExtraIndex<T> {
    pub(crate) fn new() -> Result<Self, ErrorStack> {
        const CLASS_SSL: c_int = 0;
        openssl::init();
        // SAFETY: the functions are of these types, for what lies at the index.
        let index = unsafe {
            let (pointer, new) = (ptr::null_mut(), ptr::null());
            CRYPTO_get_ex_new_index(CLASS_SSL, 0, pointer, new, leave_out, drop_extra::<T>)
        };
        if index < 0 { Err(ErrorStack::get()) } else { Ok(Self(index, PhantomData)) }
    }

    /// Puts a value there, in place of what was there.
    pub(crate) fn set(self, ssl: &mut SslRef, value: T) -> Result<(), ErrorStack> {
        if let Some(place) = self.get_mut(ssl) {
            *place = value;
            return Ok(());
        }
        let value = Box::into_raw(Box::new(value));
        // SAFETY: the connection is alive, and takes the value over if the answer is 1.
        unsafe {
            if sys::SSL_set_ex_data(ssl.as_ptr(), self.0, value.cast()) != 1 {
                drop(Box::from_raw(value));
                return Err(ErrorStack::get());
            }
        }
        Ok(())
    }

    pub(crate) fn get(self, ssl: &SslRef) -> Option<&T> {
        // SAFETY: what lies there is null or from `set`, and lives as long as the connection.
        unsafe { sys::SSL_get_ex_data(ssl.as_ptr(), self.0).cast::<T>().as_ref() }
    }

    pub(crate) fn get_mut(self, ssl: &mut SslRef) -> Option<&mut T> {
        // SAFETY: as above; the connection is not shared.
        unsafe { sys::SSL_get_ex_data(ssl.as_ptr(), self.0).cast::<T>().as_mut() }
    }
}

/// libssl copied a session: the value has one more holder.
unsafe extern "C" fn share<T>(
    _: *mut c_void,
    _: *const c_void,
    place: *mut *mut c_void,
    _: c_int,
    _: c_long,
    _: *mut c_void,
) -> c_int {
    // SAFETY: libssl lends a pointer to what the original carries: null, or a value that `set` gave
    // it, and that the original keeps alive.
    unsafe {
        let value = (*place).cast::<T>();
        if !value.is_null() {
            Arc::increment_strong_count(value.cast_const());
        }
    }
    1
}

/// libssl frees a session: the value has one holder less.
unsafe extern "C" fn leave<T>(
    _: *mut c_void,
    value: *mut c_void,
    _: *mut c_void,
    _: c_int,
    _: c_long,
    _: *mut c_void,
) {
    if !value.is_null() {
        // SAFETY: the session had one count, which `set` or `share` gave it.
        drop(unsafe { Arc::from_raw(value.cast::<T>().cast_const()) });
    }
}

/// Where values of one type lie among the extra data of sessions.
pub(crate) struct SessionExtra<T>(OnceLock<c_int>, PhantomData<fn(T)>);

impl<T: Send + Sync + 'static> SessionExtra<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new(), PhantomData)
    }

    /// The index; -1 without memory for it.
    fn index(&self) -> c_int {
        const CLASS_SSL_SESSION: c_int = 2;
        *self.0.get_or_init(|| {
            openssl::init();
            // SAFETY: the functions are of these types, and keep the count of what lies at the
            // index.
            unsafe {
                let (pointer, new) = (ptr::null_mut(), ptr::null());
                CRYPTO_get_ex_new_index(CLASS_SSL_SESSION, 0, pointer, new, share::<T>, leave::<T>)
            }
        })
    }

    /// Looks for the index when a store is attached, so that no handshake has to.
    pub(crate) fn prepare(&self) {
        let _ = self.index();
    }

    /// Gives a value to a session that no other thread knows yet, in place of what it may have of
    /// the session that it is a copy of. False without memory for it.
    pub(crate) fn set(&self, session: &SslSessionRef, new: Arc<T>) -> bool {
        let (index, new) = (self.index(), Arc::into_raw(new));
        // SAFETY: the session is alive and not shared. It takes over the count of the new value if
        // the answer is 1, and then gives up that of the old one.
        unsafe {
            let old = SSL_SESSION_get_ex_data(session.as_ptr(), index).cast::<T>();
            let is_set =
                SSL_SESSION_set_ex_data(session.as_ptr(), index, new.cast_mut().cast()) == 1;
            let left = if is_set { old.cast_const() } else { new };
            if !left.is_null() {
                drop(Arc::from_raw(left));
            }
            is_set
        }
    }

    /// The value of a session, or of the one that it is a copy of.
    pub(crate) fn get<'s>(&self, session: &'s SslSessionRef) -> Option<&'s T> {
        let index = *self.0.get()?;
        // SAFETY: the session is alive and keeps the value alive, which is set only before the
        // session is shared; an index that does not exist answers null.
        unsafe { SSL_SESSION_get_ex_data(session.as_ptr(), index).cast::<T>().as_ref() }
    }
}
