//! Values in the extra data of connections.
//!
//! The indices of the `openssl` crate do not know that libssl copies connections, with whatever
//! pointers lie there: the original and the copy would free one value each.

use std::ffi::{c_int, c_long, c_void};
use std::marker::PhantomData;
use std::ptr;

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ssl::SslRef;
use openssl_sys as sys;

use crate::ffi::CRYPTO_get_ex_new_index;

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
