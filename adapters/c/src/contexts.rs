//! Contexts come to a store, and leave it.

use std::ffi::c_uchar;
use std::mem::ManuallyDrop;
use std::ptr;

use foreign_types::ForeignTypeRef;
use openssl_sys::SSL_CTX;
use sessile_openssl::openssl::ssl::{SslContextBuilder, SslContextRef};
use sessile_openssl::{ReattachError, ServerStore};

use crate::border::{guarded, named, shared};
use crate::error::Error;
use crate::store::{Store, hand_out};

/// # Safety
///
/// Null, or a context that lives for `'a`.
unsafe fn context_at<'a>(context: *mut SSL_CTX) -> Result<&'a SslContextRef, Error> {
    if context.is_null() {
        return Err(Error::Null);
    }
    // SAFETY: as the caller says.
    Ok(unsafe { SslContextRef::from_ptr(context) })
}

/// Makes a store the session cache of a context, under a name: contexts resume each other's
/// sessions if, and only if, they have the same store and the same name. Let the name say how
/// clients are authenticated.
///
/// The first time, this sets callbacks, mode, options, id context and timeout of the context, which
/// no other thread may use meanwhile, as with libssl's own setters. Later it sets nothing and may
/// be called while handshakes run: the store takes the place of the one that was there. The name
/// must then be the same.
///
/// The context keeps the store alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_attach(
    store: *const Store,
    context: *mut SSL_CTX,
    name: *const c_uchar,
    name_length: usize,
) -> Error {
    guarded(|| {
        // SAFETY: the caller gives a store, a context and as many bytes, or null.
        let (store, present, name) =
            unsafe { (&shared(store)?.0, context_at(context)?, named(name, name_length)?) };
        match store.reattach(present, name) {
            Err(ReattachError::NeverAttached) => {
                // SAFETY: the context is alive and, as the caller says, nobody else's for this
                // call. The reference is the caller's: it is not given up.
                let mut fresh = unsafe { ManuallyDrop::new(SslContextBuilder::from_ptr(context)) };
                Ok(store.attach(&mut fresh, name)?)
            }
            outcome => Ok(outcome?),
        }
    })
}

/// Takes the store away from a context; at any time, also while handshakes run there. What was set
/// on the context stays: it resumes nothing until a store is attached again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_detach(context: *mut SSL_CTX) -> Error {
    guarded(|| {
        // SAFETY: the caller gives a context or null.
        let context = unsafe { context_at(context)? };
        ServerStore::detach(context).map(drop).ok_or(Error::NotAttached)
    })
}

/// Another handle of the store that a context has, in `*store`, to be freed with `sessile_free`;
/// null after an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_of(context: *mut SSL_CTX, store: *mut *mut Store) -> Error {
    guarded(|| {
        if store.is_null() {
            return Err(Error::Null);
        }
        // SAFETY: the caller gives memory for a handle, and a context or null.
        unsafe {
            store.write(ptr::null_mut());
            hand_out(ServerStore::of(context_at(context)?).ok_or(Error::NotAttached)?, store);
        }
        Ok(())
    })
}

/// Ends every session of the contexts of one name at once, also of handshakes under way.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_revoke(
    store: *const Store,
    name: *const c_uchar,
    name_length: usize,
) -> Error {
    guarded(|| {
        // SAFETY: the caller gives a store and as many bytes, or null.
        let (store, name) = unsafe { (&shared(store)?.0, named(name, name_length)?) };
        store.revoke(name);
        Ok(())
    })
}
