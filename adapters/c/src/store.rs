//! Making a store and giving it up.

use std::ptr;

use sessile_openssl::ServerStore;

use crate::border::{guarded, shared};
use crate::config::Config;
use crate::error::Error;

/// A handle of a store: a session cache for any number of contexts. Any number of threads may use
/// it at a time.
#[derive(Debug)]
pub struct Store(pub(crate) ServerStore);

/// Gives C a handle.
///
/// # Safety
///
/// Memory for a pointer that may be written.
pub(crate) unsafe fn hand_out(store: ServerStore, place: *mut *mut Store) {
    // SAFETY: as the caller says.
    unsafe { place.write(Box::into_raw(Box::new(Store(store)))) };
}

/// Makes a store, with a table for as many sessions as it may hold. The handle in `*store` is to be
/// freed with `sessile_free`; it is null after an error.
///
/// The configuration may be freed or changed afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_new(config: *const Config, store: *mut *mut Store) -> Error {
    guarded(|| {
        if store.is_null() {
            return Err(Error::Null);
        }
        // SAFETY: the caller gives memory for a handle, and a configuration or null.
        unsafe {
            store.write(ptr::null_mut());
            hand_out(shared(config)?.build()?, store);
        }
        Ok(())
    })
}

/// Frees a handle; null is ignored. The store lives on for as long as a context is attached to it,
/// or another handle is there; its sessions are freed with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_free(store: *mut Store) {
    guarded(|| {
        if !store.is_null() {
            // SAFETY: the library made it, and the caller gives it up.
            drop(unsafe { Box::from_raw(store) });
        }
        Ok(())
    });
}
