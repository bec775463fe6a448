//! What every function does at the border: null pointers are errors, and no panic crosses.

use std::ffi::c_uchar;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;

use sessile_openssl::sessile::Context;

use crate::error::Error;

/// Runs `call`; its error, or [`Error::Panic`].
pub(crate) fn guarded(call: impl FnOnce() -> Result<(), Error>) -> Error {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => Error::Ok,
        Ok(Err(error)) => error,
        Err(payload) => {
            // What was thrown can throw again when it is dropped.
            if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                mem::forget(another);
            }
            Error::Panic
        }
    }
}

/// # Safety
///
/// Null, or a pointer to a value that lives for `'a` and is not changed meanwhile.
pub(crate) unsafe fn shared<'a, T>(pointer: *const T) -> Result<&'a T, Error> {
    // SAFETY: as the caller says.
    unsafe { pointer.as_ref() }.ok_or(Error::Null)
}

/// # Safety
///
/// Null, or a pointer to a value that lives for `'a` and that nobody else uses meanwhile.
pub(crate) unsafe fn exclusive<'a, T>(pointer: *mut T) -> Result<&'a mut T, Error> {
    // SAFETY: as the caller says.
    unsafe { pointer.as_mut() }.ok_or(Error::Null)
}

/// Writes an answer where the caller wants one.
///
/// # Safety
///
/// Null, or a pointer to memory for a `T` that may be written.
pub(crate) unsafe fn answer<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: as the caller says; `T` is a number or a pointer, nothing is dropped.
        unsafe { place.write(value) };
    }
}

/// The context of a name.
///
/// # Safety
///
/// Null, or a pointer to `length` bytes.
pub(crate) unsafe fn named(name: *const c_uchar, length: usize) -> Result<Context, Error> {
    if name.is_null() {
        return Err(Error::Null);
    }
    if length > isize::MAX.unsigned_abs() {
        return Err(Error::Argument);
    }
    // SAFETY: as the caller says, and no longer than a slice may be.
    Ok(Context::digest([unsafe { slice::from_raw_parts(name, length) }]))
}

#[cfg(test)]
mod tests {
    use super::guarded;
    use crate::error::Error;
    use std::panic::panic_any;

    /// Throws once more when it is dropped.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }

    #[test]
    fn a_panic_is_an_error() {
        assert_eq!(guarded(|| panic!("once")), Error::Panic);
        assert_eq!(guarded(|| panic_any(Bomb)), Error::Panic);
        assert_eq!(guarded(|| Err(Error::Name)), Error::Name);
        assert_eq!(guarded(|| Ok(())), Error::Ok);
    }
}
